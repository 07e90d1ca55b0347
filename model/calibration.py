"""How far a confidence can be believed: measured, and set right by one temperature.

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

# Without a single error among them the best temperature of some scores would be 0.
_COLDEST, _HOTTEST = 0.2, 5.0


@dataclass(frozen=True)
class Bin:
    """Answers whose confidence is above `low` and up to `high`: mean confidence, share right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """A network whose logits are divided by `temperature`, and its calibration error around it."""

    network: Network
    temperature: float
    before: float
    after: float


def calibrate(network: Network, pictures: Iterable[tuple[Bytes, Labels]]) -> Calibration:
    """Return a folded network with its confidence set right on pictures it has not learned from.

    `pictures` are batches of uint8 (n, 784) with labels (n,), of which only the scores are kept.
    Raises ValueError for a network that does not end in a dense layer's logits.
    """
    scaling = Scaling()
    scores, labels = [np.zeros((0, *network.shapes[-1]), np.float32)], [np.zeros(0, np.uint8)]
    for images, truth in pictures:
        scores.append(network.forward(scaling(images)))
        labels.append(truth)
    logits, truths = np.concatenate(scores), np.concatenate(labels)
    found = fit_temperature(logits, truths) if len(truths) else 1.0
    cooled = logits / np.float32(found)
    return Calibration(
        divide_logits(network, found), found, _error(logits, truths), _error(cooled, truths)
    )


def fit_temperature(scores: Array, labels: Labels) -> float:
    """Return the T from 0.2 to 5 by which logits (n, classes), divided, are likeliest for labels.

    The likelihood has one peak over 1 / T: where the mean of the scores, weighed by their
    probabilities, is that of the labels' scores.
    """
    truths = scores[np.arange(len(labels)), labels].mean()
    cold, hot = np.log(_COLDEST), np.log(_HOTTEST)
    # The slope keeps digits that float32 loses on the likelihood's flat top.
    for _ in range(30):
        middle = (cold + hot) / 2
        shares = softmax(scores / np.float32(np.exp(middle)))
        if (shares * scores).sum(axis=1).mean() < truths:
            hot = middle
        else:
            cold = middle
    return float(np.exp((cold + hot) / 2))


def divide_logits(network: Network, temperature: float) -> Network:
    """Return a folded network whose logits are divided by a temperature, in its last layer.

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
    """Return the bins of equal width over 0…1 that have answers: confidence (n,), right (n,)."""
    places = np.clip(np.ceil(confidence * np.float32(bins)).astype(np.int64) - 1, 0, bins - 1)
    found = []
    for place in np.unique(places):
        held = places == place
        found.append(
            Bin(
                low=int(place) / bins,
                high=(int(place) + 1) / bins,
                count=int(held.sum()),
                confidence=float(confidence[held].mean()),
                accuracy=float(right[held].mean()),
            )
        )
    return found


def calibration_error(confidence: Array, right: Right, bins: int = 15) -> float:
    """Return the mean distance, 0…1, of the bins' confidence from their accuracy; 0 for nothing.

    Source: M. Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015
    (expected calibration error).
    """
    total = max(1, len(confidence))
    return sum(
        each.count / total * abs(each.confidence - each.accuracy)
        for each in reliability(confidence, right, bins)
    )


def risk_coverage(confidence: Array, right: Right) -> tuple[Array, Array]:
    """Return (coverage, error), each (k,) in 0…1, of answering from each confidence there is on.

    Coverage rises from the most confident answers alone to 1, all answers; error is the share
    wrong of those that are given. Answers of one confidence are given together.
    """
    order = np.argsort(-confidence, kind="stable")
    given = np.arange(1, len(order) + 1, dtype=np.int64)
    wrong = np.cumsum(~right[order])
    held = confidence[order]
    last = np.append(held[1:] != held[:-1], True)[: len(held)]
    coverage: Array = (given[last] / max(1, len(order))).astype(np.float32)
    error: Array = (wrong[last] / given[last]).astype(np.float32)
    return coverage, error


def _error(scores: Array, labels: Labels) -> float:
    shares = softmax(scores)
    return calibration_error(shares.max(axis=1), shares.argmax(axis=1) == labels)
