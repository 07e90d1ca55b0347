"""The checks of `run`, the first process of the kernel that it boots: the product on its pins."""

import argparse
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.proofs.provisioning.debian import Checks

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "data/samples"
STATUS, BUTTON = 17, 27
PINS: dict[str, tuple[int, ...]] = {
    "ten": (5, 6, 12, 13, 16, 19, 20, 21, 25, 26),
    "four": (5, 6, 13, 19),
    "seven-segment": (5, 6, 13, 19, 26, 16, 20),
}
"""As docs/wiring.md has them."""
SEGMENTS = "abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg"
GPIOZERO, LGPIO, EMPTY = "/opt/gpiozero", "/opt/lgpio", "/opt/empty"
LIBRARIES = GPIOZERO, LGPIO
NOBODY = 65534
PORT = 8080
SLOW = 10
"""By so much longer than on a machine of its own everything may take where QEMU translates."""
HOLDS = (
    "import lgpio, time\nchip = lgpio.gpiochip_open(0)\nlgpio.gpio_claim_output(chip, 13, 1)\n"
    "print('held', flush=True)\ntime.sleep(600)\n"
)
BOUNCE_SECONDS = 0.03
"""A contact of a push button is at rest after so long at the most; appliance/device/button.py waits
for longer."""
checks = Checks()


def check(good: object, what: str, why: object = "") -> None:
    checks.tell(bool(good), f"{time.monotonic():4.0f} s  {what}")
    if not good and why:
        print("    " + str(why).strip()[-2500:].replace("\n", "\n    "), flush=True)


def until(condition: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds * SLOW
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


# ---- the chip


class Chip:
    """What the kernel has at the pins of a simulated chip, whoever drives them."""

    def __init__(self) -> None:
        made = Path("/sys/kernel/config/gpio-sim/pi")
        (made / "bank0").mkdir(parents=True)
        (made / "bank0/num_lines").write_text("54")
        (made / "bank0/label").write_text("pinctrl-bcm2835")
        (made / "live").write_text("1")
        self.name = (made / "bank0/chip_name").read_text().strip()
        self._folder = Path("/sys/devices/platform", (made / "dev_name").read_text().strip())
        self._folder /= self.name

    def level(self, pin: int) -> int:
        return int((self._folder / f"sim_gpio{pin}/value").read_text())

    def lit(self, pins: Sequence[int]) -> set[int]:
        return {pin for pin in pins if self.level(pin)}

    def pull(self, pin: int, way: str) -> None:
        (self._folder / f"sim_gpio{pin}/pull").write_text(f"pull-{way}")

    def holders(self) -> dict[int, str]:
        """Return who holds a pin, and how, for each that is held."""
        text = Path("/sys/kernel/debug/gpio").read_text()
        lines = re.findall(r"^ gpio-(\d+) +\((?!<unused>)(.+)$", text, re.MULTILINE)
        return {int(pin): how for pin, how in lines}

    def press(self, times: int = 1) -> float:
        """Close the button's contact, which falls back and closes again so often, and open it.

        Return the longest time in seconds that the contact stayed as it was while it bounced.
        """
        longest, before = 0.0, time.monotonic()
        for each in range(2 * times - 1):
            self.pull(BUTTON, "up" if each % 2 else "down")
            now = time.monotonic()
            longest, before = max(longest, now - before), now
        time.sleep(0.3)
        self.pull(BUTTON, "up")
        return longest

    def count_edges(self, pin: int, seconds: float) -> int:
        edges, before = 0, self.level(pin)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = self.level(pin)
            edges, before = edges + (now != before), now
        return edges


def shows(layout: str, digit: int | None) -> set[int]:
    """Return the pins that are high for a digit, as docs/wiring.md has them."""
    pins = PINS[layout]
    if digit is None:
        return set()
    if layout == "ten":
        return {pins[digit]}
    if layout == "four":
        return {pins[bit] for bit in range(4) if (digit or 10) >> bit & 1}
    return {pins["abcdefg".index(each)] for each in SEGMENTS[digit]}


# ---- the product


def environment(libraries: Sequence[str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *libraries])}


