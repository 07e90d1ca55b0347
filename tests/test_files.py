"""Files of a folder that others may write: what is opened, and what is not."""

import os
import threading
from pathlib import Path

import pytest

from model.files import read_regular, regular


def test_a_regular_file_is_read_and_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with open(file, "w", opener=regular) as out:
        out.write("whole")
    assert read_regular(file) == b"whole"
    assert read_regular(file, 5) == b"whole"


@pytest.mark.parametrize("mode", ["rb", "r+b", "wb", "ab"])
def test_a_link_is_not_followed(tmp_path: Path, mode: str) -> None:
    precious, link = tmp_path / "precious", tmp_path / "link"
    precious.write_text("precious")
    link.symlink_to(precious)
    with (
        pytest.raises(OSError, match="is a link, and none is followed there"),
        open(link, mode, opener=regular),
    ):
        pass
    link.unlink()
    link.symlink_to(tmp_path / "not there yet")
    with pytest.raises(OSError, match="is a link"), open(link, mode, opener=regular):
        pass
    assert precious.read_text() == "precious"
    assert not (tmp_path / "not there yet").exists()


@pytest.mark.parametrize("mode", ["rb", "r+b", "wb", "ab"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, mode: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    said: list[str] = []

    def tried() -> None:
        with (
            pytest.raises(OSError, match="is no regular file") as error,
            open(tmp_path / "pipe", mode, opener=regular),
        ):
            pass
        said.append(str(error.value))

    thread = threading.Thread(target=tried, daemon=True)
    thread.start()
    thread.join(10)
    assert said, "it waits for the other end"


def test_a_folder_and_a_device_are_no_files(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(OSError, match="is no regular file"):
            read_regular(path)


def test_more_than_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(11))
    with pytest.raises(OSError, match="has more than 10 bytes"):
        read_regular(tmp_path / "file", 10)


def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(OSError, match="is no regular file"):
            read_regular(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
