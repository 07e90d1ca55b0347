"""The signals that end a command are noted, whatever it is at, and end it once."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from appliance.commands.stop_signals import SIGNALS, StopSignals
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("handlers")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_signals_raise_nothing_and_are_ignored_afterwards(number: signal.Signals) -> None:
    lock = threading.Lock()
    with StopSignals() as signals:
        assert not signals.came
        with lock:
            for _ in range(100):
                signal.raise_signal(number)
        assert signals.came
        # It would wait for an hour.
        assert signals.wait(3600)
    assert signals.came
    for each in SIGNALS:
        assert signal.getsignal(each) == signal.SIG_IGN


def test_without_a_signal_all_is_as_before(handlers: dict[int, object]) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    with StopSignals() as signals:
        signals.end_at_once()
        assert not signals.wait(0)
    assert not signals.came
    assert {number: signal.getsignal(number) for number in SIGNALS} == handlers
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert "signals" not in [thread.name for thread in threading.enumerate()]


def test_a_hangup_that_nohup_has_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGHUP)
        assert not signals.came


def test_a_signal_is_told_in_a_thread_that_may_take_locks() -> None:
    lock, told = threading.Lock(), threading.Event()

    def stop() -> None:
        with lock:
            told.set()

    with StopSignals() as signals:
        signals.end_at_once()
        signals.end_in_order(stop)
        with lock:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
        assert told.wait(60)


def test_what_may_be_interrupted_is_interrupted_once() -> None:
    undone = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            undone.append("all")

    with StopSignals() as signals:
        signals.interrupt()
        with pytest.raises(KeyboardInterrupt):
            work()
    assert undone == ["all"]


HANGS = """
import ctypes, os, signal, threading
from contextlib import suppress
from appliance.commands.stop_signals import StopSignals
with StopSignals() as signals:
    {begin}
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    # What a driver in C that waits for ever does: it never comes back to Python.
    mutex = ctypes.create_string_buffer(128)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""


@pytest.mark.parametrize(
    ("begin", "code"),
    [
        ("signals.end_at_once()", 0),
        ("signals.end_at_once(); signals.end_in_order(lambda: None)", 0),
        ("signals.end_at_once(); signals.end_in_order(lambda: 1 / 0)", 0),
        ("signals.end_at_once(); signals.end_in_order(threading.Event().wait)", 0),
        ("signals.interrupt()", 130),
    ],
)
def test_a_process_ends_whatever_hangs_in_it(begin: str, code: int) -> None:
    script = HANGS.format(begin=begin)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60)
    assert done.returncode == code
