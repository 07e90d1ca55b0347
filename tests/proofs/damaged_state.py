"""Starts the appliance on each damaged file of its state, and on a card that is read-only.

    python -m tests.proofs.damaged_state

It is a real `digits run` each time. It fails where it does not read, where a view does not answer,
and where something ends in a traceback. The read-only card is a bind mount, which only root makes.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from appliance.captures.store import Captures
from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.networks.vault import Vault
from appliance.outputs.history import History
from appliance.reading import Reading
from appliance.storage.layout import StateDirectory, carry_over
from appliance.storage.recovery import PLACE, SETTINGS
from appliance.training.records import Progress, append_night
from model.network import build
from tests.captured import add_capture
from tests.conftest import ROOT, SAMPLES, free_port

READ_ONLY = "read-only"
VIEWS = "/", "/history", "/teach", "/training", "/inside", "/device"
ROUTES = (
    "reading", "health", "history", "history.csv", "captures", "captures/report", "training",
    "networks", "device",
)  # fmt: skip
HOWS = "empty", "random", "flipped", "cut", "folder"


def make_state(state: Path) -> str:
    """Lay down a state directory with something in each of its files; return the PIN."""
    state.mkdir()
    carry_over(state)
    places = StateDirectory(state)
    with closing(Captures(places.captures)) as captures:
        for each in range(30):
            add_capture(captures, label=each % 11, at=1e9 + each)
    with closing(History(places.history, limit=100)) as history:
        for each in range(30):
            history.show(Reading(at=1e9 + each, settled=each % 10))
    vault = Vault(places.networks)
    for seed in range(2):
        vault.promote(vault.add(build([["dense", 784, 10]], seed), {"preset": "appliance"}))
    append_night(state, {"at": 1e9, "outcome": "kept", "why": "not better", "outcomes": {}})
    Progress(state / "retrain.json", state="ended", sentence="not better").save()
    places.overrides.write_text('{"reader": {"agree": 4}}')
    (state / "night").mkdir()
    (state / "night" / "plan.json").write_text('{"plan": {}, "sha256": ""}')
    (state / "night" / "checkpoint.npz").write_bytes(bytes(1000))
    # A restore that waits for the right to a settings file, which nobody here has.
    places.restored.mkdir()
    (places.restored / SETTINGS).write_text("[reader]\nagree = 3\n")
    (places.restored / PLACE).write_text("/nowhere/digits.toml")
    for name in ("captures.db-wal", "captures.db-shm", "history.db-wal", "history.db-shm"):
        (places.knowledge / name).touch()
    (state / "in-use.lock").touch()
    return OwnerPin(owner_file(state)).make_pin()


def files(state: Path) -> list[str]:
    """Return each file of a state directory by its name in it."""
    return sorted(
        str(each.relative_to(state))
        for each in state.rglob("*")
        if each.is_file() or each.is_symlink()
    )


def damage(file: Path, how: str) -> None:
    raw = bytearray(file.read_bytes()) if file.exists() else bytearray()
    rng = random.Random(str(file.name) + how)
    match how:
        case "empty":
            raw.clear()
        case "random":
            raw = bytearray(rng.randbytes(5000))
        case "flipped" if raw:
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        case "cut":
            raw = raw[: len(raw) // 2]
    file.unlink()
    if how == "folder":
        file.mkdir()
    else:
        file.write_bytes(raw)


class Appliance:
    """A `digits run` on a state directory, from when it has read something until `stop`."""

    def __init__(self, state: Path, before: Sequence[str] = ()) -> None:
        self.port = free_port()
        words = [sys.executable, "-m", "appliance", "run", "--state", str(state)]
        words += ["--camera", f"folder:{SAMPLES}", "--host", "127.0.0.1", "--leds", "none"]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*before, *words, "--port", str(self.port)],
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data,
            {"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError as error:
            return 0, str(error).encode()

    def reads(self, seconds: float = 60.0) -> bool:
        """Wait until there is a reading with digits."""
        pause = threading.Event()
        for _ in range(int(seconds * 10)):
            status, body = self.ask("/api/v1/reading")
            if status == 200 and "confidence" in (told := json.loads(body)) and not told["fault"]:
                return True
            if self.process.poll() is not None:
                return False
            pause.wait(0.1)
        return False

    def stop(self) -> str:
        """End it; return its log."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
        self.log.seek(0)
        text = self.log.read()
        self.log.close()
        return text


def look(
    state: Path, before: Sequence[str] = (), also: Callable[[Appliance], str] | None = None
) -> tuple[list[str], str]:
    """Start on a state directory; return what is not well, and what it says."""
    appliance, wrong = Appliance(state, before), []
    said = ""
    try:
        if not appliance.reads():
            wrong.append("it does not read")
        else:
            for path in (*VIEWS, *(f"/api/v1/{each}" for each in ROUTES)):
                status, body = appliance.ask(path)
                if status != 200:
                    wrong.append(f"{path}: {status} {body[-120:]!r}")
            if also:
                wrong += filter(None, [also(appliance)])
    finally:
        log = appliance.stop()
    if "Traceback" in log:
        wrong.append(f"a traceback: {log[-300:]}")
    lines = [re.sub(r"^\S+ \S+ ", "", line) for line in log.splitlines()]
    usual = "the page is at|stopped|the owner's PIN|the camera gives|shows|reading"
    said = "; ".join(line.replace(f"{state}/", "") for line in lines if not re.match(usual, line))
    if "it does not read" in wrong:
        wrong.append(log[-300:])
    return wrong, said


def read_only(state: Path) -> list[str]:
    """Return the words before a command that has it see a folder as on a read-only card."""
    mount = f"mount --bind {state} {state} && mount -o remount,ro,bind {state}"
    return ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"]


def changes_are_shut(appliance: Appliance) -> str:
    """Return what is wrong where nothing may be changed."""
    status, body = appliance.ask("/api/v1/captures", {"label": 1, "reading": 1})
    health = json.loads(appliance.ask("/api/v1/health")[1])
    detail = json.loads(body).get("detail")
    if status != 503 or health["status"] != "fault" or detail not in health["problems"]:
        return f"a change: {status} {body!r}, health: {health['problems']}"
    _, page = appliance.ask("/")
    return "" if b'class="notice problem"' in page else "the page does not say why"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="files of the state directory (all of them)")
    args = parser.parse_args()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        base, state = Path(folder) / "base", Path(folder) / "state"
        make_state(base)
        tries = [(name, how) for name in args.names or files(base) for how in HOWS]
        tries += [(READ_ONLY, "card")]
        for name, how in tries:
            shutil.rmtree(state, ignore_errors=True)
            shutil.copytree(base, state, symlinks=True)
            if not name.startswith("knowledge.restored/"):
                shutil.rmtree(StateDirectory(state).restored)
            before: Sequence[str] = ()
            also = changes_are_shut if (name, how) == (READ_ONLY, "card") else None
            if name == READ_ONLY:
                before = read_only(state)
            else:
                damage(state / name, how)
                if name == "owner.json":
                    also = changes_are_shut
            wrong, said = look(state, before, also)
            passed, failed = passed + (not wrong), failed + bool(wrong)
            print(f"{name} {how}: {'reads' if not wrong else 'FAILED'}; {said[:300] or '–'}")
            for each in wrong:
                print(f"  FAILED {each}")
            sys.stdout.flush()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
