"""What is run on the emulated board, a step each; it tells the other side by lines of the console.

    python3 on_board.py read serve

Each of the appliance's programs is one process, as on a Pi; its peak is what the kernel tells of it
(VmHWM). Of a step that is killed in the middle it is read while it runs.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
STATE = Path("/var/tmp/state")
SETTINGS = Path("/var/tmp/digits.toml")
SAMPLES = CHECKOUT / "data/samples"
PAGE = "http://127.0.0.1:8080"
TALK = "@digits "


def tell(**facts: Any) -> None:
    # A line of its own, whatever the console has shown before.
    os.write(1, f"\n{TALK}{json.dumps(facts)}\n".encode())


def check(good: bool, what: str, why: str = "") -> bool:
    tell(check=bool(good), what=what, why=why[-3000:])
    return good


def peak(step: str, size: int) -> None:
    tell(peak=step, bytes=size)


def environment() -> dict[str, str]:
    pins = {"GPIOZERO_PIN_FACTORY": "lgpio", "PYTHONPATH": f"{CHECKOUT}:{HERE / 'pins'}"}
    return {**os.environ, **pins, "PYTHONUNBUFFERED": "1"}


def digits(*words: str | Path) -> list[str]:
    return [sys.executable, "-P", "-m", "appliance", *map(str, words)]


class Ran:
    """A command's exit status, what it said, and the most memory that it had, in bytes."""

    def __init__(self, words: Sequence[str], seconds: float) -> None:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                words, cwd=CHECKOUT, env=environment(), stdin=subprocess.DEVNULL, stdout=out,
                stderr=errors, start_new_session=True,
            )  # fmt: skip
            end = time.monotonic() + seconds
            self.late = False
            while True:
                number, status, usage = os.wait4(process.pid, os.WNOHANG)
                if number:
                    break
                if time.monotonic() > end and not self.late:
                    self.late = True
                    os.killpg(process.pid, signal.SIGKILL)
                time.sleep(0.2)
            process.returncode = self.code = os.waitstatus_to_exitcode(status)
            self.peak = usage.ru_maxrss * 1024
            self.out, self.errors = (_text(file) for file in (out, errors))
        if self.late:
            self.errors += f"\nended by the check, as it took more than {seconds:.0f} s"

    @property
    def said(self) -> str:
        return f"{self.out[-1500:]}\n{self.errors[-1500:]}\nexit status {self.code}"


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode(errors="replace"))


def status(process: int, name: str) -> int:
    """Return a line of the kernel's on a process in bytes, 0 where it is gone."""
    with suppress(OSError, AttributeError):
        text = Path(f"/proc/{process}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", text)[1]) * 1024  # type: ignore[index]
    return 0


def get(path: str) -> bytes:
    with urllib.request.urlopen(PAGE + path, timeout=60) as answer:
        return bytes(answer.read())


def until(condition: Callable[[], Any], seconds: float) -> Any:
    """Return the first true value of a condition; what it is that time if there is none."""
    end = time.monotonic() + seconds
    while True:
        found = None
        with suppress(OSError, ValueError, KeyError):
            found = condition()
        if found or time.monotonic() > end:
            return found
        time.sleep(0.5)


def prepared() -> None:
    SETTINGS.write_text(
        f'[camera]\nsource = "folder:{SAMPLES}"\npicture_seconds = 30\nrate = 1\n'
        f'[leds]\nlayout = "four"\n[state]\nfolder = "{STATE}"\n'
    )
    began = time.monotonic()
    # An installed release is compiled too.
    done = Ran([sys.executable, "-m", "compileall", "-q", "appliance", "model"], 300)
    facts = os.uname()
    name = f"{facts.machine}, Linux {facts.release}, Python {sys.version.split()[0]}"
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    good = facts.machine == "armv6l" and done.code == 0
    seconds = time.monotonic() - began
    check(good, f"booted: {name}, {memory} MB; compiled in {seconds:.0f} s there", done.said)


# ---- the steps


def read() -> None:
    files = sorted(SAMPLES.glob("*.jpg"))
    done = Ran(digits("read", "--json", *files), 600)
    peak("digits read", done.peak)
    said = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    wrong = [
        f"{Path(each['file']).name}: {each['digit']} ({each['confidence']})"
        for each in said
        if Path(each["file"]).name[0] != ("n" if each["digit"] is None else str(each["digit"]))
    ]
    good = done.code == 0 and len(said) == len(files) and not wrong
    check(good, f"digits read: {len(said) - len(wrong)} of {len(files)} samples right",
          "\n".join(wrong) + done.said)  # fmt: skip


STEPS: dict[str, Callable[[], None]] = {"read": read}


def main(steps: list[str]) -> None:
    tell(up=True)
    prepared()
    for step in steps:
        try:
            STEPS[step]()
        except Exception:
            check(False, f"{step} ended with an error of the check's own", traceback.format_exc())


if __name__ == "__main__":
    main(sys.argv[1:])
    tell(end=True)
