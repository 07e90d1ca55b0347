"""Files of a folder that others may write: what is opened, and what is not."""

import ast
import os
import threading
from pathlib import Path

import pytest

from model.files import open_regular, read_regular
from tests.conftest import ROOT


def test_a_regular_file_is_read_and_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with open(file, "w", opener=open_regular) as out:
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
        open(link, mode, opener=open_regular),
    ):
        pass
    link.unlink()
    link.symlink_to(tmp_path / "not there yet")
    with pytest.raises(OSError, match="is a link"), open(link, mode, opener=open_regular):
        pass
    assert precious.read_text() == "precious"
    assert not (tmp_path / "not there yet").exists()


@pytest.mark.parametrize("mode", ["rb", "r+b", "wb", "ab"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, mode: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    messages: list[str] = []

    def open_pipe() -> None:
        with (
            pytest.raises(OSError, match="is no regular file") as error,
            open(tmp_path / "pipe", mode, opener=open_regular),
        ):
            pass
        messages.append(str(error.value))

    thread = threading.Thread(target=open_pipe, daemon=True)
    thread.start()
    thread.join(10)
    assert messages, "it waits for the other end"


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


# ---- by one function ----

# What is opened in another way, each with what it opens there.
ELSEWHERE = {
    "appliance/doctor/board.py": "the kernel's files",
    "appliance/storage/database.py": "`connect` looks at what SQLite opens",
    "appliance/storage/rows.py": "the program's schema",
    "appliance/doctor/checks.py": "the kernel's files",
    "appliance/device/gpio.py": "the GPIO chip",
    "appliance/device/machine.py": "the kernel's files",
    "appliance/training/records.py": "the kernel's files",
    "appliance/storage/ownership.py": "what a person names, outside of the state directory",
    "appliance/__main__.py": "/dev/null",
    "appliance/settings/file.py": "the card's settings file, which is root's",
    "appliance/training/process.py": "the kernel's files",
    "appliance/device/systemd.py": "the kernel's files",
    "appliance/web/language.py": "the texts beside the program",
    "model/checkpoint.py": "arrays in memory",
    "model/datasets.py": "a table that a person names",
    "model/files.py": "the functions themselves",
    "model/shuffle.py": "rows beside the program",
}


def list_opens(path: Path) -> list[str]:
    """Return each call in a module that opens a file by its name, but for `opener=open_regular`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or any(each.arg == "opener" for each in node.keywords):
            continue
        called = ast.unparse(node.func)
        owner, _, name = called.rpartition(".")
        if called in ("open", "os.open", "sqlite3.connect", "np.load") or (
            owner and name in ("read_bytes", "read_text", "write_bytes", "write_text", "touch")
        ):
            found.append(called)
    return found


def test_all_that_lies_in_a_state_directory_is_opened_by_one_function() -> None:
    found = {
        str(path.relative_to(ROOT)): calls
        for package in ("appliance", "model")
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.is_relative_to(ROOT / "appliance" / "commands") and (calls := list_opens(path))
    }
    unknown = {name: calls for name, calls in found.items() if name not in ELSEWHERE}
    assert not unknown, "opened otherwise than with `opener=open_regular` or `read_regular`"
    assert set(ELSEWHERE) == set(found), "no longer so"
