"""When a night of training begins by itself, and its deadline: `retrain` ends by it."""

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.captures.store import Captures
from appliance.device import machine
from appliance.settings.schema import RetrainSettings
from appliance.storage.layout import StateDirectory
from appliance.training.records import load_nights

_FIRST_UPTIME = 3 * 3600.0
"""Seconds after the machine's start at which a night begins while its clock is not set."""
_PAUSE = 20 * 3600.0
"""Seconds from one night to the next while the clock is not set."""


def reason_to_wait(
    state: Path,
    settings: RetrainSettings,
    captures: Captures,
    *,
    now: float | None = None,
    clock_is_set: bool | None = None,
    uptime: float | None = None,
) -> str | None:
    """Return why no night is to begin now, in a sentence, or None if one is due.

    With a set clock a night is due between the settings' hours; without one, some hours after the
    machine's start. `now` is in Unix seconds, `uptime` in seconds; by default the machine's.
    """
    now = time.time() if now is None else now
    clock_is_set = machine.clock_is_set(state, now) if clock_is_set is None else clock_is_set
    uptime = machine.uptime() if uptime is None else uptime
    reason = (
        _reason_by_clock(state, settings, now) if clock_is_set else _reason_by_uptime(state, uptime)
    )
    if reason or (StateDirectory(state).night / "plan.json").exists():
        return reason
    finished = [each for each in load_nights(state) if each.get("finished")]
    if finished and finished[0].get("change") == captures.count_changes():
        return "there is nothing new to learn since the last training"
    readiness = captures.measure_readiness()
    return None if readiness.enough else readiness.sentence


def find_deadline(state: Path, settings: RetrainSettings, now: float) -> float | None:
    """Return when the night that begins now must end (Unix seconds); None if the clock is unset."""
    if not machine.clock_is_set(state, now):
        return None
    start = _window_start(settings, now)
    # Local time: the night of the change to summer time is an hour shorter.
    return None if start is None else (start + timedelta(hours=_window_hours(settings))).timestamp()


def _reason_by_clock(state: Path, settings: RetrainSettings, now: float) -> str | None:
    start = _window_start(settings, now)
    if start is None:
        return f"it is not between {settings.hour}:00 and {settings.until}:00"
    last = _last_night(state)
    # A training that was stopped goes on in the same night; one whose time was over does not.
    stopped = last.get("outcome") == "left" and last.get("told")
    if last and not stopped and start.timestamp() <= last["at"] <= now:
        return "this night's training is done"
    return None


def _reason_by_uptime(state: Path, uptime: float) -> str | None:
    if uptime < _FIRST_UPTIME:
        return (
            "the clock is not set: it waits for the time, or until the machine has been "
            f"running for {_FIRST_UPTIME / 3600:.0f} hours"
        )
    last = _last_night(state)
    same_boot = last and last.get("boot") == machine.boot()
    if same_boot and uptime - last.get("uptime", 0) < _PAUSE:
        return "the clock is not set, and there was a training since the start of the machine"
    return None


def _last_night(state: Path) -> dict[str, Any]:
    return next(iter(load_nights(state, 1)), {})


def _window_start(settings: RetrainSettings, now: float) -> datetime | None:
    """Return when the window around `now` began, or None outside of the settings' hours."""
    here = datetime.fromtimestamp(now)
    for days in (0, 1):
        start = here.replace(hour=settings.hour, minute=0, second=0, microsecond=0)
        start -= timedelta(days=days)
        if start <= here < start + timedelta(hours=_window_hours(settings)):
            return start
    return None


def _window_hours(settings: RetrainSettings) -> int:
    """Return the hours from the settings' `hour` to its `until`, 1 to 24."""
    return (settings.until - settings.hour - 1) % 24 + 1
