"""What the captures are readiness, which look mislabelled and which are alike."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.captures.audit import ReportCache, audit, near_duplicates
from appliance.captures.readiness import Readiness
from appliance.captures.store import Captures
from tests.captured import add_capture, glyph
from tests.conftest import digits_in_mnist_form


def says(answers: dict[bytes, tuple[int, float]]) -> Any:
    """Return a network's probabilities that are given for glyphs; all else is a sure 7."""

    def probabilities(glyphs: Any) -> Any:
        assert (glyphs.dtype, glyphs.shape[1]) == (np.float32, 784)
        assert 0 <= glyphs.min() <= glyphs.max() <= 1
        shares = np.zeros((len(glyphs), 11), np.float32)
        for row, each in zip(shares, np.rint(glyphs * 255).astype(np.uint8), strict=True):
            label, share = answers.get(each.tobytes(), (7, 1.0))
            row[:] = (1 - share) / 10
            row[label] = share
        return shares

    return probabilities


def test_the_report_doubts_what_the_network_is_sure_of_being_another(captures: Captures) -> None:
    for each, label in enumerate((7, 7, 7, 3)):
        add_capture(captures, label=label, glyph=glyph(each))
    answers = {glyph(1).tobytes(): (1, 0.95), glyph(2).tobytes(): (1, 0.85)}
    found = audit(captures, says(answers))
    told = [(each.id, each.label, each.looks_like) for each in found.mislabelled]
    assert told == [(2, 7, 1), (4, 3, 7)]
    assert (found.counts[7], found.counts[3], found.enough) == (3, 1, False)
    assert "2 captures may be mislabelled" in " ".join(found.sentences)


def test_a_report_of_nothing_is_made(captures: Captures) -> None:
    found = audit(captures, says({}))
    assert (sum(found.counts.values()), found.alike, found.enough) == (0, (), False)


@pytest.mark.parametrize(
    ("readiness", "enough", "said"),
    [
        (Readiness(20, 5, 3), True, "There are enough captures for a night: 20 captures to learn"),
        (Readiness(19, 5, 3), False, "It takes 1 more to learn from."),
        (Readiness(100, 4, 9), False, "It takes 1 more corrected."),
        (Readiness(20, 5, 0), False, "It takes 3 more to measure with"),
    ],
)
def test_enough_is_said_with_what_is_missing(readiness: Readiness, enough: bool, said: str) -> None:
    assert readiness.enough is enough
    assert said in readiness.sentence


def test_enough_is_counted_on_both_sides(captures: Captures) -> None:
    kept = [add_capture(captures, label=each % 2 * 7, glyph=glyph(each)) for each in range(40)]
    readiness = captures.measure_readiness()
    learned = [each for each in kept if not each.held_out]
    assert (readiness.to_learn, readiness.held_out) == (len(learned), 40 - len(learned))
    assert readiness.corrected == sum(each.corrected for each in learned)


def test_near_duplicates_are_the_same_drawing_again_and_not_another_of_the_digit() -> None:
    images, labels = digits_in_mnist_form(60, seed=3)
    # One of each digit: these are drawn so alike that two of a digit can be the same drawing.
    images = images[np.unique(labels, return_index=True)[1]]
    again = np.clip(
        images[:3].astype(int) + np.random.default_rng(0).normal(0, 6, (3, 28, 28)), 0, 255
    )
    glyphs = np.concatenate([images, again.astype(np.uint8)]).reshape(-1, 784)
    count = len(images)
    assert near_duplicates(glyphs) == [[each, count + each] for each in range(3)]
    assert near_duplicates(glyphs[:0]) == []
    assert near_duplicates(np.zeros((300, 784), np.uint8)) == [list(range(300))]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 40), noise=st.floats(1, 40))
def test_near_duplicates_are_those_that_every_pair_compared_gives(
    seed: int, count: int, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (4, 784))
    rows = base[rng.integers(0, 4, count)] + rng.normal(0, noise, (count, 784))
    glyphs = np.clip(rows, 0, 255).astype(np.uint8)
    exact = glyphs.astype(float)
    lengths = (exact**2).sum(1)
    apart = ((exact[:, None] - exact[None]) ** 2).sum(2)
    near = apart <= 0.01 * (lengths[:, None] + lengths[None])
    for _ in range(count):
        near = near @ near
    wanted = {tuple(np.flatnonzero(row).tolist()) for row in near if row.sum() > 1}
    assert {tuple(group) for group in near_duplicates(glyphs)} == wanted


def test_the_report_is_made_once_for_each_state_and_network(captures: Captures) -> None:
    asked: list[int] = []

    def probabilities(glyphs: Any) -> Any:
        asked.append(len(glyphs))
        return says({})(glyphs)

    reports = ReportCache(captures)
    for each in range(5):
        add_capture(captures, glyph=glyph(each))
    first = reports.get("a", probabilities)
    assert reports.get("a", probabilities) is first
    assert asked == [5]
    add_capture(captures, glyph=glyph(9))
    assert reports.get("a", probabilities) is not first
    # Of what it said before the network is not asked again.
    assert asked == [5, 1]
    reports.get("b", probabilities)
    assert asked == [5, 1, 6]


def test_a_second_who_asks_for_the_report_meanwhile_does_not_wait(captures: Captures) -> None:
    add_capture(captures)
    reports = ReportCache(captures)
    inner: list[Any] = []

    def probabilities(glyphs: Any) -> Any:
        inner.append(reports.get("a", probabilities))
        return says({})(glyphs)

    assert reports.get("a", probabilities) is not None
    assert inner == [None]
