"""What setup.sh says on a plain machine; tests/proofs/provisioning/run has it do what it says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

PLACES = (
    "/opt/digits",
    "/etc/digits",
    "/var/lib/digits",
    "/usr/local/bin/digits",
    "/etc/systemd/system",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is installed, so that the comparison is of nobody else's work."""
    folder = tmp_path / "checkout"
    for part in ("appliance", "model", "data", "systemd"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.sh", folder)
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of commands that stand in for the machine's; this apt reaches no network."""
    folder = tmp_path / "machine"
    folder.mkdir()
    stand_in(folder, "apt-get", "true")
    stand_in(folder, "uname", "echo armv6l")
    return folder


def stand_in(machine: Path, name: str, does: str) -> None:
    (machine / name).write_text(f"#!/bin/sh\n{does}\n")
    (machine / name).chmod(0o755)


def setup(checkout: Path, machine: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PATH": f"{machine}:{os.environ['PATH']}"}
    return subprocess.run(
        [checkout / "setup.sh", *words], env=environment, capture_output=True, text=True
    )


def tree(*folders: Path | str) -> dict[str, float]:
    return {
        str(path): path.lstat().st_mtime
        for folder in folders
        for path in (Path(folder), *Path(folder).rglob("*"))
        if path.exists()
    }


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["install", "update", "uninstall --purge"])
def test_a_dry_run_changes_nothing(checkout: Path, machine: Path, verb: str) -> None:
    before = tree(checkout, *PLACES)
    said = setup(checkout, machine, "--dry-run", *verb.split())
    assert tree(checkout, *PLACES) == before
    assert "othing was changed" in said.stdout or "Nothing to change" in said.stdout
    if verb != "uninstall --purge" and "/opt/digits" not in before:
        assert "would do: code: /opt/digits/releases/" in said.stdout
        assert "would do: current release: " in said.stdout
    again = setup(checkout, machine, *verb.split(), "--dry-run")
    assert again.stdout == said.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "does", "sentence"),
    [
        ("uname", "echo riscv64", "the processor is 'riscv64': it needs armv6l"),
        ("date", "echo 1970", "the clock shows 1970, which cannot be: connect the network"),
        ("df", "echo; echo x 1 1 9000 1 /", "MB free, and "),
        ("dpkg-query", "exit 1", "apt knows no archive: check /etc/apt/sources.list"),
        ("awk", "echo 300000", "there are 300 MB of memory, and 400 MB are needed"),
    ],
)
def test_what_it_needs_is_told_before_the_first_change(
    checkout: Path, machine: Path, command: str, does: str, sentence: str
) -> None:
    stand_in(machine, command, does)
    said = setup(checkout, machine, "install", "--dry-run")
    assert sentence in said.stderr
    assert said.returncode == 1


def test_a_clock_that_is_weeks_behind_is_told_before_the_first_change(
    checkout: Path, machine: Path
) -> None:
    stand_in(machine, "timedatectl", "echo no")
    file = checkout / "setup.sh"
    later = file.stat().st_mtime + 3 * 7 * 86400
    os.utime(file, (later, later))
    said = setup(checkout, machine, "install", "--dry-run")
    assert re.search(
        rf"the clock shows 20.*, and {re.escape(str(file))} is of 20.*: con", said.stderr
    )
    assert said.returncode == 1
    # Where the network sets it the file is wrong, or the clock was while that was written.
    stand_in(machine, "timedatectl", "echo yes")
    assert "the clock shows" not in setup(checkout, machine, "install", "--dry-run").stderr


def test_what_an_archive_may_lack_is_no_condition(checkout: Path, machine: Path) -> None:
    # Debian's for ARMv6 has no OpenBLAS: it reads without.
    stand_in(machine, "dpkg-query", "exit 1")
    said = setup(checkout, machine, "--dry-run", "install").stdout
    (needed,) = [line for line in said.splitlines() if "packages from apt: " in line]
    assert "python3-numpy" in needed
    assert "libopenblas0" not in needed
    assert "would do: package from apt, if its archive has it: libopenblas0" in said


def test_wrong_words_are_refused(checkout: Path, machine: Path) -> None:
    for words, sentence in {
        ("install", "now"): "install knows --image, --dry-run and --yes only, and 'now' was given",
        ("uninstall", "--all"): "uninstall knows --purge, --dry-run and --yes only",
        ("update", "--image"): "--image is for install, not for update",
        ("--dry-run", "demo"): "is for install, update and uninstall",
        ("instal",): "there is no verb 'instal'",
    }.items():
        said = setup(checkout, machine, *words)
        assert sentence in said.stderr
        assert said.returncode == 1
