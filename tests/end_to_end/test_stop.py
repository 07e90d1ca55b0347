"""`digits run` is ended by signals: at chosen instants, many at once, while something hangs."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.storage.layout import StateDirectory
from tests.conftest import ROOT, SAMPLES
from tests.end_to_end.test_run import OwnerClient
from tests.proofs.stop_signals import main

PROGRAM = """
import importlib, os, signal, sys

def send():
    for _ in range(3):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)

def hang():
    # As a driver in C does that waits for ever: it never comes back to Python.
    import ctypes
    lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(128)
    lock(mutex)
    print("hangs now", file=sys.stderr, flush=True)
    lock(mutex)

def before(place, do):
    module, _, path = place.partition(":")
    owner = importlib.import_module(module)
    *names, last = path.split(".")
    for name in names:
        owner = getattr(owner, name)
    real = getattr(owner, last)
    def first(*args, **named):
        do()
        return real(*args, **named)
    setattr(owner, last, first)

class Importing:
    def __init__(self, name, do):
        self.name, self.do = name, do
    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            self.do()

def importing(name, do):
    sys.meta_path.insert(0, Importing(name, do))

{patch}

# As in the foreground: a job in the background may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
import runpy
sys.argv[0] = "digits"
runpy.run_module("appliance", run_name="__main__", alter_sys=True)
"""


@contextmanager
def started(
    patch: str, port: int, tmp_path: Path, *command: str
) -> Iterator[tuple["subprocess.Popen[str]", Any]]:
    """Run `digits` with a patch in its process; yield that, and the lines of its stderr."""
    config = tmp_path / "digits.toml"
    config.write_text(
        f'[camera]\nsource = "folder:{SAMPLES}"\nrate = 20\npicture_seconds = 0\n'
        f'[reader]\nagree = 1\n[leds]\nlayout = "ten"\n'
        f'[web]\nhost = "127.0.0.1"\nport = {port}\n'
    )
    words = command or ("run", "--state", str(tmp_path), "--config", str(config))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(patch=patch), *words],
        cwd=ROOT,
        env={"GPIOZERO_PIN_FACTORY": "mock", "PATH": "", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    # A line that does not come fails the test instead of blocking it.
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        yield process, process.stderr
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def wait_until_it_sleeps(process: "subprocess.Popen[str]") -> None:
    """Wait until the main thread waits for something, and no step of Python is left to it."""
    while " S " not in Path(f"/proc/{process.pid}/stat").read_text():
        pass


def count_history(state: Path) -> int:
    """Return how many readings are in the history, which is whole."""
    with closing(sqlite3.connect(StateDirectory(state).history)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(database.execute("SELECT count(*) FROM readings").fetchone()[0])


@pytest.mark.parametrize("place", ["numpy", "flask", "waitress", "appliance.web.app"])
def test_signals_while_it_imports_end_it(place: str, port: int, tmp_path: Path) -> None:
    with started(f"importing({place!r}, send)", port, tmp_path) as (process, lines):
        said = lines.read()
        assert process.wait(10) == 0
    assert "Traceback" not in said


def test_signals_before_the_command_is_known_end_it_as_they_do_any_program(
    port: int, tmp_path: Path
) -> None:
    patch = "importing('appliance.commands.run', lambda: os.kill(os.getpid(), signal.SIGINT))"
    with started(patch, port, tmp_path) as (process, lines):
        assert lines.read() == ""
        assert process.wait(10) == -signal.SIGINT


@pytest.mark.parametrize(
    "place",
    [
        "appliance.outputs.history:History.__init__",
        "appliance.captures.store:Captures.__init__",
        "appliance.outputs.leds:Leds.__init__",
        "appliance.web.app:create_app",
        "appliance.web.server:Server.__init__",
        "appliance.loop:Loop.__init__",
        "appliance.device.systemd:Watchdog.ready",
        "appliance.loop:Loop.run",
        "appliance.camera.folder:FolderCamera.__init__",
        "appliance.web.server:Server.run",
        "appliance.loop:Loop.stop",
        "appliance.web.server:Server.stop",
        "threading:Condition.notify_all",
        "appliance.camera.folder:FolderCamera.close",
        "appliance.outputs.history:History.close",
        "appliance.outputs.leds:Leds.close",
        "appliance.device.button:ReadButton.close",
        "appliance.web.server:Server.close",
        "appliance.captures.store:Captures.close",
        "threading:_shutdown",
    ],
)
def test_signals_at_any_instant_end_it(place: str, port: int, tmp_path: Path) -> None:
    with started(f"before({place!r}, send)", port, tmp_path) as (process, lines):
        said = ""
        for line in lines:
            said += line
            if "reads" in line:
                # The instants of its end come after this one.
                process.send_signal(signal.SIGTERM)
                break
        said += lines.read()
        assert process.wait(10) == 0
    assert "Traceback" not in said
    assert "hang" not in said
    if "reads" in said:
        assert count_history(tmp_path) > 0


def test_two_signals_at_once_end_it(port: int, tmp_path: Path) -> None:
    """The second comes while what the first one set off holds the lock of an event."""
    patch = """