class Appliance:
    """`digits run` as a process, what its page says and what it logs."""

    def __init__(self, *words: str, libraries: Sequence[str] = LIBRARIES) -> None:
        self.folder = Path(tempfile.mkdtemp())
        config = self.folder / "digits.toml"
        config.write_text("[camera]\npicture_seconds = 1\n")
        command = [sys.executable, "-m", "appliance", "run", "--config", str(config)]
        command += ["--state", str(self.folder / "state"), "--host", "127.0.0.1", *words]
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen(
                command, env=environment(libraries), cwd=self.folder, stdout=log, stderr=log
            )

    def get(self, path: str) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            address = f"http://127.0.0.1:{PORT}/api/v1/{path}"
            with urllib.request.urlopen(address, timeout=10) as got:
                return dict(json.load(got))
        return {}

    def log(self) -> str:
        ended = self.process.poll()
        code = f"it ended with {ended}" * (ended is not None)
        return (self.folder / "log").read_text() + code

    def is_up(self) -> bool:
        return until(lambda: self.get("health").get("readings"), 30)

    def number(self) -> int:
        return int(self.get("reading").get("number", 0))

    def settles(self, digit: int | None, state: str) -> bool:
        def has() -> bool:
            reading = self.get("reading")
            return reading.get("settled", -1) == digit and reading.get("state") == state

        return until(has, 10)


