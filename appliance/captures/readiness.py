"""Whether there are enough captures for a night of training to be worth it."""

from typing import NamedTuple

_MIN_TO_LEARN = 20
_MIN_CORRECTED = 5
_MIN_HELD_OUT = 3


class Readiness(NamedTuple):
    """How many captures train, how many of these correct the network, and how many are held out."""

    to_learn: int
    corrected: int
    held_out: int

    @property
    def enough(self) -> bool:
        """Whether there are enough of each."""
        return not self._missing()

    @property
    def may_begin(self) -> bool:
        """Whether a night can begin at all: it needs one capture to train, some to measure."""
        return self.to_learn > 0 and self.held_out >= _MIN_HELD_OUT

    @property
    def sentence(self) -> str:
        """Whether there are enough, and what is missing."""
        have = (
            f"{self.to_learn} captures to learn from, {self.corrected} of them corrected, "
            f"and {self.held_out} to measure with"
        )
        missing = ", ".join(self._missing())
        if not missing:
            return f"There are enough captures for a night: {have}."
        return f"There are not enough captures for a night yet: {have}. It takes {missing}."

    def _missing(self) -> list[str]:
        more_held_out = "more to measure with (about every fifth becomes one)"
        return [
            f"{least - count} {what}"
            for least, count, what in (
                (_MIN_TO_LEARN, self.to_learn, "more to learn from"),
                (_MIN_CORRECTED, self.corrected, "more corrected"),
                (_MIN_HELD_OUT, self.held_out, more_held_out),
            )
            if count < least
        ]
