"""Commands that root runs in a state directory that another user writes in."""

import os
import random
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import StateError
from appliance.storage.ownership import become_owner, open_folder, open_input, open_output
from tests import service_user
from tests.conftest import ROOT, SAMPLES
from tests.service_user import KINDS, NAMES, PLOTS, USER, House

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")

# Every command meets every trap in `python -m tests.proofs.service_user`.
SAMPLE = random.Random(1).sample([(name, kind) for name in NAMES for kind in KINDS], 40)


@pytest.fixture(scope="module")
def lent() -> Iterator[House]:
    service_user.warm_up()
    with service_user.house() as house:
        yield house


@pytest.fixture
def house(lent: House) -> House:
    service_user.renew(lent)
    return lent


def all_well(house: House, command: str) -> service_user.Found:
    """Run a command, and see that root did nothing for the user, and did not wait for it."""
    before = service_user.roots_own(house)
    found = service_user.attempt(house.commands()[command])
    assert found.code is not None, f"digits {command} hangs"
    assert found.code in (0, 1), found.said
    assert service_user.harm(house, before, found.said) == []
    assert "Traceback" not in found.said
    return found


@pytest.mark.slow
def test_every_command_does_its_work_as_the_owner(house: House) -> None:
    for command in house.commands():
        found = all_well(house, command)
        # What has no camera, no service and nothing to learn says so; so does what is not MNIST.
        refused = command in ("doctor", "retrain", "data import")
        assert found.code == (1 if refused else 0), (command, found.said)
        assert {path.lstat().st_uid for path in house.state.rglob("*")} == {USER}
    for name in ("b.zip", "c.zip", "r.txt"):
        assert (house.out / name).stat().st_uid == 0
    assert [path.name for path in house.out.iterdir() if path.name.endswith(".new")] == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), SAMPLE)
def test_no_trap_of_the_services_user_leads_root_anywhere(
    house: House, name: str, kind: str
) -> None:
    chance = random.Random(f"{name} {kind}")
    service_user.lay(house, name, kind)
    for command in chance.sample(list(house.commands()), 3):
        all_well(house, command)


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("command", ["backup", "captures list", "captures export", "doctor"])
def test_no_plot_of_the_services_user_leads_root_anywhere(
    house: House, plot: str, command: str
) -> None:
    PLOTS[plot](house)
    all_well(house, command)


def test_a_journal_that_names_a_file_removes_it_where_it_may(house: House) -> None:
    """The trap is a real one: SQLite follows it as far as the user's own right goes."""
    service_user.lay_journal(house)
    own = house.state / "own"
    own.write_text("its own")
    os.chown(own, USER, USER)
    journal = house.state / "knowledge" / "captures.db-journal"
    old, new = str(house.roots / "open").encode(), str(own).encode()
    data = journal.read_bytes()
    place = data.rindex(old)
    head = data[:place]
    tail = new + len(new).to_bytes(4, "big") + (sum(new) & 0xFFFFFFFF).to_bytes(4, "big")
    journal.write_bytes(head + tail + data[-8:])
    all_well(house, "captures list")
    assert not own.exists()


# ---- who root becomes ----


def test_an_appliance_that_root_starts_runs_as_the_owner_of_its_state(
    house: House, port: int
) -> None:
    words = ["run", "--camera", f"folder:{SAMPLES}", "--leds", "none", "--port", str(port)]
    words += ["--host", "127.0.0.1", "--state", str(house.state), "--config", os.devnull]
    told, tell = os.pipe()
    number = service_user.begun(words, tell)
    os.close(tell)
    with open(told) as lines:
        said = []
        for line in lines:
            said.append(line)
            if "the page is at" in line:
                break
        status = Path(f"/proc/{number}/status").read_text()
        os.kill(number, signal.SIGTERM)
        assert service_user.waited(number, 30) == 0, said + list(lines)
    numbers = {line.split(":")[0]: line.split()[1:] for line in status.splitlines()}
    assert numbers["Uid"] == [str(USER)] * 4
    assert numbers["Gid"] == ["65534"] * 4
    assert numbers["Groups"] == []
    assert {path.lstat().st_uid for path in house.state.rglob("*")} == {USER}


