"""The checks of `run`, in the Debian that it made: the product with the real camera library."""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image

from tests.proofs.provisioning.debian import Checks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SAMPLES = ROOT / "data/samples"
YAML = Path("/run/virtual.yaml")
"""libcamera's own settings of its virtual camera are a link to this."""
COPIES = 3
"""Of each sample, for libcamera to show one after the other, each of them for four frames."""
MOST_LUMA = 2
MOST_GROWN_KB = 2_000
"""Memory by which a process may grow from the twentieth opening to the hundredth."""
STOP_SECONDS = 2.0
PATIENCE = 120.0
BEGAN = time.monotonic()
OPENINGS, TRIES, STOPS = 100, 60, 24


class Camera:
    """The virtual camera that one scenario has for itself, and what its processes are told."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        paths = (ROOT, HERE / "bridge")
        self.environment = {
            **os.environ,
            "CAMERA_CONTROL": str(folder),
            "OPENBLAS_NUM_THREADS": "1",  # as on a Pi Zero
            "LD_PRELOAD": str(folder.parent / "dmabuf.so"),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONPYCACHEPREFIX": str(folder.parent / "bytecode"),
        }

    def stall(self, stalled: bool) -> None:
        file = self.folder / "stalled"
        file.touch() if stalled else file.unlink()

    def opening(self, does: str, photos: Path, count: int = 0) -> "subprocess.Popen[str]":
        words = [sys.executable, str(HERE / "opening.py"), does, str(photos), str(count)]
        log = open(self.folder / f"{does}.log", "w")  # noqa: SIM115
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        return subprocess.Popen(words, env=self.environment, text=True, **pipes)  # type: ignore

    def answer(self, does: str, photos: Path, count: int = 0) -> dict[str, Any]:
        """Return what `opening.py` said, or its error."""
        with self.opening(does, photos, count) as process:
            return self.said(does, process)

    def said(self, does: str, process: "subprocess.Popen[str]") -> dict[str, Any]:
        out, _ = process.communicate("\n", timeout=240)
        if process.returncode:
            return {"error": (self.folder / f"{does}.log").read_text().strip()[-6000:]}
        return dict(json.loads(out.splitlines()[-1]))


class Appliance:
    """`digits run` as a process, and what its page says."""

    def __init__(self, camera: Camera, source: str = "picamera", name: str = "run") -> None:
        self.state = camera.folder / f"{name}-state"
        config = camera.folder / f"{name}.toml"
        config.write_text("[camera]\nrate = 0\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = [sys.executable, "-m", "appliance", "run", "--config", str(config)]
        words += ["--state", str(self.state), "--camera", source, "--leds", "none"]
        words += ["--host", "127.0.0.1", "--port", str(self.port)]
        self._log = camera.folder / f"{name}.log"
        with open(self._log, "w") as log:
            self.process = subprocess.Popen(words, env=camera.environment, stdout=log, stderr=log)

    def get(self, path: str) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            address = f"http://127.0.0.1:{self.port}/api/v1/{path}"
            with urllib.request.urlopen(address, timeout=10) as answer:
                return dict(json.load(answer))
        return {}

    def fault(self) -> str | None:
        """Return what is wrong with the camera, None when it gives frames, "" with no page yet."""
        return self.get("health").get("camera", {"fault": ""})["fault"]

    def reads(self) -> bool:
        return until(lambda: self.fault() is None and self.get("reading"))

    def status(self, key: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(key)))

    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def lines(self) -> list[str]:
        return self._log.read_text().splitlines()

    def stop(self, *signals: signal.Signals) -> float:
        """Send signals, all at once, and return the seconds until it ended; inf if it did not."""
        began = time.monotonic()
        for each in signals:
            self.process.send_signal(each)
        try:
            self.process.wait(5 * STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return float("inf")
        return time.monotonic() - began


@contextmanager
def appliance(camera: Camera, *words: str) -> Iterator[Appliance]:
    made = Appliance(camera, *words)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def until(condition: Callable[[], object]) -> bool:
    """Return whether it came true within a time that is long for a busy machine too."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def check(checks: Checks, good: bool, what: str, why: object = "") -> None:
    checks.tell(good, f"{time.monotonic() - BEGAN:4.0f} s  {what}")
    if not good and why:
        print("    " + str(why).strip().replace("\n", "\n    "), flush=True)


