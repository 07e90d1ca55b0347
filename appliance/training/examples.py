"""Examples through the camera: what a network learns of paper, light and what is not a digit."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from appliance.console import clock, say
from appliance.training.pool import cores, shared

if TYPE_CHECKING:
    import numpy as np

    from model.datasets import Bytes, Split
    from model.layers import Array
    from model.presets import Preset

    Scan = Callable[[np.random.Generator], tuple[Array, int]]
    Camera = Callable[[Scan, np.random.Generator], "tuple[Array, int] | None"]

BLOCK = 50
"""Examples that are made at a time, of one seed, whatever process makes them.

Few, since Ctrl-C waits for those that are begun.
"""

# Scans to draw from for each example of a block: a scene may show more than one.
_SCANS = 2
# So many scenes in a row in which nothing is found are no bad luck any more.
_TRIES = 1000


def examples(
    recipe: "Preset",
    data: "Split",
    seed: int,
    *,
    camera: "Camera | None" = None,
    processes: int | None = None,
) -> "Split":
    """Return the examples through the camera that a recipe wants, of a data set's digits.

    Scans are drawn from the digits that the recipe learns from with this seed, never from those it
    holds out. `camera` (default: `simulate_example`) makes one example of them. One seed
    gives the same examples, however many `processes` (default: one a core) share the work. The
    pictures stand in a file that vanishes with the data set.
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
        blocks = ((camera, *block) for block in _blocks(recipe, data, seed, count))
        for pictures, answers in shared(_block, blocks, processes or cores()):
            file.write(pictures.tobytes())
            labels[made : made + len(answers)] = answers
            made += len(answers)
        file.flush()
        say(f"{count:,} examples through the camera, {clock(time.monotonic() - started)}")
        return Split.from_file(file, labels)


def _blocks(recipe: "Preset", data: "Split", seed: int, count: int) -> Iterator[tuple[Any, ...]]:
    """Yield what each block is made of: how many, scans uint8 (n, 784), labels (n,), generator."""
    import numpy as np

    _, learned = recipe.split_rows(len(data), seed)
    for number, start in enumerate(range(0, count, BLOCK)):
        rng = np.random.default_rng([seed, number])
        rows = learned[rng.integers(len(learned), size=_SCANS * BLOCK)]
        # A worker gets its scans, not the data set, which is an open file.
        yield min(BLOCK, count - start), *data.take(rows), rng


def _block(
    camera: "Camera", count: int, images: "Bytes", labels: "Bytes", rng: "np.random.Generator"
) -> tuple["Bytes", "Bytes"]:
    """Return `count` examples of some scans: pictures uint8 (count, 784), labels uint8 (count,)."""
    import numpy as np

    from model.datasets import Scaling
    from model.errors import DatasetError

    scaling = Scaling()

    def scan(rng: "np.random.Generator") -> tuple["Array", int]:
        row = int(rng.integers(len(labels)))
        return scaling(images[row]).reshape(28, 28), int(labels[row])

    pictures, answers = np.empty((count, 784), np.uint8), np.empty(count, np.uint8)
    for place in range(count):
        tries = (camera(scan, rng) for _ in range(_TRIES))
        seen = next((found for found in tries if found is not None), None)
        if seen is None:
            raise DatasetError("through the camera nothing is found of these digits: are they any?")
        glyph, answers[place] = seen
        pictures[place] = np.rint(glyph.ravel() * np.float32(255))
    return pictures, answers
