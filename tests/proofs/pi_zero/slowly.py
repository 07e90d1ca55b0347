"""Pytest's plugin on the emulated board: Hypothesis asks for fewer examples, and waits for each.

The seconds of each test are told: by them it is chosen what the board leaves out.
"""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "board", deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("board")
_seconds: dict[str, float] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration
    if report.when == "teardown":
        told = {"test": report.nodeid, "seconds": round(_seconds[report.nodeid], 1)}
        # What is printed is pytest's; the board has one console.
        Path("/dev/console").write_text(f"\n@digits {json.dumps(told)}\n")
