"""Whether a candidate may take the place of a network: exact counts, on pictures neither learned.

The test of two networks on the same pictures is McNemar's: only those count that one reads and the
other does not. Source: Q. McNemar, "Note on the sampling error of the difference between correlated
proportions or percentages", 1947, in its exact form.
"""

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from model.datasets import Scaling, Split
from model.network import SURE, Network
from model.shuffle import Rows

WORSE = 0.05
"""So unlikely a loss, were both networks alike, is no luck: the candidate is worse."""
BETTER = 0.15
"""So unlikely a gain on the owner's own digits is taken for one."""
CONTRADICTED = 0.15
"""Where more of the owner's held-out digits are read against their label by a candidate that
learned from the others, labels are wrong."""
_BATCH = 128

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """A network's answers (n,) to labelled pictures; which are `right`, which it is `sure` of."""

    found: npt.NDArray[np.int64]
    right: Right
    sure: Right


@dataclass(frozen=True)
class Outcome:
    """Two networks on the same pictures: how many each read, how many were `won` and `lost`."""

    total: int
    before: int
    after: int
    won: int
    lost: int

    @property
    def chance_of_loss(self) -> float:
        """How likely so many or more are lost where both networks are alike, 0…1."""
        return _tail(self.lost, self.won + self.lost)

    @property
    def chance_of_gain(self) -> float:
        """How likely so many or more are won where both networks are alike, 0…1."""
        return _tail(self.won, self.won + self.lost)

    def worse(self, margin: float) -> bool:
        """Tell whether the candidate lost more than luck takes, or more than a share `margin`."""
        fall = self.before - self.after
        return (fall > 0 and self.chance_of_loss < WORSE) or fall > max(1.0, margin * self.total)

    def as_json(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "before": self.before,
            "after": self.after,
            "won": self.won,
            "lost": self.lost,
        }


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate is promoted, and why or why not, in a sentence."""

    promoted: bool
    why: str


def answers(network: Network, data: Split, rows: Rows) -> Answers:
    """Return a network's answers to the pictures of a data set at some rows."""
    scaling = Scaling()
    found = np.zeros(len(rows), np.int64)
    right, sure = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for start in range(0, len(rows), _BATCH):
        images, labels = data.take(rows[start : start + _BATCH])
        shares = network.probabilities(scaling(images))
        part = slice(start, start + len(labels))
        found[part] = shares.argmax(axis=1)
        right[part] = found[part] == labels
        sure[part] = shares.max(axis=1) >= SURE
    return Answers(found, right, sure)


def weighed(
    before: Network, after: Network, sets: dict[str, tuple[Split, Rows]]
) -> tuple[dict[str, Outcome], float]:
    """Return the outcomes of two networks on data sets at some rows, named as in `MARGINS`.

    With them the share 0…1 of the owner's digits that the second answers against their label, and
    is sure of, or the first was, with the same answer.
    """
    outcomes, contrary = {}, 0.0
    for name, (data, rows) in sets.items():
        first, second = (answers(network, data, rows) for network in (before, after))
        outcomes[name] = compared(first, second)
        if name == "your digits" and len(rows):
            still = first.sure & (first.found == second.found)
            against = ~second.right & (second.sure | still)
            contrary = float(against.mean())
    return outcomes, contrary


def compared(before: Answers, after: Answers) -> Outcome:
    """Return the outcome of two networks' answers to the same pictures."""
    return Outcome(
        total=len(before.right),
        before=int(before.right.sum()),
        after=int(after.right.sum()),
        won=int((after.right & ~before.right).sum()),
        lost=int((before.right & ~after.right).sum()),
    )


# By how much, as a share, each may fall before luck is asked.
MARGINS = {"your digits": 0.02, "MNIST": 0.001, "other hands": 0.02}
"""What a candidate is held against, and the share of each that it may lose at most.

Among the other hands' photographs are letters and doodles, and an owner's forms may be like these.
"""


def verdict(outcomes: dict[str, Outcome], contrary: float) -> Verdict:
    """Return whether a candidate with these outcomes, named as in `MARGINS`, is promoted.

    It must not be worse on any of them, and better on the owner's digits. `contrary` is the share
    0…1 of the owner's held-out digits that `weighed` found answered against their label.
    """
    own = outcomes["your digits"]
    if contrary > CONTRADICTED:
        return Verdict(
            False,
            f"the captures contradict each other: {contrary:.0%} of those held out are read as "
            "another digit than their label after learning from the rest; look through those that "
            "look mislabelled",
        )
    for name, outcome in outcomes.items():
        if outcome.worse(MARGINS[name]):
            return Verdict(
                False,
                f"the candidate is worse on {name}: {outcome.after} of {outcome.total} right, "
                f"{outcome.before} before (lost {outcome.lost}, won {outcome.won})",
            )
    if own.after <= own.before or own.chance_of_gain > BETTER:
        return Verdict(
            False,
            f"the candidate is not better beyond luck on your digits: {own.after} of {own.total} "
            f"right, {own.before} before (won {own.won}, lost {own.lost})",
        )
    return Verdict(
        True,
        f"{own.after} of {own.total} of your held-out digits right, {own.before} before, and no "
        "worse on the others",
    )


def _tail(least: int, of: int) -> float:
    """Return the chance of `least` or more heads of `of` throws of a coin."""
    return float(sum(comb(of, heads) for heads in range(least, of + 1)) / (1 << of))
