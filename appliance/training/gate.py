"""Whether a candidate takes the place of the network in use: McNemar's exact test on held-out data.

Two networks read the same pictures; only those count that one reads right and the other wrong.
Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
percentages", 1947, in its exact form.
"""

from dataclasses import asdict, dataclass
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from model.datasets import Scaling, Split
from model.network import SURE, Network
from model.shuffle import Rows

OWN_DIGITS = "your digits"
MNIST = "MNIST"
OTHER_HANDS = "other hands"
MARGINS = {OWN_DIGITS: 0.02, MNIST: 0.001, OTHER_HANDS: 0.02}
"""What two networks are compared on; the share of each set that a candidate may lose at most.

The other hands' photographs show letters and doodles too, and an owner's digits may look like them.
"""
SIGNIFICANT_LOSS = 0.05
"""A loss that is less likely than this between equal networks is real."""
SIGNIFICANT_GAIN = 0.15
"""A gain on the owner's digits that is less likely than this between equal networks is real."""
MOST_CONTRADICTIONS = 0.15
"""Share of the owner's held-out digits that a candidate may read against their label.

Above it labels are wrong: the candidate learned from the same owner's other digits.
"""
_BATCH = 128

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Predictions:
    """A network's `labels` (n,) of labelled pictures; which are `right`, of which it is `sure`."""

    labels: npt.NDArray[np.int64]
    right: Flags
    sure: Flags


@dataclass(frozen=True)
class Comparison:
    """Two networks on the same pictures: how many each reads right, how many are won and lost."""

    total: int
    before: int
    after: int
    won: int
    lost: int

    @property
    def chance_of_loss(self) -> float:
        """The probability that equal networks show such a loss or a greater one."""
        return _binomial_tail(self.lost, self.won + self.lost)

    @property
    def chance_of_gain(self) -> float:
        """The probability that equal networks show such a gain or a greater one."""
        return _binomial_tail(self.won, self.won + self.lost)

    def is_worse(self, margin: float) -> bool:
        """Tell whether the loss is significant, or greater than a share `margin` of all."""
        loss = self.before - self.after
        significant = loss > 0 and self.chance_of_loss < SIGNIFICANT_LOSS
        return significant or loss > max(1.0, margin * self.total)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate is promoted, and the sentence why or why not."""

    promoted: bool
    why: str


def predict(network: Network, data: Split, rows: Rows) -> Predictions:
    """Return a network's predictions for some rows of a data set."""
    scaling = Scaling()
    labels = np.zeros(len(rows), np.int64)
    right, sure = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for start in range(0, len(rows), _BATCH):
        images, truth = data.take(rows[start : start + _BATCH])
        probabilities = network.probabilities(scaling(images))
        part = slice(start, start + len(truth))
        labels[part] = probabilities.argmax(axis=1)
        right[part] = labels[part] == truth
        sure[part] = probabilities.max(axis=1) >= SURE
    return Predictions(labels, right, sure)


def compare_networks(
    before: Network, after: Network, sets: dict[str, tuple[Split, Rows]]
) -> tuple[dict[str, Comparison], float]:
    """Return the comparison of two networks on some rows of each set, and the contradictions.

    The contradictions are the share 0…1 of the owner's digits that `after` reads against their
    label, where it is sure, or where `before` was sure of the same answer.
    """
    comparisons, contradictions = {}, 0.0
    for name, (data, rows) in sets.items():
        first, second = (predict(network, data, rows) for network in (before, after))
        comparisons[name] = compare_predictions(first, second)
        if name == OWN_DIGITS and len(rows):
            unmoved = first.sure & (first.labels == second.labels)
            contradictions = float((~second.right & (second.sure | unmoved)).mean())
    return comparisons, contradictions


def compare_predictions(before: Predictions, after: Predictions) -> Comparison:
    """Return the comparison of two networks' predictions for the same pictures."""
    return Comparison(
        total=len(before.right),
        before=int(before.right.sum()),
        after=int(after.right.sum()),
        won=int((after.right & ~before.right).sum()),
        lost=int((before.right & ~after.right).sum()),
    )


def judge_candidate(comparisons: dict[str, Comparison], contradictions: float) -> Verdict:
    """Return whether a candidate is promoted: better on the owner's digits, no worse on any set.

    `comparisons` are named as in `MARGINS`; both arguments come from `compare_networks`.
    """
    own = comparisons[OWN_DIGITS]
    if contradictions > MOST_CONTRADICTIONS:
        return Verdict(
            False,
            f"the captures contradict each other: {contradictions:.0%} of those held out are read "
            "as another digit than their label after learning from the rest; look through those "
            "that look mislabelled",
        )
    for name, each in comparisons.items():
        if each.is_worse(MARGINS[name]):
            return Verdict(
                False,
                f"the candidate is worse on {name}: {each.after} of {each.total} right, "
                f"{each.before} before (lost {each.lost}, won {each.won})",
            )
    if own.after <= own.before or own.chance_of_gain > SIGNIFICANT_GAIN:
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


def _binomial_tail(least: int, tosses: int) -> float:
    """Return the probability of `least` or more heads in so many tosses of a fair coin."""
    ways = sum(comb(tosses, heads) for heads in range(least, tosses + 1))
    return float(ways / (1 << tosses))
