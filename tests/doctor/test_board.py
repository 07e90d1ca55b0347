"""What the board tells of itself, from files and commands that stand in for a Pi's."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.device import machine
from appliance.doctor import board
from appliance.doctor.board import Fault, NotApplicable

ZERO = """processor\t: 0
model name\t: ARMv6-compatible processor rev 7 (v6l)
BogoMIPS\t: 697.95
Features\t: half thumb fastmult vfp edsp java tls
CPU architecture: 7

Hardware\t: BCM2835
Model\t\t: Raspberry Pi Zero W Rev 1.1
"""
ZERO_2 = "".join(
    f"processor\t: {core}\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU architecture: 8\n\n"
    for core in range(4)
)
LAPTOP = "".join(
    f"processor\t: {core}\nmodel name\t: A Processor\nflags\t\t: fpu sse2 avx2\n\n"
    for core in range(2)
)


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files in which a Pi Zero tells of itself; its systemd runs."""
    (tmp_path / "model").write_bytes(b"Raspberry Pi Zero W Rev 1.1\0")
    (tmp_path / "cpuinfo").write_text(ZERO)
    (tmp_path / "meminfo").write_text(
        "MemTotal: 442108 kB\nMemAvailable:  210452 kB\nSwapTotal: 102396 kB\nSwapFree: 92156 kB\n"
    )
    (tmp_path / "systemd").mkdir()
    for name, file in (
        ("_MODEL", "model"),
        ("_PROCESSOR", "cpuinfo"),
        ("_MEMORY", "meminfo"),
        ("_DEVICES", "devices"),
        ("_SYSTEMD", "systemd"),
    ):
        monkeypatch.setattr(board, name, tmp_path / file)
    return tmp_path


Says = Callable[..., None]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Have the commands of these names print these texts; every other one is missing."""

    def set(**texts: str) -> None:
        def run(command: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
            word = command[1] if command[0] == "systemctl" else command[0]
            if word.replace("-", "_") not in texts:
                raise FileNotFoundError(command[0])
            return subprocess.CompletedProcess(command, 0, texts[word.replace("-", "_")], "")

        monkeypatch.setattr(subprocess, "run", run)

    set()
    return set


def unit(**facts: str) -> str:
    told = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running"} | facts
    return "".join(f"{name}={value}\n" for name, value in told.items())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ZERO, "ARMv6-compatible processor rev 7 (v6l), 1 core, without NEON"),
        (ZERO_2, "8, 4 cores, with NEON"),
        (LAPTOP, "A Processor, 2 cores, with AVX2"),
    ],
)
def test_the_processor_has_a_name_and_an_instruction_set(pi: Path, text: str, told: str) -> None:
    (pi / "cpuinfo").write_text(text)
    assert board.processor().startswith("Raspberry Pi Zero W Rev 1.1: ")
    assert board.processor().endswith(told)


def test_a_processor_that_is_not_told_is_no_fault(pi: Path) -> None:
    (pi / "cpuinfo").unlink()
    with pytest.raises(NotApplicable, match="does not tell the processor"):
        board.processor()


def test_a_pi_is_known_by_its_device_tree(pi: Path) -> None:
    assert board.is_a_pi()
    (pi / "model").write_text("Another Board\0")
    assert not board.is_a_pi()
    (pi / "model").unlink()
    assert not board.is_a_pi()


def test_memory_and_swap_are_told(pi: Path) -> None:
    assert board.memory() == "216 MB of 453 MB free, 10 MB of 105 MB swap used"
    (pi / "meminfo").write_text("MemTotal: 442108 kB\nMemAvailable:  210452 kB\n")
    assert board.memory() == "216 MB of 453 MB free, no swap"


def test_little_memory_is_a_fault_and_none_told_is_not(pi: Path) -> None:
    (pi / "meminfo").write_text("MemTotal: 442108 kB\nMemAvailable: 20000 kB\n")
    with pytest.raises(Fault, match="20 MB of 453 MB free, no swap: end other programs"):
        board.memory()
    (pi / "meminfo").write_text("MemTotal: much\n")
    with pytest.raises(NotApplicable):
        board.memory()


def a_card(pi: Path, life: str | None) -> None:
    """Have the folder's device be the second partition of a card that tells of its life."""
    number = os.stat(pi).st_dev
    part = pi / "card" / "part"
    part.mkdir(parents=True)
    (part / "stat").write_text("  1 2 3 4 5 6 2000000 8 9 10 11\n")
    if life is not None:
        (pi / "card" / "device").mkdir()
        (pi / "card" / "device" / "life_time").write_text(life)
    (pi / "devices").mkdir()
    (pi / "devices" / f"{os.major(number)}:{os.minor(number)}").symlink_to(part)


