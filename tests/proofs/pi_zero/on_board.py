"""What is run on the emulated board, a step each; it tells the other side by lines of the console.

    python3 on_board.py read serve

Each of the appliance's programs is one process, as on a Pi; its peak is what the kernel tells of it
(VmHWM). Of a step that is killed in the middle it is read while it runs.
"""

import json
import os
import re
import shutil
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
CHECKOUT = HERE.parents[2]
LAID = CHECKOUT.parent / "picamera2"
"""picamera2 in some versions, a folder each."""
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


def with_camera(version: str) -> dict[str, str]:
    """Return the environment of a process that imports a version of picamera2."""
    # bookworm-backports has libcamera's module where Debian's Python does not look.
    folders = [str(LAID / version), *map(str, Path("/usr/lib").glob("*/python3*/site-packages"))]
    own = environment()
    return {**own, "PYTHONPATH": ":".join([own["PYTHONPATH"], *folders])}


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
    SETTINGS.parent.mkdir(parents=True, exist_ok=True)
    SETTINGS.write_text(
        f'[camera]\nsource = "folder:{SAMPLES}"\npicture_seconds = 10\nrate = 2\n'
        f'[leds]\nlayout = "four"\n[state]\nfolder = "{STATE}"\n'
    )
    began = time.monotonic()
    # An installed release is compiled too.
    done = Ran([sys.executable, "-m", "compileall", "-q", "appliance", "model", str(LAID)], 600)
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


LAYOUT = {1: 5, 2: 6, 4: 13, 8: 19}
"""The pins of the layout of four LEDs, each with the bit that it shows; the status LED and the
button have others."""
STATUS, BUTTON = 17, 27


def levels() -> dict[int, tuple[str, bool]]:
    """Return how the kernel has each pin that a program holds: its direction, and its level."""
    text = Path("/sys/kernel/debug/gpio").read_text()
    (first,) = re.findall(r"gpiochip0: (?:GPIOs )?(\d+)-", text) or [0]
    lines = re.findall(r"gpio-(\d+) .*\|digits.*\) (in|out) +(hi|lo)", text)
    return {int(n) - int(first): (way, level == "hi") for n, way, level in lines}


def lit() -> int | None:
    """Return the digit that the LEDs show by the pins' levels, None for none."""
    pins = levels()
    bits = sum(bit for bit, pin in LAYOUT.items() if pins.get(pin) == ("out", True))
    return {0: None, 10: 0}.get(bits, bits)


def memory_settings() -> dict[str, str]:
    """Return what the service's unit has malloc do."""
    unit = (CHECKOUT / "systemd/digits.service").read_text()
    return dict(re.findall(r"^Environment=(MALLOC_\w+)=(\w+)$", unit, re.MULTILINE))


