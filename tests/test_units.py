"""The units of systemd/: the shell in them, with stand-ins for what it starts."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

Runs = Callable[..., str]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Run a command of digits.service, for a time since the machine's start."""
    text = (ROOT / "systemd/digits.service").read_text().replace("\\\n", "\n")
    for before, after in {"/run/digits": tmp_path, "/proc/uptime": tmp_path / "uptime"}.items():
        text = text.replace(before, str(after))
    (tmp_path / "sleep").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "sleep").chmod(0o755)

    def run(key: str, uptime: float, result: str = "") -> str:
        found = re.search(rf"^{key}=-?/bin/sh -c '([^']*)'", text, re.MULTILINE)
        assert found
        (tmp_path / "uptime").write_text(f"{uptime:.2f} 1.00\n")
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SERVICE_RESULT": result}
        shell = ["sh", "-c", found[1]]
        return subprocess.run(
            shell, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    return run


@pytest.mark.parametrize("result", ["exit-code", "signal", "timeout"])
def test_a_service_that_cannot_run_is_begun_anew_less_and_less_often(
    runs: Runs, result: str
) -> None:
    now, pauses = 100.0, []
    while now < 3700:
        pauses.append(int(runs("ExecStartPre", now)))
        # It takes 15 seconds until it ends by itself, and systemd waits for three.
        now += pauses[-1] + 15
        runs("ExecStopPost", now, result)
        now += 3
    assert pauses[:7] == [0, 4, 12, 28, 60, 124, 150]
    assert set(pauses[7:]) == {150}
    assert len(pauses) < 30
    # Half an hour later that is over, and so it is when it was told to stop.
    assert runs("ExecStartPre", now + 1800) == "0"
    assert runs("ExecStartPre", now) == "150"
    runs("ExecStopPost", now, "success")
    assert runs("ExecStartPre", now) == "0"


def test_what_stood_still_is_counted_apart(runs: Runs, tmp_path: Path) -> None:
    runs("ExecStopPost", 77.5, "watchdog")
    assert (tmp_path / "stalls").read_text() == "77.50\n"
    assert runs("ExecStartPre", 80) == "0"
