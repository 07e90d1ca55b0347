"""A network's answers counted against the labels: accuracy, refusals, confusion matrix."""

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
    """Counts of answers: `confusion[label, answer]`, where the answer NOT_A_DIGIT is a refusal."""

    confusion: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((DIGITS, NOT_A_DIGIT + 1), np.int64)
    )
    wrong_and_confident: int = 0

    def add(self, label: int, answer: int | None, confidence: float) -> None:
        """Count one answer to a picture of the digit `label`; None is a refusal."""
        self.confusion[label, NOT_A_DIGIT if answer is None else answer] += 1
        if answer is not None and answer != label and confidence >= SURE:
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
        """The share of right answers, 0…1; a refusal is not right. 0 where nothing was counted."""
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
    """Count a network's answers on a data set of digits; "not a digit" is a refusal."""
    return count_answers(data.labels, *predict(network, data))


def predict(network: Network, data: Split) -> Predictions:
    """Return the likeliest answer to each picture of a data set, and its probability."""
    answers, confidence = np.zeros(len(data), np.int64), np.zeros(len(data), np.float32)
    scaling = Scaling()
    for start in range(0, len(data), 100):
        images, _ = data.take(np.arange(start, min(start + 100, len(data))))
        probabilities = network.probabilities(scaling(images))
        best = probabilities.argmax(axis=1)
        answers[start : start + len(best)] = best
        confidence[start : start + len(best)] = probabilities[np.arange(len(best)), best]
    return answers, confidence


def count_answers(labels: Labels, answers: Answers, confidence: Array) -> Tally:
    """Count answers against the labels, all (n,); "not a digit" is a refusal."""
    tally = Tally()
    for label, answer, share in zip(labels, answers, confidence, strict=True):
        tally.add(int(label), None if answer == NOT_A_DIGIT else int(answer), float(share))
    return tally
