"""SVG charts: scales, round numbers for an axis, and words that cannot become markup."""

from xml.etree import ElementTree

import pytest

from appliance.web.draw.svg import Scale, chart, element, round_ticks, text


def test_a_scale_maps_the_ends_of_the_data_to_the_ends_of_the_drawing() -> None:
    up = Scale(10, 20, 100, 0)
    assert [up(10), up(15), up(20)] == [100, 50, 0]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 0.27, [0, 0.1, 0.2, 0.3]),
        (0.94, 0.99, [0.94, 0.96, 0.98, 1.0]),
        (0, 1000, [0, 500, 1000]),
        (3, 3, None),
    ],
)
def test_ticks_are_round_and_enclose_the_range(
    low: float, high: float, ticks: list[float] | None
) -> None:
    found = round_ticks(low, high)
    assert 2 <= len(found) <= 6
    assert found[0] <= low
    assert high <= found[-1]
    assert ticks is None or found == ticks


def test_words_and_attributes_cannot_become_markup() -> None:
    svg = chart("c", 10, 20, "<b>", "A & B", text(1, 2, "<script>"), element("g", id='"><b>'))
    root = ElementTree.fromstring(svg)
    assert [each.text for each in root] == ["<b>", "A & B", "<script>", None]
    assert root[3].get("id") == '"><b>'


def test_an_attribute_has_svgs_name_and_no_more_digits_than_a_screen_shows() -> None:
    assert element("rect", class_="top", x=1.26, stroke_width=2) == (
        '<rect class="top" x="1.3" stroke-width="2"/>'
    )