class Serving:
    """`digits run` with the samples before its camera, until the end of the block.

    With a version of picamera2 it has first loaded what a Pi with a camera loads.
    """

    def __init__(self, picamera2: str | None) -> None:
        self._log = open("/var/tmp/run.log", "w+b")  # noqa: SIM115
        words, own = digits("run", "--config", SETTINGS), environment()
        if picamera2:
            words[words.index("appliance")] = "tests.proofs.pi_zero.with_camera"
            own = with_camera(picamera2)
        self.process = subprocess.Popen(
            words, env={**own, **memory_settings()}, cwd="/var/tmp", stdin=subprocess.DEVNULL,
            stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()

    @property
    def said(self) -> str:
        return _text(self._log)[-1500:]

    @property
    def loaded(self) -> str:
        """What of a camera's libraries it has told that it loaded."""
        found = re.search(r"^loaded: .*$", _text(self._log), re.MULTILINE)
        return found[0] if found else ""

    @property
    def peak(self) -> int:
        return status(self.process.pid, "VmHWM")

    def answers(self) -> bool:
        return self.process.poll() is not None or bool(get("/api/v1/health"))

    def reads(self) -> Any:
        return self.process.poll() is not None or json.loads(get("/api/v1/reading"))["digit"]


def reading() -> int | None:
    digit = json.loads(get("/api/v1/reading"))["digit"]
    return None if digit is None else int(digit)


def versions() -> list[str]:
    """Return the versions of picamera2 that are laid beside the checkout, the oldest first."""
    names = [each.name for each in LAID.iterdir()]
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")])


VIEWS = "/", "/history", "/teach", "/training", "/inside", "/device"


def ask_all() -> tuple[dict[str, int], Any]:
    """Return the sizes of the page's views, and what the API reads on a photograph."""
    pages = {view: len(get(view)) for view in VIEWS}
    sample = SAMPLES / "7-shadow.jpg"
    request = urllib.request.Request(f"{PAGE}/api/v1/read", sample.read_bytes())
    with urllib.request.urlopen(request, timeout=120) as answer:
        return pages, json.load(answer)


def serve() -> None:
    *others, last = [None, *versions()]
    serve_with(last)
    for each in others:
        name = f"picamera2 {each}" if each else "without the camera's libraries"
        with Serving(each) as run:
            seen = until(run.reads, 300) is not None and run.process.poll() is None
            said = ask_all()[1]["digit"] if seen else None
            check(said == 7, f"digits run, {name}: it reads. {run.loaded}", run.said)
            peak(f"digits run, {name}", run.peak)


def serve_with(picamera2: str | None) -> None:
    """Have the pins, the page and the API checked, with a version of picamera2 loaded."""
    began = time.monotonic()
    with Serving(picamera2) as run:
        up = until(run.answers, 180) and run.process.poll() is None
        seconds = time.monotonic() - began
        check(up, f"digits run: its API answers after {seconds:.0f} s there", run.said)
        if not up:
            return
        check(bool(run.loaded), f"digits run, with the camera's libraries: {run.loaded}", run.said)
        tell(picamera2=picamera2, stood_in=run.loaded.rpartition("stood in for: ")[2])
        wanted: dict[int, str] = {}

        def seen() -> bool:
            digit = reading()
            if digit is not None and digit not in wanted and lit() == digit == reading():
                wanted[digit] = bin(digit)
            return len(wanted) >= 3

        until(seen, 120)
        told = ", ".join(map(str, wanted)) or "none"
        why = f"{levels()}\nread: {reading()}\n{run.said}"
        check(
            len(wanted) >= 3, f"the LEDs' pins on /dev/gpiochip0 have the digits read: {told}", why
        )
        held = levels()
        good = held.get(STATUS, ("",))[0] == "out" and held.get(BUTTON, ("",))[0] == "in"
        check(good, "the status LED's pin is an output, the button's an input", str(held))
        pages, said = ask_all()
        check(min(pages.values()) > 1000, f"the page: its {len(pages)} views", str(pages))
        health = json.loads(get("/api/v1/health"))
        check(health["status"] == "ok", "the API tells that all is well", str(health))
        check(said["digit"] == 7, "the API reads a photograph that is sent to it", str(said))
        peak("digits run", run.peak)
        tell(resident=status(run.process.pid, "VmRSS"))
        run.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            run.process.wait(60)
        good = run.process.poll() == 0 and not levels()
        check(good, "SIGTERM ends it, and it lets go of the pins", f"{levels()}\n{run.said}")


EXPECTED = {
    "address": "the board has no network",
    "arithmetic": "Debian's armel has no OpenBLAS",
    "libraries": "Debian's gpiozero is older than Raspberry Pi OS's",
    "MNIST": "it is not fetched without a network",
}
"""What `digits doctor` is right to find wrong there."""


def doctor() -> None:
    done = Ran(digits("doctor", "--config", SETTINGS, "--json"), 300)
    peak("digits doctor", done.peak)
    found = json.loads(done.out)["findings"] if done.out.startswith("{") else []
    wrong = {each["what"]: each["sentence"] for each in found if each["good"] is False}
    well = sum(each["good"] is True for each in found)
    good = done.code in (0, 1) and well > 6 and set(wrong) <= set(EXPECTED)
    lines = "\n".join(f"{each['what']}: {each['good']} {each['sentence']}" for each in found)
    sentence = f"digits doctor: {well} parts well, and wrong what is: {', '.join(wrong) or 'none'}"
    check(good, sentence, lines + done.errors)
    tell(doctor=found)


def retrain() -> None:
    """Kill a night while it trains; what it comes to then is what an undisturbed one comes to."""
    begin, data = Path("/var/tmp/begin"), Path("/var/tmp/base")
    words = [sys.executable, "-m", "tests.proofs.pi_zero.short_night"]
    made = Ran([*words, "prepare", str(begin), str(data)], 300)
    if made.code != 0:
        check(False, "captures and a base set are made", made.said)
        return
    killed, whole = Path("/var/tmp/killed"), Path("/var/tmp/whole")
    shutil.copytree(begin, killed)
    first = subprocess.Popen([*words, "retrain", str(killed), str(data)], cwd=CHECKOUT,
                             env=environment(), stderr=subprocess.DEVNULL)  # fmt: skip
    checkpoint = killed / "night/checkpoint.npz"
    until(lambda: checkpoint.exists() or first.poll() is not None, 400)
    time.sleep(3)
    peak("digits retrain, before it is killed", status(first.pid, "VmHWM"))
    first.kill()
    first.wait()
    check(first.returncode == -signal.SIGKILL and checkpoint.exists(),
          "digits retrain is killed while it trains")  # fmt: skip
    # The examples through the camera are the same each night.
    shutil.copytree(begin, whole)
    for file in killed.glob("examples.*"):
        shutil.copy(file, whole)
    resumed = Ran([*words, "retrain", str(killed), str(data)], 400)
    peak("digits retrain, resumed", resumed.peak)
    done = re.search(r"(\d+%) done before", resumed.errors)
    good = resumed.code == 0 and done is not None and "begins anew" not in resumed.errors
    record = _last_night(killed)
    sentence = f"it goes on from {done[1] if done else 'the beginning'}: {record.get('why')}"
    check(good and bool(record.get("finished")), sentence, resumed.said)
    undisturbed = Ran([*words, "retrain", str(whole), str(data)], 400)
    same = _last_night(whole).get("candidate") == record.get("candidate") is not None
    check(same, "its candidate is the undisturbed night's, bit for bit",
          f"{record}\n{_last_night(whole)}\n{undisturbed.said}")  # fmt: skip


def _last_night(state: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError, IndexError, StopIteration):
        return dict(json.loads(next(state.rglob("nights.jsonl")).read_text().splitlines()[-1]))
    return {}


MODEL = ("tests/model", "tests/training/test_gate.py")
VISION = ("tests/vision", "tests/simulator")


LEFT_OUT = (
    "tests/model/test_frugality.py::test_memory_grows_with_the_data_set_by_its_order_alone",
    "tests/model/test_frugality.py::test_a_csv_of_any_length_is_read_a_line_at_a_time",
    "tests/model/test_frugality.py::test_training_and_inference_hold_no_float64[scratch-rotated]",
    "tests/commands/test_reproduce.py::test_a_row_gives_its_figures",
    "tests/bench/test_reproduction.py::test_the_document_keeps_the_rows_that_were_done_before",
    "tests/model/test_train.py::test_it_learns_to_read_digits_it_has_not_seen",
    "tests/model/test_train.py::test_it_learns_to_refuse_what_is_no_digit",
    "tests/model/test_train.py::test_one_seed_gives_the_same_bits",
    "tests/model/test_train.py::test_every_preset_learns",
    "tests/model/test_train.py::test_training_through_the_camera_with_one_seed_gives_the_same_bits",
    "tests/model/test_checkpoint.py::test_a_training_stopped_and_resumed",
    "tests/model/books/test_backquery.py::test_a_trained_network_reads_its_own_pictures",
    "tests/model/test_datasets.py::test_a_damaged_file_is_refused_or_read_whole",
    "tests/model/books/test_first_networks.py::test_eleven_lines_learn_xor",
    "tests/simulator/test_training_glyphs.py::test_examples_are_glyphs_of_digits_and_of_no_digits",
    "tests/simulator/test_training_glyphs.py::test_a_blank_scan_is_no_example_of_a_digit",
)
"""The beginnings of those that take longest, whole trainings above all: `--all-tests` runs them."""


def unit_tests(what: str, places: Sequence[str], every: bool = False) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfE", "--tb=short"]
    words += ["-p", "tests.proofs.pi_zero.slowly"]
    if not every:
        words += [word for each in LEFT_OUT for word in ("--deselect", each)]
    done = Ran([*words, *places], 6000)
    peak(f"the unit tests of {what}", done.peak)
    tally = (done.out.strip().splitlines() or [""])[-1].strip("= ")
    check(done.code == 0, f"the unit tests of {what}: {tally}", done.out + done.errors)


def photographs() -> None:
    """Tell the answer to each photograph that was laid beside this checkout, a few at a time."""
    folder = CHECKOUT.parent / "photos"
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    most = 0
    for start in range(0, len(files), 20):
        done = Ran(digits("read", "--json", *files[start : start + 20]), 1200)
        most = max(most, done.peak)
        said = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
        for each in said:
            name = str(Path(each["file"]).relative_to(folder))
            tell(photo=name, **{key: each[key] for key in ("digit", "reason", "confidence")})
        if done.code not in (0, 2):
            check(False, "digits read on photographs", done.said)
            return
    peak("digits read, photographs", most)


# ---- the whole MNIST


def night() -> None:
    """Let a night with the whole MNIST go through each of its phases beside the serving process.

    What is told of each phase is its own peak: the kernel counts anew from its beginning.
    """
    state, data = STATE, CHECKOUT.parent / "mnist"
    words = [sys.executable, "-m", "tests.proofs.pi_zero.short_night"]
    made = Ran([*words, "captures", str(state), str(data)], 300)
    if made.code != 0:
        check(False, "captures are made", made.said)
        return
    with Serving(versions()[-1]) as run, open("/var/tmp/night.log", "w+b") as log:
        until(run.answers, 300)
        before = available()
        process = subprocess.Popen([*words, "begin", str(state), str(data)], cwd=CHECKOUT,
                                   env=environment(), stdout=log, stderr=log)  # fmt: skip
        phases: dict[str, int] = {}
        phase, least, end = "begins", before, time.monotonic() + 7200
        while process.poll() is None and time.monotonic() < end:
            now = _phase(state, phase)
            if now != phase:
                # From here on the most is counted anew.
                with suppress(OSError):
                    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
                tell(phase=now, seconds=round(time.monotonic()))
                phase = now
            phases[phase] = max(phases.get(phase, 0), status(process.pid, "VmHWM"))
            least = min(least, available())
            time.sleep(1)
        ended = process.poll()
        process.kill()
        said = _text(log)
        record = _last_night(state)
        sentence = f"a night with the whole MNIST: {record.get('outcome')}, {record.get('why')}"
        check(ended == 0 and bool(record.get("finished")), sentence, said[-2500:])
        for name, size in phases.items():
            peak(f"digits retrain, {name}", size)
        peak("digits retrain, all of it", max(phases.values()))
        peak("digits run beside it", run.peak)
        answers = until(run.answers, 60) and run.process.poll() is None
        check(bool(answers), "the appliance answers beside it", run.said)
        tell(free_before=before, free_least=least, outcomes=record.get("outcomes"))


def _phase(state: Path, before: str) -> str:
    with suppress(OSError, ValueError, KeyError):
        told = json.loads((state / "retrain.json").read_text())
        if told["state"] == "preparing":
            return "examples" if "photographs" in told["sentence"] else "base set"
        return {"training": "training", "deciding": "gate"}.get(told["state"], before)
    return before


def available() -> int:
    text = Path("/proc/meminfo").read_text()
    return int(re.search(r"MemAvailable:\s+(\d+)", text)[1]) * 1024  # type: ignore[index]


# ---- systemd

UNITS = Path("/etc/systemd/system")
SERVICE, LEARNS = "digits.service", "digits-retrain.service"
_RULE = 'SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"\n'
_CHECKS = f"""[Unit]
After=multi-user.target
[Service]
ExecStart={sys.executable} {Path(__file__)} units
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
"""


def installed() -> None:
    """Have setup.sh make the card the appliance, before systemd starts on it."""
    config = Path("/etc/digits/digits.toml")
    config.parent.mkdir(parents=True, exist_ok=True)
    # All day is the hour for a night.
    config.write_text(
        '[camera]\nsource = "folder:/opt/digits/current/data/samples"\npicture_seconds = 10\n'
        'rate = 2\n[leds]\nlayout = "four"\n[retrain]\nhour = 0\nuntil = 0\n'
        '[state]\nfolder = "/var/lib/digits"\n'
    )
    # Raspberry Pi OS brings this rule and lgpio.
    Path("/etc/udev/rules.d/60-gpio.rules").write_text(_RULE)
    shutil.copy(HERE / "pins/lgpio.py", "/usr/lib/python3/dist-packages/")
    done = Ran(["./setup.sh", "install", "--image", "--yes"], 900)
    lines = done.out.strip().splitlines()
    check(done.code == 0, f"setup.sh install --image, {len(lines)} lines", done.said)
    state = Path("/var/lib/digits")
    Ran(
        [sys.executable, "-m", "tests.proofs.pi_zero.short_night", "captures", str(state), "."], 300
    )
    Ran(["chown", "-R", "digits:digits", str(state)], 60)
    soon = UNITS / "digits-retrain.timer.d/soon.conf"
    soon.parent.mkdir(exist_ok=True)
    # The hour after the start is what an installed one waits for; it is begun by the check.
    soon.write_text("[Timer]\nOnBootSec=\nOnActiveSec=20\nAccuracySec=1s\n")
    # gpiozero 2.0 asks lgpio first; Debian's 1.6.2 asks RPi.GPIO, which wants the whole memory.
    pins = UNITS / "digits.service.d/pins.conf"
    pins.parent.mkdir(exist_ok=True)
    pins.write_text("[Service]\nEnvironment=GPIOZERO_PIN_FACTORY=lgpio\n")
    (UNITS / "digits-checks.service").write_text(_CHECKS)
    (UNITS / "multi-user.target.wants/digits-checks.service").symlink_to(
        UNITS / "digits-checks.service"
    )


def show(unit: str, name: str) -> str:
    done = subprocess.run(["systemctl", "show", "-P", name, unit], capture_output=True, text=True,
                          check=False)  # fmt: skip
    return done.stdout.strip()


def journal(unit: str) -> str:
    done = subprocess.run(["journalctl", "-u", unit, "-n", "15", "-o", "cat", "--no-pager"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    return done.stdout


def units() -> None:
    subprocess.run(["systemctl", "stop", "digits-retrain.timer"], check=False)
    up = until(lambda: show(SERVICE, "ActiveState") == "active", 400)
    kind, user = show(SERVICE, "Type"), show(SERVICE, "User")
    sentence = f"{SERVICE} is active: Type={kind}, user {user}"
    check(up and kind == "notify" and user == "digits", sentence, journal(SERVICE))
    state = subprocess.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"],
                           capture_output=True, text=True, check=False).stdout  # fmt: skip
    check("digits" not in state, "no unit of the appliance has failed", state)
    answers = until(lambda: get("/") and json.loads(get("/api/v1/health"))["status"] == "ok", 120)
    check(bool(answers), "the page answers, and all is well", journal(SERVICE))
    first = show(SERVICE, "WatchdogTimestampMonotonic")
    moved = until(lambda: show(SERVICE, "WatchdogTimestampMonotonic") != first, 60)
    fed = first not in ("", "0") and moved
    check(fed, f"the watchdog is fed (of {show(SERVICE, 'WatchdogUSec')})", journal(SERVICE))
    subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=False,
                   capture_output=True)  # fmt: skip
    same = until(lambda: reading() is not None and lit() == reading(), 60)
    why = f"{levels()}\n{journal(SERVICE)}"
    check(bool(same), "the LEDs' pins show the digit, from the service's own sandbox", why)
    main = int(show(SERVICE, "MainPID"))
    time.sleep(10)
    peak("digits.service", status(main, "VmHWM"))
    rest = available()
    tell(free_at_rest=rest)
    subprocess.run(["systemctl", "start", "digits-retrain.timer"], check=False)
    fired = until(lambda: show(LEARNS, "ActiveState") == "activating", 120)
    number = int(show(LEARNS, "MainPID") or 0)
    check(bool(fired), f"the timer begins {LEARNS}", journal(LEARNS))
    learns = until(lambda: json.loads(get("/api/v1/training"))["running"], 120)
    check(bool(learns), "the API tells that it learns", get("/api/v1/training").decode())
    least = rest
    for _ in range(60):
        least = min(least, available())
        time.sleep(1)
    peak(LEARNS, status(number, "VmHWM"))
    good = show(LEARNS, "ActiveState") == "activating" and show(SERVICE, "ActiveState") == "active"
    sentence = f"free: {rest / 1e6:.0f} MB at rest, {least / 1e6:.0f} MB while it learns"
    check(good, sentence, journal(LEARNS))
    tell(free_while_learning=least)
    subprocess.run(["systemctl", "stop", LEARNS], check=False)
    check(show(LEARNS, "Result") == "success", "told to end, it ends well", journal(LEARNS))
    os.kill(main, signal.SIGKILL)

    def back() -> bool:
        return show(SERVICE, "MainPID") not in ("0", str(main)) and bool(get("/api/v1/health"))

    again = until(back, 300)
    sentence = f"SIGKILL: it is back, begun again {show(SERVICE, 'NRestarts')} time(s)"
    check(bool(again) and show(SERVICE, "ActiveState") == "active", sentence, journal(SERVICE))


STEPS: dict[str, Callable[[], None]] = {
    "read": read,
    "serve": serve,
    "doctor": doctor,
    "retrain": retrain,
    "model": lambda: unit_tests("model/", MODEL),
    "model:all": lambda: unit_tests("model/", MODEL, every=True),
    "vision": lambda: unit_tests("appliance/vision/", VISION),
    "vision:all": lambda: unit_tests("appliance/vision/", VISION, every=True),
    "photographs": photographs,
    "night": night,
    "installed": installed,
    "units": units,
}


def main(steps: list[str]) -> None:
    tell(up=True)
    if not set(steps) & {"installed", "units"}:
        prepared()
    for step in steps:
        try:
            STEPS[step]()
        except Exception:
            check(False, f"{step} ended with an error of the check's own", traceback.format_exc())


if __name__ == "__main__":
    main(sys.argv[1:])
    if "installed" not in sys.argv:
        tell(end=True)
