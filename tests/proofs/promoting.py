"""Kills a process that promotes networks back and forth, at random instants, and looks after each.

    python -m tests.proofs.promoting FOLDER 100

A process of its own, so that each of the hundred is a fork of it and imports nothing again.
"""

import argparse
import json
import os
import random
import signal
from itertools import cycle
from pathlib import Path
from select import select
from typing import Any

from appliance.errors import VaultError
from appliance.networks.vault import Vault
from model.network import build

_LONGEST = 0.03
"""Seconds until the kill, at most: several promotions long."""


def promote_forever(vault: Vault, ids: list[str]) -> None:
    for number, id in enumerate(cycle(ids)):
        vault.promote(id)
        if number % 3 == 2:
            vault.add(build([["dense", 784, 10]], number % 7), {"seed": number % 7})
        if number % 5 == 4:
            vault.roll_back()


def killed(vault: Vault, ids: list[str], seconds: float) -> None:
    """Let a child promote for so long, then end it as a power cut would."""
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(tell, b".")
            promote_forever(vault, ids)
        finally:
            os._exit(1)
    os.read(ready, 1)
    # Ends at once, and is noticed, if the child fails instead of being killed.
    os.close(tell)
    failed, _, _ = select([ready], [], [], seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(ready)
    assert not failed
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def main(folder: Path, kills: int) -> dict[str, Any]:
    """Return what was found after each kill, counted."""
    chance = random.Random(1)
    vault = Vault(folder)
    ids = [vault.add(build([["dense", 784, 10]], seed), {"seed": seed}) for seed in range(3)]
    ids.append(vault.load_current().id)
    report: dict[str, Any] = {"kills": 0, "half_written": 0, "problems": [], "reads": {}}
    for _ in range(kills):
        killed(vault, ids, chance.uniform(0, _LONGEST))
        report["kills"] += 1
        report["half_written"] += any(folder.glob(".*.new"))
        # As a service would that starts now, and knows nothing of before.
        started = Vault(folder)
        held = started.load_current()
        if held.problem:
            report["problems"].append(held.problem)
        report["problems"] += [
            each.id for each in started.list_networks() if each.state == "damaged"
        ]
        report["reads"][held.id] = report["reads"].get(held.id, 0) + 1
        before = started.previous_id()
        try:
            assert started.roll_back() == before
        except VaultError:
            assert before is None
        # What the children add can push the first ones out.
        ids = [each.id for each in started.list_networks()][:4]
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the networks, made if it is not there")
    parser.add_argument("kills", type=int)
    args = parser.parse_args()
    print(json.dumps(main(args.folder, args.kills)))
