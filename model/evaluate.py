"""Answers counted against the truth: accuracy, refusals, confusions."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from model.datasets import Scaling, Split
from model.layers import Array
from model.losses import Labels
from model.network import DIGITS, NOT_A_DIGIT, SURE, Network

Answers = npt.NDArray[np.int64]
Predictions = tuple[Answers, Array]
"""The likeliest answer to each picture, int64 (n,), and its probability, float32 (n,)."""


@dataclass
class Tally:
    """Counts of answers; `confusion[truth, answer]` with answer NOT_A_DIGIT for a refusal."""

    confusion: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((DIGITS, NOT_A_DIGIT + 1), np.int64)
    )
    wrong_and_confident: int = 0

    def add(self, truth: int, answer: int | None, confidence: float) -> None:
        """Count one answer to a picture of the digit `truth`; None is a refusal."""
        self.confusion[truth, NOT_A_DIGIT if answer is None else answer] += 1
        if answer is not None and answer != truth and confidence >= SURE:
            self.wrong_and_confident += 1

    @property
    def total(self) -> int:
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        return int(np.trace(self.confusion))

    @property
    def refused(self) -> int:
        return int(self.confusion[:, NOT_A_DIGIT].sum())

    @property
    def accuracy(self) -> float:
        """The share right of all, a refusal counting as not right; 0 when nothing was counted."""
        return self.right / self.total if self.total else 0.0

    def per_digit(self) -> list[dict[str, Any]]:
        return [
            {
                "digit": digit,
                "right": int(row[digit]),
                "total": int(row.sum()),
                "refused": int(row[NOT_A_DIGIT]),
            }
            for digit, row in enumerate(self.confusion)
        ]


def evaluate(network: Network, data: Split) -> Tally:
    """Return the network's answers on a data set of digits; "not a digit" is a refusal."""
    return count_answers(data.labels, *predict(network, data))


def predict(network: Network, data: Split) -> Predictions:
    """Return a network's answers to a data set."""
    found, sure = np.zeros(len(data), np.int64), np.zeros(len(data), np.float32)
    scaling = Scaling()
    for start in range(0, len(data), 100):
        images, _ = data.take(np.arange(start, min(start + 100, len(data))))
        probabilities = network.probabilities(scaling(images))
        best = probabilities.argmax(axis=1)
        found[start : start + len(best)] = best
        sure[start : start + len(best)] = probabilities[np.arange(len(best)), best]
    return found, sure


def count_answers(labels: Labels, found: Answers, sure: Array) -> Tally:
    """Return answers counted against the labels, all (n,); "not a digit" is a refusal."""
    tally = Tally()
    for truth, answer, confidence in zip(labels, found, sure, strict=True):
        digit = None if answer == NOT_A_DIGIT else int(answer)
        tally.add(int(truth), digit, float(confidence))
    return tally