from appliance.loop import Loop
stop = Loop.stop
def stop_and_be_told_again(loop):
    with loop._wake._cond:
        os.kill(os.getpid(), signal.SIGTERM)
        # So that the interpreter runs a handler here.
        for _ in range(1000): pass
    stop(loop)
Loop.stop = stop_and_be_told_again
"""
    with started(patch, port, tmp_path) as (process, lines):
        next(line for line in lines if "reads" in line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert count_history(tmp_path) > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_camera_that_hangs_does_not_keep_the_stop_waiting(
    number: signal.Signals, port: int, tmp_path: Path
) -> None:
    patch = """
from dataclasses import replace
from appliance.camera.folder import FolderCamera
frames = FolderCamera.frames
def few(camera):
    for _, frame in zip(range(5), frames(camera)):
        yield frame
    hang()
FolderCamera.frames = few
"""
    with started(patch, port, tmp_path) as (process, lines):
        next(line for line in lines if "hangs now" in line)
        process.send_signal(number)
        said = lines.read()
        assert process.wait(10) == 0
    assert "the loop did not end" in said
    assert said.splitlines()[-1].endswith("stopped")
    # A driver that hangs costs no reading of before.
    assert count_history(tmp_path) == 5


def test_no_random_instant_is_left_out() -> None:
    """A few runs of the program that makes hundreds."""
    found = main(runs=4, signals=3, gap=None, name=None, seed=1, camera=f"folder:{SAMPLES}")
    assert found.wrong == []
    assert sum(found.codes.values()) == 4


HANGS = "ended, though something of it hangs: run 'digits doctor'"


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("appliance.outputs.history:History.close", "the loop did not end within 1.2 seconds"),
        ("appliance.device.button:ReadButton.close", HANGS),
        ("appliance.web.server:Server.stop", HANGS),
    ],
)
def test_what_else_hangs_does_not_keep_the_stop_waiting(
    place: str, sentence: str, port: int, tmp_path: Path
) -> None:
    patch = f"before({place!r}, hang)"
    with started(patch, port, tmp_path) as (process, lines):
        next(line for line in lines if "reads" in line)
        process.send_signal(signal.SIGTERM)
        said = lines.read()
        assert process.wait(10) == 0
    assert sentence in said
    assert count_history(tmp_path) > 0


def test_a_signal_while_it_begins_again_ends_it(port: int, tmp_path: Path) -> None:
    pin = OwnerPin(owner_file(tmp_path)).make_pin()
    patch = "before('appliance.captures.store:Captures.close', send)"
    with started(patch, port, tmp_path) as (process, lines):
        next(line for line in lines if "the page is at" in line)
        assert OwnerClient(port, pin).send("POST", "/api/v1/device/start-again") == 202
        said = lines.read()
        assert process.wait(10) == 0
    assert "stopped" in said
    assert "the page is at" not in said


def test_a_doctor_whose_camera_hangs_can_be_ended(port: int, tmp_path: Path) -> None:
    patch = """
from appliance.camera.folder import FolderCamera
FolderCamera.frames = lambda camera: hang()
"""
    command = "doctor", "--state", str(tmp_path), "--config", str(tmp_path / "digits.toml")
    with started(patch, port, tmp_path, *command) as (process, lines):
        next(line for line in lines if "hangs now" in line)
        wait_until_it_sleeps(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_a_training_that_waits_for_other_processes_can_be_ended(
    port: int, tiny_mnist: Path, tmp_path: Path
) -> None:
    patch = """
import appliance.commands.train
appliance.commands.train.make_examples = lambda *_: hang()
"""
    out = tmp_path / "new.npz"
    command = "train", "--through-camera", "--data", str(tiny_mnist), "--out", str(out)
    with started(patch, port, tmp_path, *command) as (process, lines):
        next(line for line in lines if "hangs now" in line)
        wait_until_it_sleeps(process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert not out.exists()


def test_a_terminal_that_closes_ends_it(port: int, tmp_path: Path) -> None:
    """The kernel sends SIGHUP, and what it says from then on cannot be written."""
    ours, its = os.openpty()
    command = ["run", "--camera", f"folder:{SAMPLES}", "--leds", "none", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(patch=TAKE_TERMINAL), *command]
        + ["--port", str(port), "--state", str(tmp_path)],
        cwd=ROOT,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    try:
        said = b""
        while b"reads" not in said:
            said += os.read(ours, 1000)
        os.close(ours)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert count_history(tmp_path) > 0


TAKE_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
"""