def in_another_process(work: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", work, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_root_gives_up_its_user_its_group_and_all_its_groups(house: House) -> None:
    said = in_another_process(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from appliance.storage.ownership import become_owner\n"
        "os.setgroups([0, 4, 27])\n"
        "become_owner(Path(sys.argv[1]))\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())\n"
        "try:\n"
        "    os.setuid(0)\n"
        "except PermissionError:\n"
        "    print('for good')\n",
        str(house.state),
    )
    assert said.stdout == f"{(USER,) * 3} {(65534,) * 3} []\nfor good\n", said.stderr


def test_root_stays_root_in_a_folder_of_its_own_alone(tmp_path: Path) -> None:
    become_owner(tmp_path / "not" / "there yet")
    assert os.geteuid() == 0
    for mode in (0o777, 0o775, 0o1777):
        shared = tmp_path / f"{mode:o}"
        shared.mkdir()
        shared.chmod(mode)
        with pytest.raises(StateError, match="others than root may write there"):
            become_owner(shared)
    inner = tmp_path / "777" / "inner"
    inner.mkdir()
    with pytest.raises(StateError, match=r"/777: others than root may write there"):
        become_owner(inner)
    # Where nobody removes what is another's, as in /tmp, it is safe.
    sticky = tmp_path / "1777" / "inner"
    sticky.mkdir()
    become_owner(sticky)
    (tmp_path / "link").symlink_to(sticky)
    become_owner(tmp_path / "link")
    os.chown(tmp_path / "link", USER, USER, follow_symlinks=False)
    with pytest.raises(StateError, match=r"/link: others than root"):
        become_owner(tmp_path / "link")


# ---- what root opens before ----


def test_root_follows_no_link_of_anothers_on_the_way_to_a_file(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "file").write_text("content")
    (tmp_path / "own").symlink_to("real")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "others").symlink_to(real)
    os.chown(tmp_path / "others", USER, USER, follow_symlinks=False)
    with open_input(tmp_path / "own" / ".." / "own" / "file") as file:
        assert file.read() == b"content"
    os.close(open_folder(tmp_path / "own"))
    with pytest.raises(OSError, match="root follows no link of another user's"):
        open_input(tmp_path / "others" / "file")
    with pytest.raises(StateError, match=r"cannot be written .root follows no link of another"):
        in_place(tmp_path / "others" / "new")
    with pytest.raises(OSError, match="Too many levels"):
        open_folder(tmp_path / "round")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_input(tmp_path / "own" / "nowhere")
    assert [each.name for each in real.iterdir()] == ["file"]


def test_root_waits_for_no_pipe_that_somebody_names(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="is no regular file"):
            open_input(path)
    with open_input(Path(os.devnull)) as empty:
        assert empty.read() == b""


def in_place(path: Path) -> None:
    with open_output("it", path, path.parent) as out:
        out.file.write(b"new")
        out.put()


def test_a_link_in_the_place_of_a_new_file_gives_way_itself(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out").symlink_to(tmp_path / "precious")
    (tmp_path / ".out.new").symlink_to(tmp_path / "precious")
    in_place(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"new"
    assert not (tmp_path / "out").is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"


PUTS = (
    "import os, sys\n"
    "from pathlib import Path\n"
    "from appliance.storage.ownership import become_owner, open_output\n"
    "out, state, what = sys.argv[1:]\n"
    "with open_output('it', Path(out), Path(state)) as new:\n"
    "    become_owner(Path(state))\n"
    "    new.file.write(b'whole')\n"
    "    new.file.flush()\n"
    "    if what == 'put': new.put()\n"
    "    if what == 'kill': os.kill(os.getpid(), 9)\n"
    "    if what == 'raise': raise SystemExit('no')\n"
)


@pytest.mark.parametrize("what", ["put", "kill", "raise", "nothing"])
def test_what_is_not_put_in_its_place_is_dropped_whatever_ends_the_command(
    house: House, what: str
) -> None:
    out = house.out / "file"
    out.write_text("before")
    said = in_another_process(PUTS, str(out), str(house.state), what)
    codes = {"put": 0, "nothing": 0, "raise": 1, "kill": -signal.SIGKILL}
    assert said.returncode == codes[what], said.stderr
    assert out.read_text() == ("whole" if what == "put" else "before")
    # The process that stays root ends with its line: its pipes to here are closed by now.
    assert [each.name for each in house.out.iterdir()] == ["file"]


def test_what_takes_the_place_of_a_folder_is_refused_and_root_tells_why(house: House) -> None:
    said = in_another_process(
        PUTS.replace("new.file.flush()", "new.file.flush(); Path(what).mkdir()").replace(
            "if what == 'put': ", ""
        ),
        str(house.state / "out"), str(house.state), str(house.state / "out"),
    )  # fmt: skip
    assert "IsADirectoryError" in said.stderr
    assert [each.name for each in house.state.glob(".out*")] == []


# ---- the unit that acts for root on a file of the service's ----


def asked(tmp_path: Path) -> str:
    """Run what digits-power.service does with the file in its place; return what it did."""
    unit = (ROOT / "systemd" / "digits-power.service").read_text().replace("\\\n", "")
    (line,) = [each for each in unit.splitlines() if each.startswith("ExecStart=")]
    words = shlex.split(line.removeprefix("ExecStart="))
    words[-1] = words[-1].replace("/run/digits/power", str(tmp_path / "power"))
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\necho $1\n")
    systemctl.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        words, env={"PATH": path}, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr == ""
    assert not os.path.lexists(tmp_path / "power")
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("written", "done"),
    [("reboot", "reboot"), ("power-off", "poweroff"), ("halt", ""), ("reboot; halt", ""), ("", "")],
)
def test_the_power_unit_does_what_a_file_of_one_word_asks(
    tmp_path: Path, written: str, done: str
) -> None:
    (tmp_path / "power").write_text(written)
    assert asked(tmp_path) == done


def test_the_power_unit_follows_no_link_and_waits_for_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("reboot")
    (tmp_path / "power").symlink_to(tmp_path / "elsewhere")
    assert asked(tmp_path) == ""
    assert (tmp_path / "elsewhere").read_text() == "reboot"
    os.mkfifo(tmp_path / "power")
    assert asked(tmp_path) == ""
    # Held open by another program that never writes.
    os.mkfifo(tmp_path / "power")
    held = os.open(tmp_path / "power", os.O_RDWR)
    assert asked(tmp_path) == ""
    os.close(held)
    (tmp_path / "power" / "deeper").mkdir(parents=True)
    assert asked(tmp_path) == ""
