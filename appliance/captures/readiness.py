"""Whether there are captures enough to be worth a night."""

from typing import NamedTuple

ENOUGH_TO_LEARN = 20
ENOUGH_CORRECTED = 5
ENOUGH_HELD_OUT = 3
"""A night needs something to learn from, something that it can put right, and a measure of it."""


class Enough(NamedTuple):
    """How many captures are to learn from, how many of these corrected, and how many held out."""

    to_learn: int
    corrected: int
    held_out: int

    @property
    def enough(self) -> bool:
        """Tell whether they are worth a night."""
        return not self._missing()

    @property
    def some(self) -> bool:
        """Tell whether a night can begin at all: with something to learn, and a measure of it."""
        return self.to_learn > 0 and self.held_out >= ENOUGH_HELD_OUT

    @property
    def sentence(self) -> str:
        """Say whether they are enough, and otherwise what is missing."""
        have = (
            f"{self.to_learn} captures to learn from, {self.corrected} of them corrected, "
            f"and {self.held_out} to measure with"
        )
        missing = self._missing()
        if not missing:
            return f"There are enough captures for a night: {have}."
        wanted = ", ".join(missing)
        return f"There are not enough captures for a night yet: {have}. It takes {wanted}."

    def _missing(self) -> list[str]:
        return [
            f"{wanted - found} {what}"
            for wanted, found, what in (
                (ENOUGH_TO_LEARN, self.to_learn, "more to learn from"),
                (ENOUGH_CORRECTED, self.corrected, "more corrected"),
                (
                    ENOUGH_HELD_OUT,
                    self.held_out,
                    "more to measure with (about every fifth becomes one)",
                ),
            )
            if found < wanted
        ]