@contextmanager
def appliance(*words: str, libraries: Sequence[str] = LIBRARIES) -> Iterator[Appliance]:
    made = Appliance(*words, libraries=libraries)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def doctor(
    *words: str, libraries: Sequence[str] = LIBRARIES, user: int = 0, folder: str = ""
) -> dict[str, str]:
    """Return the lines of `digits doctor` on LEDs and button, by the part."""
    home = tempfile.mkdtemp()
    os.chown(home, user, user)
    config = Path(home, "digits.toml")
    config.write_text(f'[camera]\nsource = "folder:{SAMPLES}"\n')
    command = [sys.executable, "-m", "appliance", "doctor", "--config", str(config), *words]
    done = subprocess.run(
        command, env=environment(libraries) | {"HOME": home}, cwd=folder or home, user=user,
        extra_groups=[], capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.findall(r"^. (LEDs|button): (.+)$", done.stdout, re.MULTILINE)
    return dict(found) or {"LEDs": done.stdout + done.stderr}


class Pictures:
    """A folder for the folder camera, of one picture that is another one by and by."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())

    def show(self, name: str) -> None:
        """Have the camera see a sample from its next look on; "" takes the picture away."""
        shown, new = self.folder / "shown.jpg", self.folder / "new"
        if not name:
            shown.unlink()
            return
        new.symlink_to(SAMPLES / name)
        new.replace(shown)


def every_digit(chip: Chip, pictures: Pictures, digits: Appliance, layout: str) -> None:
    """Show it each sample, and read the levels to each."""
    pins, seen = PINS[layout], dict[str, list[int]]()
    for sample in sorted(SAMPLES.iterdir()):
        digit = None if sample.name.startswith("none") else int(sample.name[0])
        pictures.show(sample.name)
        digits.settles(digit, "looking" if "scribble" in sample.name else "ready")
        # The page has it a moment before the LEDs.
        until(lambda: chip.lit(pins) == shows(layout, digit), 1)  # noqa: B023
        seen[sample.name] = sorted(chip.lit(pins))
        if seen[sample.name] != sorted(shows(layout, digit)):
            break
    told = ", ".join(
        f"{name[0]}: {' '.join(map(str, lit)) or 'none'}" for name, lit in seen.items()
    )
    good = len(seen) == 12 and seen[sample.name] == sorted(shows(layout, digit))
    check(good, f"{layout}: high at the chip for each sample: {told}",
          f"{digits.get('reading')}\n{chip.holders()}\n{digits.log()}")  # fmt: skip
    held = chip.holders()
    ours = all("lg" in held.get(pin, "") and "out" in held[pin] for pin in (*pins, STATUS))
    ours = ours and "in" in held.get(BUTTON, "")
    check(ours, "its pins are outputs, the button's an input", held)


def stop(chip: Chip, pictures: Pictures, digits: Appliance, number: signal.Signals) -> None:
    """End it with a signal while it shows a digit."""
    pictures.show("8-chalk.jpg")
    digits.settles(8, "ready")
    until(lambda: chip.level(STATUS), 1)
    lit = sorted(chip.lit(range(BUTTON)))
    began = time.monotonic()
    digits.process.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        digits.process.wait(5 * SLOW)
    took = time.monotonic() - began
    left = chip.lit(range(BUTTON))
    good = digits.process.returncode == 0 and len(lit) > 1 and not left and not chip.holders()
    check(good, f"{number.name} ends it in {took:.1f} s: {lit} were high, all are low and free",
          f"{left}\n{chip.holders()}\n{digits.log()}")  # fmt: skip


def layouts(chip: Chip) -> None:
    pictures = Pictures()
    for layout, number in (
        ("ten", signal.SIGTERM), ("seven-segment", signal.SIGINT), ("four", signal.SIGKILL)
    ):  # fmt: skip
        pictures.show("7-shadow.jpg")
        with appliance("--camera", f"folder:{pictures.folder}", "--leds", layout) as digits:
            check(digits.is_up(), f"digits run --leds {layout} reads", digits.log())
            every_digit(chip, pictures, digits, layout)
            if number != signal.SIGKILL:
                stop(chip, pictures, digits, number)
                continue
            states(chip, pictures, digits)
            digits.process.kill()
            digits.process.wait()
            check(not chip.holders(), "SIGKILL leaves no pin held either", chip.holders())


def states(chip: Chip, pictures: Pictures, digits: Appliance) -> None:
    """Show it a digit, no picture, a scribble and nothing; press the button."""
    pins = PINS["four"]
    pictures.show("7-shadow.jpg")
    good = digits.settles(7, "ready")
    until(lambda: chip.lit(pins) == shows("four", 7), 1)
    good = good and chip.count_edges(STATUS, 2) == 0 and chip.level(STATUS)
    good = good and chip.lit(pins) == shows("four", 7)
    check(good, "ready with a digit: the status LED is steady", digits.log())
    press(chip, digits)
    for name, state, least, most in (
        ("", "error", 8, 22),
        ("none-scribble.jpg", "looking", 2, 5),
        ("none-blank.jpg", "ready", 0, 0),
    ):
        pictures.show(name)
        good = digits.settles(None, state)
        until(lambda: not chip.lit(pins), 1)
        time.sleep(0.5)
        edges = chip.count_edges(STATUS, 2)
        good = good and least <= edges <= most and not chip.lit(pins)
        check(good, f"{state} without a digit: its LEDs are dark, the status LED changes {edges} "
              "times in two seconds", f"{digits.get('reading')}\n{digits.log()}")  # fmt: skip


def press(chip: Chip, digits: Appliance) -> None:
    def count(act: Callable[[], object]) -> int:
        """Return how many readings an act makes, begun after one that is made every ten seconds."""
        before = digits.number()
        until(lambda: digits.number() > before, 2)
        before = digits.number()
        act()
        until(lambda: digits.number() > before, 0.3)
        time.sleep(2)
        return digits.number() - before

    made = count(lambda: None)
    check(made == 0, "nothing changes and nobody presses: no reading is made", made)
    made = count(chip.press)
    check(made == 1, "the button, pressed at the chip, makes a reading", made)
    for _ in range(20):
        bounce: list[float] = []
        made = count(lambda: bounce.append(chip.press(times=8)))  # noqa: B023
        # Where this machine stood still meanwhile, the contact did not bounce.
        if bounce[0] < BOUNCE_SECONDS:
            break
    check(made == 1 and bounce[0] < BOUNCE_SECONDS, "a contact that bounces eight times makes one: "
          f"within {1000 * bounce[0]:.0f} ms each", made)  # fmt: skip

    def hold() -> None:
        chip.pull(BUTTON, "down")
        time.sleep(3)
        chip.pull(BUTTON, "up")

    made = count(hold)
    check(made == 1, "so does one that is held for three seconds", made)


def busy(chip: Chip) -> None:
    """Have another program hold a pin, before the appliance and before the doctor."""
    words = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(
        words, env=environment([LGPIO]), cwd="/tmp", stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        other.stdout.readline()
        try:
            with appliance("--camera", f"folder:{SAMPLES}", "--leds", "ten") as digits:
                up = digits.is_up()
                fault = digits.get("health").get("pins", {}).get("leds") or ""
                good = up and "pin 13 is in use by 'lg'" in fault and fault in digits.log()
                check(good, f"a pin that another program has is named: {fault}", digits.log())
                said = doctor()
                check(
                    fault in said.get("LEDs", ""),
                    "the doctor tells it of the appliance that runs",
                    said,
                )
                others = {pin: who for pin, who in chip.holders().items() if pin != 13}
            said = doctor()
            check(
                fault and fault in said.get("LEDs", ""),
                "and of its own try, with none running",
                said,
            )
            check(chip.level(13), "the other program's pin stays as it was", others)
        finally:
            other.kill()


def faults() -> None:
    """Have the doctor look with each library, user and folder that cannot do it."""
    install = "run 'sudo apt install --no-install-recommends python3-lgpio'"
    looks: list[tuple[str, str, dict[str, Any]]] = [
        ("no lgpio", f"missing (No module named 'lgpio'): {install}", {"libraries": [GPIOZERO]}),
        ("pip's lgpio 0.0.0.2", f"({EMPTY}/lgpio.py), as pip's version 0.0.0.2 is: run 'pip "
         f"uninstall lgpio', then {install}", {"libraries": [GPIOZERO, EMPTY]}),
        ("a chip that is not open to the user", "not open to the user nobody: run 'sudo usermod "
         "-a -G daemon nobody', then log in anew", {"user": NOBODY}),
        ("a folder that cannot be written", "cannot write into the folder /mnt",
         {"folder": "/mnt"}),
        ("gpiozero 1.6.2 and lgpio 0.2", "this gpiozero is too old for the lgpio that drives the",
         {"libraries": [LGPIO]}),
    ]  # fmt: skip
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda look: doctor(**look[2]), looks))
    for (what, sentence, _), said in zip(looks, found, strict=True):
        good = all(sentence in said.get(each, "") for each in ("LEDs", "button"))
        check(good, f"{what}: {said.get('LEDs')}", said)


def walk(chip: Chip) -> None:
    """Have `digits doctor --leds` light each LED, and watch the chip meanwhile."""
    order: list[list[int]] = []
    pins = PINS["ten"]
    with ThreadPoolExecutor() as pool:
        looking = pool.submit(doctor, "--leds")
        while not looking.done():
            lit = sorted(chip.lit(pins))
            if lit and (not order or order[-1] != lit):
                order.append(lit)
            time.sleep(0.02)
    said = looking.result()
    good = order == [[pin] for pin in pins] and "each digit from 0 to 9 was" in said["LEDs"]
    check(good, f"digits doctor --leds lights one after the other: {order}", said)
    check(not chip.lit(range(27)) and not chip.holders(), "and leaves them dark", chip.holders())


def prepare() -> Chip:
    """Mount what the kernel tells, and have gpiozero take this machine for a Zero W."""
    command = ["busybox", "ip", "link", "set", "lo", "up"]
    subprocess.run(command, check=True)
    for kind, place in (("configfs", "/sys/kernel/config"), ("debugfs", "/sys/kernel/debug")):
        subprocess.run(["mount", "-t", kind, kind, place], check=True)
    subprocess.run(["modprobe", "gpio-sim"], check=True)
    cpuinfo = Path("/run/cpuinfo")
    told = Path("/proc/cpuinfo").read_text()
    cpuinfo.write_text(f"{told}Hardware\t: BCM2835\nRevision\t: 9000c1\n")
    subprocess.run(["mount", "--bind", str(cpuinfo), "/proc/cpuinfo"], check=True)
    chip = Chip()
    # No group of this Debian's is called gpio.
    os.chown(f"/dev/{chip.name}", 0, 1)
    os.chmod(f"/dev/{chip.name}", 0o660)
    # Where lgpio makes its pipe.
    os.chmod("/tmp", 0o1777)
    chip.pull(BUTTON, "up")
    return chip


def main() -> None:
    print(f"– Linux {os.uname().release} is up after {time.monotonic():.0f} s", flush=True)
    chip = prepare()
    layouts(chip)
    busy(chip)
    walk(chip)
    faults()


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    try:
        main()
    except Exception:
        check(False, "the checks broke off", traceback.format_exc())
    print(f"{checks.right} passed, {checks.wrong} failed", flush=True)
    # The kernel panics where its first process ends.
    subprocess.run(["busybox", "poweroff", "-f"], check=False)
    time.sleep(60)
