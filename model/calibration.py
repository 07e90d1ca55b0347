"""Calibration of a network's confidence: measured, and corrected by temperature scaling.

Source: C. Guo et al., "On Calibration of Modern Neural Networks", 2017.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.datasets import Bytes, Scaling
from model.layers import Array, Dense
from model.losses import Labels
from model.network import Network, softmax

Right = npt.NDArray[np.bool_]

# Without a single error the best temperature would be 0.
_COLDEST, _HOTTEST = 0.2, 5.0


@dataclass(frozen=True)
class Bin:
    """Answers of a confidence above `low` and up to `high`: mean confidence, accuracy, count."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """A network whose logits are divided by `temperature`; calibration error before and after."""

    network: Network
    temperature: float
    before: float
    after: float


def calibrate(network: Network, pictures: Iterable[tuple[Bytes, Labels]]) -> Calibration:
    """Return a folded network with its confidence calibrated on held-out pictures.

    `pictures` are batches uint8 (n, 784) with labels (n,), of which only the scores are kept.
    Raises ValueError for a network that does not end in a dense layer's logits.
    """
    scaling = Scaling()
    scores, labels = [np.zeros((0, *network.shapes[-1]), np.float32)], [np.zeros(0, np.uint8)]
    for images, truth in pictures:
        scores.append(network.forward(scaling(images)))
        labels.append(truth)
    logits, truths = np.concatenate(scores), np.concatenate(labels)
    temperature = fit_temperature(logits, truths) if len(truths) else 1.0
    return Calibration(
        network=divide_logits(network, temperature),
        temperature=temperature,
        before=_error_of(logits, truths),
        after=_error_of(logits / np.float32(temperature), truths),
    )


def fit_temperature(scores: Array, labels: Labels) -> float:
    """Return the T from 0.2 to 5 that maximises the likelihood of labels (n,) by logits / T.

    The likelihood has one peak over 1 / T: where the mean of the scores (n, classes), weighted by
    their probabilities, equals the mean score of the labels.
    """
    truths = scores[np.arange(len(labels)), labels].mean()
    cold, hot = np.log(_COLDEST), np.log(_HOTTEST)
    # Bisection on the slope: at the flat top of the likelihood float32 has no digits left.
    for _ in range(30):
        middle = (cold + hot) / 2
        probabilities = softmax(scores / np.float32(np.exp(middle)))
        if (probabilities * scores).sum(axis=1).mean() < truths:
            hot = middle
        else:
            cold = middle
    return float(np.exp((cold + hot) / 2))


def divide_logits(network: Network, temperature: float) -> Network:
    """Return a folded network with its last layer divided by a temperature.

    Raises ValueError where that is not a dense layer.
    """
    network = network.fold()
    last = network.layers[-1]
    if not isinstance(last, Dense):
        raise ValueError(f"a {last.kind} layer gives no logits that a temperature could divide")
    for values in last.parameters.values():
        values /= np.float32(temperature)
    return network


def reliability(confidence: Array, right: Right, bins: int = 15) -> list[Bin]:
    """Return the non-empty bins of equal width over 0…1 of confidence (n,) and right (n,)."""
    places = np.clip(np.ceil(confidence * np.float32(bins)).astype(np.int64) - 1, 0, bins - 1)
    return [
        Bin(
            low=int(place) / bins,
            high=(int(place) + 1) / bins,
            count=int((places == place).sum()),
            confidence=float(confidence[places == place].mean()),
            accuracy=float(right[places == place].mean()),
        )
        for place in np.unique(places)
    ]


def calibration_error(confidence: Array, right: Right, bins: int = 15) -> float:
    """Return the mean distance, 0…1, of the bins' confidence from their accuracy; 0 for no answers.

    Source: M. Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015
    (expected calibration error).
    """
    total = max(1, len(confidence))
    return sum(
        each.count / total * abs(each.confidence - each.accuracy)
        for each in reliability(confidence, right, bins)
    )


def risk_coverage(confidence: Array, right: Right) -> tuple[Array, Array]:
    """Return (coverage, error), each (k,) in 0…1, at every threshold of the confidence.

    Coverage, the share of answers given, rises from the most confident ones to 1; error is the
    share of wrong ones among them. Answers of equal confidence are given together.
    """
    order = np.argsort(-confidence, kind="stable")
    given = np.arange(1, len(order) + 1, dtype=np.int64)
    wrong = np.cumsum(~right[order])
    falling = confidence[order]
    last = np.append(falling[1:] != falling[:-1], True)[: len(falling)]
    coverage: Array = (given[last] / max(1, len(order))).astype(np.float32)
    error: Array = (wrong[last] / given[last]).astype(np.float32)
    return coverage, error


def _error_of(scores: Array, labels: Labels) -> float:
    probabilities = softmax(scores)
    return calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
