"""The bars of a day are as high as their counts."""

import re

from appliance.web.draw.bars import render_counts


def test_bars_are_as_high_as_their_counts() -> None:
    chart = render_counts([0, 2, 4, 4], ["00", "01", "02", "03"], "A & B", "<4>")
    heights = [float(each) for each in re.findall(r'<rect [^>]*height="([\d.]+)"', chart)]
    assert heights == [42.0, 84.0, 84.0]
    assert "A &amp; B" in chart
    assert "&lt;4&gt;" in chart
    # The highest has its count above it, once.
    assert len(re.findall(r">4</text>", chart)) == 1
    assert "<rect" not in render_counts([0, 0], ["a", "b"], "none", "")