@pytest.mark.parametrize(
    ("life", "told"),
    [
        ("0x01 0x03\n", "wear 20 to 30 % of its life"),
        ("0x00 0x00\n", "its wear is not told"),
        ("", "its wear is not told"),
        ("long\n", "its wear is not told"),
        (None, "its wear is not told"),
    ],
)
def test_what_was_written_and_the_wear_are_told(pi: Path, life: str | None, told: str) -> None:
    a_card(pi, life)
    said = board.disk(pi / "not" / "yet")
    assert ", 1,024 MB written since the start, " in said
    assert said.endswith(told)


def test_a_worn_card_is_a_fault(pi: Path) -> None:
    a_card(pi, "0x0b 0x01\n")
    with pytest.raises(Fault, match="wear beyond its life: copy what is on it to a new card"):
        board.disk(pi)


def test_a_disk_that_tells_nothing_has_its_free_bytes_all_the_same(pi: Path) -> None:
    said = board.disk(pi)
    assert said.endswith("MB free, it does not tell what was written, its wear is not told")


def test_a_full_disk_is_a_fault(pi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "_LEAST_DISK", 1 << 62)
    with pytest.raises(Fault, match=r"free, .*: remove what is not needed"):
        board.disk(pi)


@pytest.mark.parametrize("celsius", [None, 48.3, 84.0])
def test_the_temperature_is_well_hot_or_untold(
    monkeypatch: pytest.MonkeyPatch, celsius: float | None
) -> None:
    monkeypatch.setattr(machine, "temperature", lambda: celsius)
    if celsius is None:
        with pytest.raises(NotApplicable):
            board.temperature()
    elif celsius > 80:
        with pytest.raises(Fault, match="84 °C, at which a Pi slows down: give it air"):
            board.temperature()
    else:
        assert board.temperature() == "48 °C"


@pytest.mark.parametrize(
    ("bits", "told"),
    [
        ("0x50005", "the power supply sags and it is throttled, since the start the power supply "
                    "sagged and it was throttled: use a stronger power supply"),
        ("0x10000", "since the start the power supply sagged: use a stronger power supply"),
        ("0x80008", "it is near its hottest, since the start it was near its hottest: give it air"),
    ],
)  # fmt: skip
def test_power_is_told_now_and_since_the_start(says: Says, bits: str, told: str) -> None:
    says(vcgencmd=f"throttled={bits}\n")
    with pytest.raises(Fault) as wrong:
        board.power()
    assert str(wrong.value).startswith(told)


def test_power_that_held_and_power_that_is_not_told(says: Says) -> None:
    with pytest.raises(NotApplicable, match="no vcgencmd"):
        board.power()
    says(vcgencmd="throttled=0x0\n")
    assert board.power() == "it held, now and since the start"


def test_a_clock_that_is_not_set_is_a_fault(
    pi: Path, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*facts: Any) -> None:
        monkeypatch.setattr(machine, "examine_clock", lambda state: machine.Clock(*facts))

    found(False, 0.0, 0.0, None)
    with pytest.raises(Fault, match=r"not set since the start, it shows 20.* as the machine was o"):
        board.clock(Path())
    found(False, 21 * 86400.0, 1.8e9, Path("/state/owner.json"))
    with pytest.raises(Fault) as wrong:
        board.clock(Path())
    assert str(wrong.value).startswith("wrong, it shows 20")
    assert "/state/owner.json is of 2027-01-15 " in str(wrong.value)
    assert "at least 21 days behind. Until it is set, readings bear the wrong" in str(wrong.value)
    assert "connect the machine to a network, which sets it" in str(wrong.value)
    found(True, 0.0, 0.0, None)
    says()
    assert ", on for " in board.clock(Path())
    says(timedatectl="NTPSynchronized=no\n")
    with pytest.raises(Fault, match=r"nothing sets it, .* run 'sudo apt install systemd-times"):
        board.clock(Path())


