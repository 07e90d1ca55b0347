"""The learning curves are an SVG that any training, however short or odd, can be drawn as."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from appliance.web.draw.curves import render_learning_curves
from appliance.web.language import load_texts

EPOCHS = [
    {"number": n, "of": 5, "loss": 0.2 / n, "validation": 0.99 + n / 1000, "camera": 0.95}
    for n in (1, 2, 3)
]
ENGLISH = load_texts("en")
CURVE = [[0.1, 0.25], [0.2, 0.2], [0.6, 0.07]]


def words(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter() if each.text]


def test_the_curves_are_an_svg_with_a_name_and_words_for_it() -> None:
    svg = render_learning_curves(CURVE, EPOCHS, 0, ENGLISH)
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    names = (root.get("aria-labelledby") or "").split()
    assert {each.get("id") for each in root if each.get("id")} == set(names)
    said = " ".join(words(svg))
    assert "The loss went from 0.250 to 0.070." in said
    assert "held-out digits: 99.10% after the first epoch, 99.30% after the last of 3." in said
    assert {"Loss", "epoch", "0", "5", "0.3", "94 %", "100 %"} <= set(words(svg))
    # The page's policy allows no style; a colour of its own would not be seen on light and dark.
    assert "style" not in svg
    assert "#" not in svg


def test_the_curves_run_from_left_to_right_inside_of_the_picture() -> None:
    root = ElementTree.fromstring(render_learning_curves(CURVE, EPOCHS, 0, ENGLISH))
    dots = [each for each in root.iter() if each.tag.endswith("circle")]
    assert len(dots) == 6
    for group in ("loss", "others", "held-out"):
        (line,) = [each for each in root if each.get("class") == group]
        path = (line[0].get("d") or "")[1:].split("L")
        points = [tuple(map(float, each.split())) for each in path]
        assert len(points) == 3
        assert points == sorted(points)
        assert all(44 <= x <= 350 and 26 <= y <= 264 for x, y in points)


@pytest.mark.parametrize(
    ("curve", "epochs"),
    [
        ([], []),
        ([[0.5, 0.1]], []),
        ([[0.0, 0.0], [1.0, 0.0]], []),
        ([[0.5, float("nan")], [0.6, float("inf")]], []),
        ([], [{"number": 1, "of": 1, "loss": 1.0, "validation": None, "camera": None}]),
        ([], [{"number": 40, "of": 40, "loss": 1.0, "validation": 1.0, "camera": 0.1}]),
        ([[1.0, 1e9]], [{"number": 1, "of": 1, "loss": 1.0, "validation": 1.0, "camera": 1.0}]),
    ],
)
def test_few_equal_or_impossible_points_make_a_whole_picture(curve: Any, epochs: Any) -> None:
    svg = render_learning_curves(curve, epochs, 40, ENGLISH)
    ElementTree.fromstring(svg)
    assert "nan" not in svg
    assert "inf" not in svg
