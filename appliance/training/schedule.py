"""When a night of training begins by itself, and when it must end."""

import time
from datetime import datetime, timedelta
from pathlib import Path

from appliance.captures.store import Captures
from appliance.device import machine
from appliance.settings.schema import RetrainSettings
from appliance.training.records import nights

_WARM = 3 * 3600.0
"""Without a clock that can be believed it begins so many seconds after the start…"""
_AGAIN = 20 * 3600.0
"""…and again so many seconds after the last time."""


def reason_not_to(
    state: Path,
    settings: RetrainSettings,
    captures: Captures,
    *,
    now: float | None = None,
    clock_is_set: bool | None = None,
    uptime: float | None = None,
) -> str | None:
    """Return why no night is to begin now, in a sentence, or None if one is to.

    By a clock that is set it begins between the settings' hour and the hour it must end by; by one
    that is not, by the hours since the start of the machine.
    """
    now = time.time() if now is None else now
    clock_is_set = machine.clock_is_set(now) if clock_is_set is None else clock_is_set
    uptime = machine.uptime() if uptime is None else uptime
    last = next(iter(nights(state, 1)), None)
    if clock_is_set:
        begun = _begun(settings, now)
        if begun is None:
            return f"it is not between {settings.hour}:00 and {settings.until}:00"
        # One that was told to end may go on in the same night; one whose time was over may not.
        told = bool(last and last.get("outcome") == "left" and last.get("told"))
        if last and not told and begun.timestamp() <= last["at"] <= now:
            return "this night's training is done"
    else:
        same = bool(last and last.get("boot") == machine.boot())
        if uptime < _WARM:
            return (
                "the clock is not set: it waits for the time, or until the machine has been "
                f"running for {_WARM / 3600:.0f} hours"
            )
        if last and same and uptime - last.get("uptime", 0) < _AGAIN:
            return "the clock is not set, and there was a training since the start of the machine"
    if (state / "night" / "plan.json").exists():
        return None
    learned = [each for each in nights(state) if each.get("finished")]
    if learned and learned[0].get("change") == captures.change():
        return "there is nothing new to learn since the last training"
    few = captures.enough()
    return None if few.enough else few.sentence


def end(settings: RetrainSettings, now: float) -> float | None:
    """Return when the night that begins now must end (Unix seconds); None by no clock."""
    if not machine.clock_is_set(now):
        return None
    begun = _begun(settings, now)
    # By the clock on the wall, also in the night in which it changes to summer time.
    return None if begun is None else (begun + timedelta(hours=_length(settings))).timestamp()


def _begun(settings: RetrainSettings, now: float) -> datetime | None:
    """Return when the window that `now` lies in began, or None outside of it."""
    here = datetime.fromtimestamp(now)
    for day in (0, 1):
        start = here.replace(hour=settings.hour, minute=0, second=0, microsecond=0)
        start -= timedelta(days=day)
        if start <= here < start + timedelta(hours=_length(settings)):
            return start
    return None


def _length(settings: RetrainSettings) -> int:
    """Return how many hours lie between the hour it begins and the one it ends by: 1 to 24."""
    return (settings.until - settings.hour - 1) % 24 + 1
