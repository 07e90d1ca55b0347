"""What the captures are worth: how many, which look mislabelled, which are alike, and if enough."""

import threading
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.captures.readiness import Enough
from appliance.captures.store import Captures
from appliance.reading import Array, Grey
from model.network import NOT_A_DIGIT, SURE

ALIKE = 0.01
"""Glyphs a and b are near-duplicates where |a − b|² is at most this share of |a|² + |b|².

One sheet photographed again, moved and with other noise, stays below 0.006; of MNIST's digits of
different people only one pair in a thousand ones comes below 0.014, of the other digits below
0.019."""
_ROWS = 64
"""Digits that the network is asked about at once; more need more memory and are no faster."""

Floats = npt.NDArray[np.floating[Any]]
Probabilities = Callable[[Array], Array]
Answers = MutableMapping[int, tuple[int, float]]


@dataclass(frozen=True)
class Suspect:
    """A capture whose label the network doubts: it takes it for `looks_like`, 10 = no digit."""

    id: int
    label: int
    looks_like: int
    confidence: float


@dataclass(frozen=True)
class Report:
    """What `report` found; `alike` has the numbers of each group of near-duplicates."""

    counts: dict[int, int]
    worth: Enough
    mislabelled: tuple[Suspect, ...]
    alike: tuple[tuple[int, ...], ...]

    @property
    def enough(self) -> bool:
        """Tell whether there are enough to be worth a night."""
        return self.worth.enough

    @property
    def sentences(self) -> list[str]:
        """Say all of it to a person."""
        said = [self.worth.sentence]
        if self.mislabelled:
            said.append(
                f"{_captures(len(self.mislabelled))} may be mislabelled: the network is sure of "
                "another answer. Look at them; keep the label where you are right."
            )
        if self.alike:
            surplus = sum(len(group) - 1 for group in self.alike)
            said.append(
                f"{_captures(surplus)} nearly repeat another one: they teach little more than it "
                "does, and weigh more."
            )
        return said

    def to_json(self) -> dict[str, Any]:
        return {
            "counts": list(self.counts.values()),
            **self.worth._asdict(),
            "enough": self.enough,
            "mislabelled": [asdict(each) for each in self.mislabelled],
            "alike": self.alike,
            "sentences": self.sentences,
        }


def report(
    captures: Captures, probabilities: Probabilities, answers: Answers | None = None
) -> Report:
    """Return what the captures are worth to the network with these `probabilities`.

    `probabilities` takes float32 (n, 784) in 0…1 to (n, 10 or 11). What is in `answers` (capture's
    number: answer, confidence) is not asked again, what was asked is added. Takes 0.8 kB a capture,
    and a few MB.
    """
    answers = {} if answers is None else answers
    counts = dict.fromkeys(range(NOT_A_DIGIT + 1), 0)
    numbers: list[int] = []
    glyphs: list[Grey] = []
    suspects: list[Suspect] = []
    for block in captures.blocks():
        ids = block.numbers.tolist()
        numbers += ids
        glyphs.append(block.glyphs)
        _ask(probabilities, ids, block.glyphs, answers)
        for number, label in zip(ids, block.labels.tolist(), strict=True):
            counts[label] += 1
            best, confidence = answers[number]
            if best != label and confidence >= SURE:
                suspects.append(Suspect(number, label, best, round(confidence, 4)))
    known = set(numbers)
    for gone in [number for number in answers if number not in known]:
        del answers[gone]
    groups = near_duplicates(np.concatenate(glyphs)) if glyphs else []
    return Report(
        counts=counts,
        worth=captures.enough(),
        mislabelled=tuple(suspects),
        alike=tuple(tuple(numbers[each] for each in group) for group in groups),
    )


def near_duplicates(glyphs: Grey) -> list[list[int]]:
    """Return the groups of rows of uint8 (n, 784) that are alike, also through a third."""
    count = len(glyphs)
    if not count:
        return []
    # The means of 4×4 pixels differ by no more than the pixels do: what is far apart by them is
    # far apart, and only the rest is compared pixel by pixel.
    means = glyphs.reshape(count, 7, 4, 7, 4).mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    lengths = np.array([_squares(glyph) for glyph in glyphs], np.float32)
    coarse = (means**2).sum(axis=1)
    group = np.arange(count)
    for row, near in _candidates(means, coarse, ALIKE * lengths / 16):
        near = near[group[near] != group[row]]
        if not len(near):
            continue
        apart = _squares(glyphs[near].astype(np.float32) - glyphs[row])
        for other in near[apart <= ALIKE * (lengths[near] + lengths[row])]:
            group[group == group[other]] = group[row]
    _, which = np.unique(group, return_inverse=True)
    sizes = np.bincount(which, minlength=1)
    members = [np.flatnonzero(which == each).tolist() for each in np.flatnonzero(sizes > 1)]
    return sorted(members)


class Reports:
    """Makes the report once for each state of the captures and each network."""

    def __init__(self, captures: Captures) -> None:
        self._captures = captures
        self._lock = threading.Lock()
        self._of: tuple[int, str] | None = None
        self._network = ""
        self._answers: dict[int, tuple[int, float]] = {}
        self._report: Report | None = None

    def newest(self, network: str, probabilities: Probabilities) -> Report | None:
        """Return the report of now for the network of this id; None while another thread makes it.

        On a Pi Zero thousands of captures take some seconds, once.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            state = self._captures.change(), network
            if self._report is None or state != self._of:
                if network != self._network:
                    self._network, self._answers = network, {}
                self._report = report(self._captures, probabilities, self._answers)
                self._of = state
            return self._report
        finally:
            self._lock.release()


def _ask(probabilities: Probabilities, ids: list[int], glyphs: Grey, answers: Answers) -> None:
    new = [place for place, number in enumerate(ids) if number not in answers]
    for start in range(0, len(new), _ROWS):
        some = new[start : start + _ROWS]
        shares = probabilities(glyphs[some].astype(np.float32) / np.float32(255))
        for place, each in zip(some, shares, strict=True):
            answers[ids[place]] = int(each.argmax()), float(each.max())


def _candidates(
    means: Floats, coarse: Floats, bounds: Floats
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield each row with the later rows that its 7×7 means do not tell from it."""
    block = 128
    for start in range(0, len(means), block):
        rows = slice(start, start + block)
        apart = coarse[rows, None] + coarse[None, start:] - 2 * (means[rows] @ means[start:].T)
        # A little more than the bound: the sums are rounded.
        near = apart <= 1.01 * (bounds[rows, None] + bounds[None, start:]) + 1
        for row, which in enumerate(near):
            yield start + row, start + row + 1 + np.flatnonzero(which[row + 1 :])


def _squares(glyphs: Floats | Grey) -> Any:
    values: Any = glyphs.astype(np.float32, copy=False)
    return np.einsum("...i,...i->...", values, values)


def _captures(count: int) -> str:
    return "1 capture" if count == 1 else f"{count} captures"
