"""Audits the captures: are there enough, which look mislabelled, which are near-duplicates."""

import threading
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.captures.readiness import Readiness
from appliance.captures.store import Captures
from appliance.reading import Array, Grey
from model.network import NOT_A_DIGIT, SURE

ALIKE = 0.01
"""Glyphs a and b are near-duplicates where |a − b|² is at most this share of |a|² + |b|².

One sheet photographed again, moved and with other noise, stays below 0.006. Of pairs of MNIST's
digits by different people one in a thousand comes below 0.014 among the ones, 0.019 among the
rest."""
_BATCH = 64
"""Glyphs that the network sees at once; more need more memory and are no faster."""

Floats = npt.NDArray[np.floating[Any]]
Probabilities = Callable[[Array], Array]
Predictions = MutableMapping[int, tuple[int, float]]


@dataclass(frozen=True)
class Suspect:
    """A capture whose label the network doubts: it takes it for `looks_like`, 10 = no digit."""

    id: int
    label: int
    looks_like: int
    confidence: float


@dataclass(frozen=True)
class Report:
    """The findings of `audit`; `alike` has the capture numbers of each group of near-duplicates."""

    counts: dict[int, int]
    readiness: Readiness
    mislabelled: tuple[Suspect, ...]
    alike: tuple[tuple[int, ...], ...]

    @property
    def enough(self) -> bool:
        """Whether there are enough for a night of training."""
        return self.readiness.enough

    @property
    def sentences(self) -> list[str]:
        """The findings in words."""
        sentences = [self.readiness.sentence]
        if self.mislabelled:
            sentences.append(
                f"{_say_count(len(self.mislabelled))} may be mislabelled: the network is sure of "
                "another answer. Look at them; keep the label where you are right."
            )
        if self.alike:
            surplus = sum(len(group) - 1 for group in self.alike)
            sentences.append(
                f"{_say_count(surplus)} nearly repeat another one: they teach little more than it "
                "does, and weigh more."
            )
        return sentences

    def to_json(self) -> dict[str, Any]:
        return {
            "counts": list(self.counts.values()),
            **self.readiness._asdict(),
            "enough": self.enough,
            "mislabelled": [asdict(each) for each in self.mislabelled],
            "alike": self.alike,
            "sentences": self.sentences,
        }


def audit(
    captures: Captures, probabilities: Probabilities, predictions: Predictions | None = None
) -> Report:
    """Compare the captures' labels with a network's `probabilities`, and with one another.

    `probabilities` takes float32 (n, 784) in 0…1 to (n, 10 or 11). `predictions` (capture's number:
    label, confidence) are reused, and completed. Needs 0.8 kB a capture, and a few MB.
    """
    predictions = {} if predictions is None else predictions
    counts = dict.fromkeys(range(NOT_A_DIGIT + 1), 0)
    numbers: list[int] = []
    glyphs: list[Grey] = []
    suspects: list[Suspect] = []
    for block in captures.iter_blocks():
        ids = block.numbers.tolist()
        numbers += ids
        glyphs.append(block.glyphs)
        _predict(probabilities, ids, block.glyphs, predictions)
        for number, label in zip(ids, block.labels.tolist(), strict=True):
            counts[label] += 1
            best, confidence = predictions[number]
            if best != label and confidence >= SURE:
                suspects.append(Suspect(number, label, best, round(confidence, 4)))
    known = set(numbers)
    for gone in [number for number in predictions if number not in known]:
        del predictions[gone]
    groups = near_duplicates(np.concatenate(glyphs)) if glyphs else []
    return Report(
        counts=counts,
        readiness=captures.measure_readiness(),
        mislabelled=tuple(suspects),
        alike=tuple(tuple(numbers[each] for each in group) for group in groups),
    )


def near_duplicates(glyphs: Grey) -> list[list[int]]:
    """Return groups of rows of uint8 (n, 784): each row is a near-duplicate of another in it."""
    count = len(glyphs)
    if not count:
        return []
    # The means of 4×4 pixels differ by no more than the pixels do, so only glyphs whose means are
    # near need a comparison pixel by pixel.
    means = glyphs.reshape(count, 7, 4, 7, 4).mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    lengths = np.array([_squared_norms(glyph) for glyph in glyphs], np.float32)
    coarse = (means**2).sum(axis=1)
    group = np.arange(count)
    for row, near in _candidate_pairs(means, coarse, ALIKE * lengths / 16):
        near = near[group[near] != group[row]]
        if not len(near):
            continue
        apart = _squared_norms(glyphs[near].astype(np.float32) - glyphs[row])
        for other in near[apart <= ALIKE * (lengths[near] + lengths[row])]:
            group[group == group[other]] = group[row]
    _, which = np.unique(group, return_inverse=True)
    sizes = np.bincount(which, minlength=1)
    members = [np.flatnonzero(which == each).tolist() for each in np.flatnonzero(sizes > 1)]
    return sorted(members)


class ReportCache:
    """Audits the captures again only when they or the network changed."""

    def __init__(self, captures: Captures) -> None:
        self._captures = captures
        self._lock = threading.Lock()
        self._key: tuple[int, str] | None = None
        self._network = ""
        self._predictions: dict[int, tuple[int, float]] = {}
        self._report: Report | None = None

    def get(self, network: str, probabilities: Probabilities) -> Report | None:
        """Return the report for the network of this id; None while another thread makes it.

        On a Pi Zero thousands of captures take some seconds, once.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            key = self._captures.count_changes(), network
            if self._report is None or key != self._key:
                if network != self._network:
                    self._network, self._predictions = network, {}
                self._report = audit(self._captures, probabilities, self._predictions)
                self._key = key
            return self._report
        finally:
            self._lock.release()


def _predict(
    probabilities: Probabilities, ids: list[int], glyphs: Grey, predictions: Predictions
) -> None:
    """Add the predictions that are missing."""
    new = [place for place, number in enumerate(ids) if number not in predictions]
    for start in range(0, len(new), _BATCH):
        places = new[start : start + _BATCH]
        batch = probabilities(glyphs[places].astype(np.float32) / np.float32(255))
        for place, row in zip(places, batch, strict=True):
            predictions[ids[place]] = int(row.argmax()), float(row.max())


def _candidate_pairs(
    means: Floats, coarse: Floats, bounds: Floats
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield each row with the later rows whose 7×7 means are near its own."""
    block = 128
    for start in range(0, len(means), block):
        rows = slice(start, start + block)
        apart = coarse[rows, None] + coarse[None, start:] - 2 * (means[rows] @ means[start:].T)
        # The slack is for rounding errors.
        near = apart <= 1.01 * (bounds[rows, None] + bounds[None, start:]) + 1
        for row, which in enumerate(near):
            yield start + row, start + row + 1 + np.flatnonzero(which[row + 1 :])


def _squared_norms(glyphs: Floats | Grey) -> Any:
    values: Any = glyphs.astype(np.float32, copy=False)
    return np.einsum("...i,...i->...", values, values)


def _say_count(count: int) -> str:
    return "1 capture" if count == 1 else f"{count} captures"
