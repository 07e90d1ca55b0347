"""Power cuts and full disks while networks are promoted: one that works is always there."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.errors import StateError
from appliance.networks.vault import Vault
from model import weights
from model.network import build
from tests.faults.program import report_of


def test_of_a_hundred_kills_while_promoting_none_leaves_it_without_a_network(
    tmp_path: Path,
) -> None:
    report = report_of("tests.proofs.promoting", str(tmp_path / "n"), "100")
    assert report["kills"] == 100
    assert report["problems"] == []
    # They did come in between: some with a file half written, and with several networks current.
    assert report["half_written"] > 0
    assert len(report["reads"]) > 1


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The kernel itself refuses to write more, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [0, 1, 500, 20_000])
def test_a_disk_that_is_full_while_a_network_is_written_keeps_all_that_is_there(
    tmp_path: Path, size: int
) -> None:
    vault = Vault(tmp_path / "networks")
    one, two = (vault.add(build([["dense", 784, 10]], seed), {}) for seed in range(2))
    vault.promote(one)
    before = {file: file.read_bytes() for file in vault.folder.iterdir() if file.is_file()}
    with no_file_larger_than(size), pytest.raises(StateError, match="make room on the disk"):
        vault.add(build([["dense", 784, 10]], 3), {})
    assert {file: file.read_bytes() for file in vault.folder.iterdir() if file.is_file()} == before
    if not size:
        with no_file_larger_than(size), pytest.raises(StateError, match=f"{two} is not promoted"):
            vault.promote(two)
        with no_file_larger_than(size):
            assert vault.roll_back() == vault.list_networks()[-1].id
        vault.promote(one)
    assert (vault.load_current().id, vault.load_current().problem) == (one, None)


def test_a_state_folder_that_cannot_be_made_or_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    inside = Vault(tmp_path / "file" / "networks")
    with pytest.raises(StateError, match=r"is not kept .*check the disk and who owns the folder"):
        inside.add(build([["dense", 784, 10]]), {})
    assert inside.load_current().card["sha256"] == weights.load(weights.SHIPPED)[1]["sha256"]

    def read_only(*arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    vault = Vault(tmp_path / "networks")
    one, two = (vault.add(build([["dense", 784, 10]], seed), {}) for seed in range(2))
    vault.promote(one)
    for name in ("replace", "symlink", "unlink"):
        monkeypatch.setattr(os, name, read_only)
    with pytest.raises(StateError, match=f"{two} is not promoted .Read-only file system"):
        vault.promote(two)
    with pytest.raises(StateError, match=r"nothing is rolled back .Read-only file system"):
        vault.roll_back()
    assert (vault.load_current().id, vault.load_current().problem) == (one, None)
