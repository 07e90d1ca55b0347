"""An update that power cuts break off at each of its steps: setup.sh's functions, and starts."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Each step is one of these commands. What they do happens in the folder of the test alone.
COMMANDS = {
    "systemctl": """
case "$*" in
*is-enabled*) [ -e "$M/enabled/$3" ] || [ -e "$M/enabled/$2" ] ;;
*disable*) for unit; do :; done; rm -f "$M/enabled/$unit" ;;
*enable*) for unit; do :; done; touch "$M/enabled/$unit" ;;
*"show -P MainPID"*) echo 0 ;;
*"restart --no-block"*) cat "$M/units/digits.service" "$M/app/current/name" >"$M/runs" ;;
esac""",
    "python3": """
case "$*" in
*storage.downgrade*) touch "$M/flat" ;;
*) sed 's/^/asked: /' "$M/app/current/name" >>"$M/log"
	if [ -e "$M/app/current/bad" ]; then echo "setup.sh: the page does not answer" >&2; exit 1; fi
	echo ok ;;
esac""",
    "journalctl": "echo its last words",
    "id": "echo 0",
    "mv": 'exec /bin/mv "$@"',
    "rm": 'exec /bin/rm "$@"',
    "ln": 'exec /bin/ln "$@"',
    "cat": 'exec /bin/cat "$@"',
    "chmod": 'exec /bin/chmod "$@"',
    "sync": 'for each; do [ -e "$each" ] || exit 1; done',
}
# The power goes before the step whose number is in the file.
STEP = """#!/bin/sh
PATH=/usr/bin:/bin
read -r left <"$M/steps" || left=-1
echo $((left - 1)) >"$M/steps"
[ "$left" != 1 ] || kill -9 0
"""
PLACES = {
    "APP=/opt/digits": "APP=$M/app",
    "COMMAND=/usr/local/bin/digits": "COMMAND=$M/digits",
    "STATE=/var/lib/digits": "STATE=$M/state",
    "UNITS=/etc/systemd/system": "UNITS=$M/units",
    "/run/digits-setup.lock": '"$M/lock"',
    "/run/digits/failures": '"$M/failures"',
}
SWITCH = 'umask 022; NEW=new FRESH="" SETTINGS_NEW=""; switch_release'
FINISHES = "digits-trial.service"
NEVER = -1


class Machine:
    """A machine with the release `old`, and `new` beside it."""

    def __init__(self, folder: Path, *, new_is_bad: bool, old_is_ancient: bool) -> None:
        self.folder, self.app = folder, folder / "app"
        for name in ("bin", "units", "enabled", "checkout", "app/releases", "state"):
            (folder / name).mkdir(parents=True)
        for name, does in COMMANDS.items():
            (folder / "bin" / name).write_text(f"{STEP}{does}\n")
            (folder / "bin" / name).chmod(0o755)
        text = (ROOT / "setup.sh").read_text()
        for before, after in PLACES.items():
            assert before in text
            text = text.replace(before, after)
        (folder / "checkout/setup.sh").write_text(text)
        self._functions = text.removesuffix('main "$@"\n')
        for name in ("old", "new"):
            ancient = old_is_ancient and name == "old"
            release = self.app / "releases" / name
            for part in ("systemd", "appliance/storage"):
                (release / part).mkdir(parents=True)
            (release / "name").write_text(f"{name}\n")
            (release / "systemd/digits.service").write_text(f"[Install] of {name}\n[Install]\n")
            if not ancient:
                (release / "appliance/storage/layout.py").touch()
                (release / "systemd" / FINISHES).write_text("[Install]\n")
        if new_is_bad:
            (self.app / "releases/new/bad").touch()
        (self.app / "current").symlink_to("releases/old")
        self._run(self._functions + "umask 022; activate_release old", NEVER)
        self.start()

    def _run(self, shell: str, steps: int) -> bool:
        """Run a program; tell whether the power went, which it does after so many steps."""
        (self.folder / "steps").write_text(f"{steps}\n")
        environment = {"M": str(self.folder), "PATH": f"{self.folder}/bin:/usr/bin:/bin"}
        with open(self.folder / "log", "a") as log:
            done = subprocess.run(
                ["sh", "-c", shell, f"{self.folder}/checkout/setup.sh"],
                env=environment, stdout=log, stderr=log, start_new_session=True,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        return done.returncode == -signal.SIGKILL

    def update(self, steps: int = NEVER) -> bool:
        return self._run(self._functions + SWITCH, steps)

    def start(self, steps: int = NEVER) -> bool:
        """Start the machine; systemd does what the units say."""
        with open(self.folder / "log", "a") as log:
            log.write("starts\n")
        unit, name = self.folder / "units/digits.service", self.app / "current/name"
        (self.folder / "runs").write_text(unit.read_text() + name.read_text())
        enabled = (self.folder / "units" / FINISHES).exists() and (
            self.folder / "enabled" / FINISHES
        ).exists()
        if not enabled or not (self.app / "trying").exists():
            return False
        return self._run(f'exec sh "{self.app}/setup.sh" finish-update', steps)

    @property
    def current(self) -> str:
        return os.readlink(self.app / "current").removeprefix("releases/")

    @property
    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    def is_settled(self) -> bool:
        """Tell whether one release runs with its own unit, and none is on trial."""
        unit = self.app / "current/systemd/digits.service"
        runs = unit.read_text() + (self.app / "current/name").read_text()
        return (
            (self.folder / "runs").read_text() == runs
            and (self.folder / "units/digits.service").read_text() == unit.read_text()
            and not (self.app / "trying").exists()
        )


@pytest.mark.slow
@pytest.mark.parametrize("new_is_bad", [False, True])
def test_an_update_that_power_cuts_break_off_ends_by_itself(
    tmp_path: Path, new_is_bad: bool
) -> None:
    cuts, ends, most = 0, set(), 23 if new_is_bad else 4
    for step in range(1, 1000):
        # Every other one updates from a release that knows nothing of trials, nor of `knowledge/`.
        folder, ancient = tmp_path / str(step), step % 2 == 0
        machine = Machine(folder, new_is_bad=new_is_bad, old_is_ancient=ancient)
        if not machine.update(step):
            break
        # Another cut, at another step of the start after it, and of the next.
        cuts += machine.start(1 + step * 5 % most)
        cuts += machine.start(1 + step * 3 % most)
        machine.start()
        assert machine.is_settled(), (step, machine.log)
        ends.add(machine.current)
        if new_is_bad:
            assert machine.current == "old", (step, machine.log)
            # Once it is decided, the bad one is not asked again.
            if (machine.app / "gone-back").exists():
                decided = machine.log.index("going back to the release old")
                assert "asked: new" not in machine.log[decided:]
                assert (machine.folder / "flat").exists() == ancient
    assert step > 20
    assert cuts > 10
    assert ends == ({"old"} if new_is_bad else {"old", "new"})
    assert machine.current == ("old" if new_is_bad else "new")
    assert machine.is_settled()
    assert not (machine.app / "setup.sh").exists()


def test_a_new_release_that_does_not_answer_after_a_power_cut_gives_way(tmp_path: Path) -> None:
    for step in range(8, 1000):
        machine = Machine(tmp_path / str(step), new_is_bad=True, old_is_ancient=False)
        if machine.update(step) and machine.current == "new":
            break
    machine.start()
    assert machine.current == "old"
    assert machine.is_settled()
    told = machine.log[machine.log.index("starts", 1) :]
    assert "the update from old to new was broken off before it was known to run: " \
        "looking at it now" in told  # fmt: skip
    assert told[-1] == (
        "setup.sh: the release new does not run: above is why; the release old runs again as before"
    )
    lines = (machine.app / "gone-back").read_text().splitlines()
    assert lines[:2] + lines[3:] == ["new", "old", "the page does not answer"]
    count = len(machine.log)
    machine.start()
    assert machine.log[count:] == ["starts"]


def test_the_next_update_forgets_the_one_that_gave_way(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine", new_is_bad=True, old_is_ancient=False)
    machine.update()
    assert (machine.app / "gone-back").exists()
    assert not (machine.app / "releases/new").exists()
    for part in ("systemd", "appliance/storage"):
        (machine.app / "releases/new" / part).mkdir(parents=True)
    old, new = machine.app / "releases/old", machine.app / "releases/new"
    for name in ("systemd/digits.service", f"systemd/{FINISHES}", "appliance/storage/layout.py"):
        (new / name).write_text((old / name).read_text())
    (new / "name").write_text("new\n")
    machine.update()
    assert machine.current == "new"
    assert machine.is_settled()
    assert not (machine.app / "gone-back").exists()
