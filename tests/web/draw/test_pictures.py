"""The pictures that the API sends and captures keep."""

import io

import numpy as np
import pytest
from PIL import Image

from appliance.captures.archive import LONGEST_SIDE
from appliance.outputs.latest import Recent
from appliance.reading import Reading, make_frame
from appliance.web.draw.pictures import encode_surroundings


@pytest.mark.parametrize("size", [(40, 40), (480, 640)])
def test_the_surroundings_of_a_mark_in_a_corner_or_a_tiny_frame_are_small_and_grey(
    size: tuple[int, int],
) -> None:
    recent = Recent()
    grey, glyph = np.full(size, 220, np.uint8), np.zeros((28, 28), np.float32)
    recent.keep(1, Reading(at=0, frame=make_frame(grey, 0.0), box=(0, 0, 12, 30), glyph=glyph))
    reading = recent.of(1)
    assert reading is not None
    with Image.open(io.BytesIO(encode_surroundings(reading))) as picture:
        assert max(picture.size) <= LONGEST_SIDE
        assert picture.mode == "L"