# ---- what is looked at


def photograph(folder: Path, samples: list[Path], copies: int) -> None:
    """Write each sample as so many JPEG files of the camera's size, in their order."""
    folder.mkdir()
    for number, sample in enumerate(samples):
        first = folder / f"{number:02}-000.jpg"
        with Image.open(sample) as picture:
            # libcamera decodes in a hurry, which finer ones show by more than two grey levels.
            picture.convert("RGB").resize((640, 480)).save(first, quality=75)
        for copy in range(1, copies):
            shutil.copy(first, folder / f"{number:02}-{copy:03}.jpg")


def show(photos: Path) -> None:
    """Have the virtual cameras that start from now on show a folder's pictures."""
    YAML.write_text(
        '%YAML 1.1\n---\n"Virtual0":\n  supported_formats:\n  - width: 640\n    height: 480\n'
        f'    frame_rates: [15]\n  frames:\n    path: "{photos}/"\n'
        '  location: "CameraLocationFront"\n  model: "imx219"\n'
    )


def every_sample(checks: Checks, camera: Camera, slides: Path, singles: Path) -> None:
    show(singles)
    said = camera.answer("compare", singles)
    good = said.get("furthest", 99) <= MOST_LUMA
    count = len(list(SAMPLES.iterdir()))
    what = f"frames are the JPEG's luma: {said.get('seen')} samples, {said.get('furthest')} off"
    check(checks, good and said["seen"] == count, what, said)
    show(slides)
    wanted = [sample.name.partition("-")[0] for sample in sorted(SAMPLES.iterdir())]
    shown = [None if each == "none" else int(each) for each in wanted]
    with appliance(camera) as digits:
        check(checks, digits.reads(), "digits run --camera picamera reads", digits.lines())
        settled: list[Any] = []

        def look() -> bool:
            reading = digits.get("reading")
            if "settled" in reading and (not settled or reading["settled"] != settled[-1]):
                settled.append(reading["settled"])
            return len(settled) > len(set(shown)) + 2

        until(look)
        # The two without a digit follow each other.
        order = [
            each for number, each in enumerate(shown) if not number or each != shown[number - 1]
        ]
        turns = [order[number:] + order[:number] for number in range(len(order))]
        # The first may be none because nothing was settled yet.
        good = any(settled[1 : len(order) + 1] == turn for turn in turns)
        check(checks, good, f"every sample is read right, in its turn: {settled[1:]}", settled)


def openings(checks: Checks, camera: Camera, photos: Path) -> None:
    said = camera.answer("open_often", photos, OPENINGS)
    before, after = said.get("before", {}), said.get("after", {})
    good = bool(before) and after["kB"] - before["kB"] < MOST_GROWN_KB
    good = good and all(after[each] <= before[each] for each in ("files", "threads"))
    what = f"{OPENINGS} openings and closings leave nothing: {before} then {after}"
    check(checks, good, what, said.get("error"))


def held(checks: Checks, camera: Camera, photos: Path) -> None:
    """Have a second process hold the camera, and let it go."""
    holder = camera.opening("hold", photos)
    assert holder.stdout
    holder.stdout.readline()
    trier = camera.opening("try_often", photos, TRIES)
    with appliance(camera) as digits:
        told = until(lambda: "busy" in (digits.fault() or ""))
        check(checks, told, f"another program has the camera, told: {digits.fault()}")
        assert trier.stdout
        trier.stdout.readline()
        holder.communicate("\n", timeout=PATIENCE)
        said = camera.said("try_often", trier)
        before, after = said.get("before", {}), said.get("after", {})
        good = bool(before) and all(after[each] <= before[each] for each in ("files", "threads"))
        good = good and len(said["said"]) == 1 and "busy" in said["said"][0]
        what = f"{TRIES} tries leave nothing: {before} then {after}"
        check(checks, good, what, said)
        check(checks, "shape" in said, "it is opened by the first try after it became free", said)
        check(checks, digits.reads(), "digits run takes it when it is free", digits.fault())


