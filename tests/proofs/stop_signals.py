"""Ends `digits run` by signals at random instants, and tells how many runs did not end.

    python -m tests.proofs.stop_signals --runs 200
    python -m tests.proofs.stop_signals --runs 50 --signals 2 --gap 0.00005 --signal SIGTERM

The first signal comes at an instant from the start of the process to a second after it reads, the
others from ten microseconds to half a second after it; with --gap the first comes when it reads,
and each other so many seconds later. A run has two seconds from its first signal on. Once its page
was there it is to end with code 0 and a whole history. Before the appliance's first line, while
Python itself starts, a SIGINT is Python's: it ends with code 1, or is lost; such runs are counted
apart.
"""

import argparse
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from appliance.storage.layout import StateDirectory

ROOT = Path(__file__).parents[2]
SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")
SECONDS = 2.0
_PATIENCE = 12.0


@dataclass
class Report:
    """How many runs came to an end too late or wrongly, the slowest end, and the exit codes."""

    late: int = 0
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    codes: Counter[int] = field(default_factory=Counter)
    of_python: int = 0

    @property
    def held(self) -> bool:
        return not self.late and not self.wrong


class Appliance:
    """A `digits run` on a port and a state directory of its own."""

    def __init__(self, state: Path, camera: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        config, self._log = state.with_suffix(".toml"), state.with_suffix(".log")
        config.write_text("[camera]\nrate = 20\npicture_seconds = 0\n[reader]\nagree = 1\n")
        words = ["run", "--camera", camera, "--leds", "ten", "--host", "127.0.0.1"]
        words += ["--port", str(self._port), "--state", str(state), "--config", str(config)]
        self.started = time.monotonic()
        with open(self._log, "wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "appliance", *words],
                cwd=ROOT,
                env={"GPIOZERO_PIN_FACTORY": "mock"} | os.environ,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                preexec_fn=_hear_all_signals,
            )

    def wait_until_it_reads(self) -> None:
        """Wait until the page tells of readings; raises RuntimeError if it does not come to it."""
        while time.monotonic() < self.started + 60 and self.process.poll() is None:
            with suppress(OSError):
                page = f"http://127.0.0.1:{self._port}/api/v1/health"
                with urllib.request.urlopen(page, timeout=2) as answer:
                    if json.load(answer)["readings"]:
                        return
            time.sleep(0.02)
        raise RuntimeError(self.read_log() or "the page did not answer within a minute")

    def read_log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def _hear_all_signals() -> None:
    """A job in the background, and what nohup starts, would ignore some from its beginning."""
    for name in SIGNALS:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def measure_start(state: Path, camera: str) -> float:
    """Return the seconds from an appliance's start until it reads; its signal is a single one."""
    with closing(Appliance(state, camera)) as appliance:
        appliance.wait_until_it_reads()
        seconds = time.monotonic() - appliance.started
        appliance.process.terminate()
        appliance.process.wait(_PATIENCE)
    return seconds


def end_at(
    appliance: Appliance, instants: list[float], names: list[str], report: Report, state: Path
) -> None:
    """Send the signals at seconds after the start, and add to the report how the run ended."""
    for instant, name in zip(instants, names, strict=True):
        with suppress(subprocess.TimeoutExpired):
            appliance.process.wait(max(0.0, appliance.started + instant - time.monotonic()))
        # One that has ended gets no signal more.
        appliance.process.send_signal(getattr(signal, name))
    run = f"{' '.join(names)} at {', '.join(f'{each:.3f}' for each in instants)} s"
    code = None
    with suppress(subprocess.TimeoutExpired):
        code = appliance.process.wait(_PATIENCE)
    took = time.monotonic() - appliance.started - instants[0]
    said = appliance.read_log()
    if _is_of_python(said):
        report.of_python += 1
        return
    report.slowest = max(report.slowest, took)
    if took > SECONDS:
        report.late += 1
        print(f"✘ {run}: it had not ended after {took:.1f} s", flush=True)
    if code is None:
        return
    report.codes[code] += 1
    # Before its first line it ends as every Python program does.
    good = {0} if "the page is at" in said else {0, 130, *(-getattr(signal, n) for n in names)}
    problem = None
    if code not in good:
        problem = f"code {code}: {said[-500:]}"
    elif "hang" in said:
        problem = said[-500:]
    elif StateDirectory(state).history.exists():
        with closing(sqlite3.connect(StateDirectory(state).history)) as database:
            whole = database.execute("PRAGMA integrity_check").fetchone()[0]
            problem = None if whole == "ok" else f"the history is damaged: {whole}"
    if problem:
        report.wrong.append(problem)
        print(f"✘ {run}: {problem}", flush=True)


def _is_of_python(said: str) -> bool:
    """Tell whether a SIGINT came before Python had started."""
    return said.startswith("Fatal Python error: init_") or bool(
        re.match("Exception ignored in: .*importlib|Exception ignored in: <function _get_mod", said)
    )


def main(
    *, runs: int, signals: int, gap: float | None, name: str | None, seed: int, camera: str
) -> Report:
    """Return how so many runs ended."""
    chance, report = random.Random(seed), Report()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        state = Path(folder) / "state"
        seconds = measure_start(state, camera)
        print(f"it reads {seconds:.1f} s after its start", flush=True)
        for _ in range(runs):
            names = [name or chance.choice(SIGNALS) for _ in range(signals)]
            with closing(Appliance(state, camera)) as appliance:
                if gap is None:
                    first = chance.uniform(0, seconds + 1)
                    others = sorted(10 ** chance.uniform(-5, -0.3) for _ in names[1:])
                    instants = [first, *(first + each for each in others)]
                else:
                    appliance.wait_until_it_reads()
                    begin = time.monotonic() - appliance.started
                    instants = [begin + number * gap for number in range(signals)]
                end_at(appliance, instants, names, report, state)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--signals", type=int, default=3, help="how many a run (default: 3)")
    parser.add_argument("--gap", type=float, help="seconds between them (default: random instants)")
    parser.add_argument("--signal", choices=SIGNALS, help="which (default: each a random one)")
    parser.add_argument("--camera", default="folder:data/samples", help="as of digits run")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = main(
        runs=given.runs,
        signals=given.signals,
        gap=given.gap,
        name=given.signal,
        seed=given.seed,
        camera=given.camera,
    )
    codes = ", ".join(f"{code} ({count})" for code, count in sorted(found.codes.items()))
    print(
        f"{'✔' if found.held else '✘'} {given.runs} runs with {given.signals} signals: "
        f"{found.late} did not end within {SECONDS:.0f} s, {len(found.wrong)} ended wrongly; the "
        f"slowest end took {found.slowest:.2f} s; exit codes {codes}; while Python itself started: "
        f"{found.of_python}"
    )
    sys.exit(not found.held)
