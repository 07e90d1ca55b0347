"""Kills a night of training at random instants, and has it go on each time until it ends.

    python -m tests.proofs.retrain_kills --count 100

Each time it goes on it is a program begun anew, as after a power cut: what a night takes up must
not depend on the memory of the one before. All that is learned is small; what is written, and in
which order, is what `digits retrain` writes.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from select import select
from typing import Any

from appliance.captures.store import Captures
from appliance.storage.layout import StateDirectory
from appliance.training import retrain
from appliance.training.lock import hold_training_lock
from appliance.training.records import load_nights
from tests.owner import base, correct, current, hand, retraining

CHECKPOINT_SECONDS = 0.01


def night(state: Path) -> None:
    """Do what `digits retrain` does, with a checkpoint after almost every batch."""
    retrain.CHECKPOINT_SECONDS = CHECKPOINT_SECONDS
    with hold_training_lock(state):
        captures = Captures(StateDirectory(state).captures)
        retraining(state, captures).run()
        captures.close()


def begun(state: Path, seconds: float | None) -> bool:
    """Let a new program work through a night, killed after so many seconds; tell if it ended."""
    ready, tell = os.pipe()
    words = ["-W", "error", "-m", "tests.proofs.retrain_kills", "--night", str(state)]
    child = subprocess.Popen(
        [sys.executable, *words, "--tell", str(tell)],
        pass_fds=[tell],
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(tell)
    # What it takes to import numpy is not the night's.
    os.read(ready, 1)
    # What is left to read is the end of the file, when it has ended by itself.
    ended, _, _ = select([ready], [], [], seconds)
    if not ended:
        child.kill()
    _, said = child.communicate()
    code = child.returncode
    os.close(ready)
    # It would come to the same end from its beginning: what was done before must not be lost.
    assert "begins anew" not in said, said
    print(said, end="", file=sys.stderr)
    assert code in ((0,) if ended else (0, -signal.SIGKILL)), f"the night failed with {code}"
    return code == 0


def stands(state: Path) -> str:
    """Return in which part of the night it was killed, as the disk shows it."""
    if load_nights(state):
        return "recorded"
    try:
        plan = json.loads((state / "night" / "plan.json").read_text("utf-8"))["plan"]
    except FileNotFoundError:
        return "preparing"
    if plan["decided"]:
        return "decided"
    return "training" if (state / "night" / "checkpoint.npz").exists() else "prepared"


def is_over(state: Path) -> bool:
    """Tell whether nothing is left to go on with: `--due` would not begin another that night."""
    return bool(load_nights(state)) and not (state / "night" / "plan.json").exists()


def whole(state: Path, wanted: str) -> None:
    """Raise AssertionError unless the night came to what the undisturbed one came to."""
    (record,) = load_nights(state)
    assert record["outcome"] == "promoted"
    assert record["candidate"] == wanted[:12]
    assert current(state) == wanted
    assert is_over(state)


def main(folder: Path, count: int, seed: int = 1) -> dict[str, Any]:
    """Return where the kills struck and how many nights they were spread over."""
    chance = random.Random(seed)
    begin = folder / "begin"
    begin.mkdir(parents=True)
    captures = Captures(StateDirectory(begin).captures)
    correct(captures, *hand())
    captures.close()
    shipped = current(begin)

    def fresh(name: str) -> Path:
        return Path(shutil.copytree(begin, folder / name))

    undisturbed = fresh("undisturbed")
    assert begun(undisturbed, None)
    seconds = float(load_nights(undisturbed)[0]["seconds"])
    wanted = current(undisturbed)
    whole(undisturbed, wanted)
    assert wanted != shipped

    struck: Counter[str] = Counter()
    half_written = ended = 0
    state = fresh("0")
    while sum(struck.values()) < count:
        if is_over(state) or begun(state, chance.uniform(0, seconds)):
            whole(state, wanted)
            ended += 1
            state = fresh(str(ended))
            continue
        struck[stands(state)] += 1
        half_written += any(state.rglob(".*.new"))
        assert current(state) in (shipped, wanted)
        assert len(load_nights(state)) <= 1
        held = Captures(StateDirectory(state).captures)
        assert sum(held.count_labels().values()) == len(hand()[1])
        held.close()
    if not is_over(state):
        assert begun(state, None)
    whole(state, wanted)
    return {
        "kills": sum(struck.values()),
        "struck": dict(struck),
        "half_written": half_written,
        "nights": ended + 1,
        "seconds": round(seconds, 2),
        "sha256": wanted,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--night", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tell", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.night:
        # What the tests alone need is not the night's either.
        base()
        os.write(arguments.tell, b".")
        night(arguments.night)
        sys.exit()
    place = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        print(json.dumps(main(place, arguments.count, arguments.seed)))
    finally:
        shutil.rmtree(place)