def stall(checks: Checks, camera: Camera, _photos: Path) -> None:
    with appliance(camera) as digits:
        digits.reads()
        files, threads, lines = digits.files(), digits.status("Threads"), len(digits.lines())
        camera.stall(True)
        told = until(lambda: "no frame" in (digits.fault() or ""))
        check(checks, told, f"a stall is told: {digits.fault()}")
        camera.stall(False)
        check(checks, digits.reads(), "frames come again after it", digits.fault())
        time.sleep(0.5)
        kept = digits.files(), digits.status("Threads")
        good = kept[0] <= files + 1 and kept[1] <= threads
        what = (
            f"it leaves nothing: {files} files and {threads} threads, then {kept[0]} and {kept[1]}"
        )
        check(checks, good, what)
        written = [each for each in digits.lines()[lines:] if " reads " not in each]
        check(checks, len(written) <= 3, f"it writes {len(written)} lines", "\n".join(written))


def stops(checks: Checks, camera: Camera, _photos: Path) -> None:
    """Stop it at instants from before its first import until it reads."""
    began = time.monotonic()
    with appliance(camera) as digits:
        digits.reads()
        start = time.monotonic() - began
    # A machine that does other things as well takes longer for either.
    most = max(STOP_SECONDS, start / 2)
    slowest, wrong = 0.0, []
    for number in range(STOPS):
        # Twice in a row at every other instant: as an impatient person does, and systemd may.
        kind = signal.SIGINT if number % 2 else signal.SIGTERM
        times = 1 + number // 2 % 2
        with appliance(camera) as digits:
            time.sleep(1.2 * start * number / STOPS)
            took = digits.stop(*[kind] * times)
        slowest = max(slowest, took)
        if took > most:
            last = "\n".join(digits.lines()[-3:])
            wrong.append(
                f"{kind.name} ×{times} at {start * number / STOPS:.2f} s: {took:.1f} s\n{last}"
            )
    what = f"{STOPS} stops in the first {1.2 * start:.1f} s: the slowest takes {slowest:.2f} s"
    check(checks, not wrong, what, "\n".join(wrong))


def memory(checks: Checks, camera: Camera, photos: Path) -> None:
    """Compare the most memory that the process needs until it has read a sample."""
    peak = {}
    for source in (f"folder:{photos}", "picamera"):
        with appliance(camera, source) as digits:
            digits.reads()
            time.sleep(1)
            peak[source] = digits.status("VmHWM") / 1000
    folder, real = peak.values()
    what = f"memory: {real:.1f} MB, {real / folder:.2f} of the folder camera's {folder:.1f}"
    check(checks, real > folder, what)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shim = ["gcc", "-O1", "-shared", "-fPIC", "-o", str(folder / "dmabuf.so")]
        subprocess.run([*shim, str(HERE / "dmabuf.c")], check=True)
        slides, singles, one = (folder / each for each in ("slides", "singles", "one"))
        samples = sorted(SAMPLES.iterdir())
        photograph(slides, samples, COPIES)
        photograph(singles, samples, 1)
        photograph(one, samples[3:4], 1)
        every_sample(checks, Camera(folder / "every"), slides, singles)
        show(one)
        memory(checks, Camera(folder / "memory"), one)
        # Mostly they wait.
        together = held, stall, openings
        with ThreadPoolExecutor() as pool:
            for done in [
                pool.submit(each, checks, Camera(folder / each.__name__), one) for each in together
            ]:
                done.result()
        stops(checks, Camera(folder / "stops"), one)
    print(f"{checks.right} passed, {checks.wrong} failed", flush=True)
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