def test_an_update_that_did_not_run_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_given_up", lambda: None)
    monkeypatch.setattr(machine, "is_update_on_trial", lambda: False)
    assert not board.has_update_news()
    monkeypatch.setattr(machine, "is_update_on_trial", lambda: True)
    assert board.has_update_news()
    with pytest.raises(NotApplicable, match="the next start looks whether its release runs"):
        board.update()
    given_up = machine.GivenUp("new", "old", 1.8e9, "the page does not answer")
    monkeypatch.setattr(machine, "find_given_up", lambda: given_up)
    assert board.has_update_news()
    told = (
        r"the release new did not run \(the page does not answer\): old does again since 2027-01-"
    )
    with pytest.raises(Fault, match=told):
        board.update()


def test_a_service_that_runs(pi: Path, says: Says) -> None:
    says(show=unit(NRestarts="0"))
    assert board.service() == "active (running)"
    says(show=unit(NRestarts="1"))
    assert board.service() == "active (running), begun again once by systemd"
    says(show=unit(NRestarts="2"))
    assert board.service() == "active (running), begun again 2 times by systemd"


@pytest.mark.parametrize("between", ["auto-restart", "start-pre"])
def test_a_service_that_ends_by_itself_at_each_start_is_a_fault(
    pi: Path, says: Says, between: str
) -> None:
    says(show=unit(ActiveState="activating", SubState=between, NRestarts="0"))
    assert board.service().startswith("activating")
    says(show=unit(ActiveState="activating", SubState=between, NRestarts="7"))
    with pytest.raises(Fault, match=rf"activating \({between}\), begun again 7 times by systemd"):
        board.service()


@pytest.mark.parametrize("look", [board.service, board.timer])
def test_where_systemd_or_the_unit_is_missing_it_is_no_fault(
    pi: Path, says: Says, look: Callable[[], str]
) -> None:
    with pytest.raises(NotApplicable, match="systemd does not answer"):
        look()
    says(show=unit(LoadState="not-found", ActiveState="inactive", SubState="dead"))
    with pytest.raises(NotApplicable, match="is not installed"):
        look()
    (pi / "systemd").rmdir()
    with pytest.raises(NotApplicable, match="systemd does not run here"):
        look()


def test_a_service_that_failed_or_was_stopped_has_the_next_step(pi: Path, says: Says) -> None:
    says(show=unit(ActiveState="inactive", SubState="dead", Result="success", NRestarts="0"))
    with pytest.raises(Fault, match=r"digits.service is inactive \(dead\): run 'sudo systemctl"):
        board.service()
    says(show=unit(ActiveState="failed", SubState="failed", Result="exit-code", NRestarts="5"))
    with pytest.raises(Fault) as wrong:
        board.service()
    assert str(wrong.value) == (
        "digits.service is failed (failed), begun again 5 times by systemd, exit-code: run 'sudo "
        "systemctl restart digits', then 'journalctl -u digits -n 50'"
    )


def test_the_timer_tells_when_it_asks_next(
    pi: Path, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board.time, "localtime", board.time.gmtime)
    says(show=unit(SubState="waiting"), list_timers='[{"next": 1760000460000000, "left": 1}]')
    assert board.timer() == "asks next at 09:01"
    for odd in ("", "[]", '[{"next": null}]', '{"next": 1}'):
        says(show=unit(SubState="waiting"), list_timers=odd)
        assert board.timer() == "active"
    says(show=unit(ActiveState="inactive", SubState="dead"))
    with pytest.raises(Fault, match="run 'sudo systemctl enable --now "):
        board.timer()


def test_the_log_is_the_journals_and_empty_where_there_is_none(says: Says) -> None:
    assert board.log() == []
    says(journalctl="2026-01-01T00:00:00+0000 digits[1]: the page is at x\nand so on\n")
    assert len(board.log()) == 2
