"""Simulated photographs to learn from: paper, light, and marks that are not a digit."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from appliance.console import clock, say
from appliance.training.pool import count_cores, map_blocks

if TYPE_CHECKING:
    import numpy as np

    from model.datasets import Bytes, Split
    from model.layers import Array
    from model.presets import Preset

    DrawScan = Callable[[np.random.Generator], tuple[Array, int]]
    Camera = Callable[[DrawScan, np.random.Generator], "tuple[Array, int] | None"]

BLOCK_SIZE = 50
"""Examples of one block, which has a seed of its own: the same whatever process makes it.

Small, since Ctrl-C waits for the blocks in work.
"""
_SCANS_AN_EXAMPLE = 2
"""A scene may show more than one digit."""
_MOST_TRIES = 1000
"""So many scenes in a row without a glyph are no bad luck: the digits are wrong."""


def make_examples(
    recipe: "Preset",
    data: "Split",
    seed: int,
    *,
    camera: "Camera | None" = None,
    processes: int | None = None,
) -> "Split":
    """Return as many examples as a recipe wants, simulated from a data set's digits.

    Uses the digits that the recipe learns from with this seed, never those it holds out. `camera`
    (default: `training_glyphs.simulate_example`) makes one example. The result depends on the seed
    alone, not on the number of `processes` (default: one a core). The pictures are in a temporary
    file, which goes with the returned data set. Raises DatasetError where no glyph is found.
    """
    import numpy as np

    from model.datasets import Split, open_temporary

    if camera is None:
        from appliance.simulator.training_glyphs import simulate_example

        camera = simulate_example
    count = recipe.photograph_count(len(data))
    started = time.monotonic()
    say(f"{count:,} examples through the camera: being made")
    labels = np.empty(count, np.uint8)
    made = 0
    with open_temporary() as file:
        blocks = ((camera, *block) for block in _split_into_blocks(recipe, data, seed, count))
        for glyphs, answers in map_blocks(_make_block, blocks, processes or count_cores()):
            file.write(glyphs.tobytes())
            labels[made : made + len(answers)] = answers
            made += len(answers)
        file.flush()
        say(f"{count:,} examples through the camera, {clock(time.monotonic() - started)}")
        return Split.from_file(file, labels)


def draw_digits(count: int, seed: int = 1) -> "Split":
    """Return digits 0 to 9 in turn, of the project's own strokes, for want of a base set."""
    import numpy as np

    from appliance.simulator.handwriting import HANDS
    from appliance.simulator.paper import Conditions
    from appliance.simulator.scenes import render_ink
    from appliance.vision.glyph import make_glyph
    from model.datasets import Split

    images, labels = np.empty((count, 784), np.uint8), np.empty(count, np.uint8)
    for row in range(count):
        rng = np.random.default_rng([seed, row])
        labels[row] = row % 10
        variants = list(HANDS[row % 10].values())
        ink = render_ink(variants[rng.integers(len(variants))], rng, Conditions(), 60)
        images[row] = np.rint(make_glyph(ink).ravel() * np.float32(255))
    return Split(images, labels)


def _split_into_blocks(
    recipe: "Preset", data: "Split", seed: int, count: int
) -> Iterator[tuple[Any, ...]]:
    """Yield for each block its size, scans uint8 (n, 784), labels uint8 (n,) and generator."""
    import numpy as np

    _, learned = recipe.split_rows(len(data), seed)
    for number, start in enumerate(range(0, count, BLOCK_SIZE)):
        rng = np.random.default_rng([seed, number])
        rows = learned[rng.integers(len(learned), size=_SCANS_AN_EXAMPLE * BLOCK_SIZE)]
        # The scans, not the data set: its open file cannot go to another process.
        yield min(BLOCK_SIZE, count - start), *data.take(rows), rng


def _make_block(
    camera: "Camera", count: int, scans: "Bytes", labels: "Bytes", rng: "np.random.Generator"
) -> tuple["Bytes", "Bytes"]:
    """Return examples of some scans: glyphs uint8 (count, 784), labels uint8 (count,)."""
    import numpy as np

    from model.datasets import Scaling
    from model.errors import DatasetError

    scaling = Scaling()

    def draw_scan(rng: "np.random.Generator") -> tuple["Array", int]:
        row = int(rng.integers(len(labels)))
        return scaling(scans[row]).reshape(28, 28), int(labels[row])

    glyphs, answers = np.empty((count, 784), np.uint8), np.empty(count, np.uint8)
    for row in range(count):
        tries = (camera(draw_scan, rng) for _ in range(_MOST_TRIES))
        example = next((each for each in tries if each is not None), None)
        if example is None:
            raise DatasetError("through the camera nothing is found of these digits: are they any?")
        glyph, answers[row] = example
        glyphs[row] = np.rint(glyph.ravel() * np.float32(255))
    return glyphs, answers
