"""owner: somebody with an odd hand corrects the readings, and a night learns of it."""

import argparse
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.console import say
from appliance.storage.layout import StateDirectory
from tests.bench import harness, pages

if TYPE_CHECKING:
    import numpy as np
    from flask.testing import FlaskClient

    from appliance.captures.store import Captures
    from appliance.networks.vault import Vault
    from appliance.reader.reader import Reader
    from appliance.reading import Grey
    from appliance.simulator.handwriting import Stroke
    from model.datasets import Split

LEAN = 0.466
"""The hand leans to the right by 25°: x per y."""
_SHAPE = 240, 320
_HEIGHT = 80


def add(parsers: Any) -> None:
    parser = harness.add_bench(
        parsers,
        "owner",
        "let a simulated owner correct the readings, learn from it, and read the hand again",
        "--data mnist",
        count=30,
        of="sheets of each digit that are corrected; as many others are read before and after",
        alone=True,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="MNIST's files")
    parser.set_defaults(measure=measure)


def measure(args: argparse.Namespace) -> None:
    from model.datasets import load_split

    folder, count = pages.make_folder(args), harness.get_count(args)
    base, test = load_split(args.data, "train"), load_split(args.data, "test")
    nights = {
        "leaning": _night(hand(), count, args.seed, base, test),
        "child": _night(hand(mirrors="347"), count, args.seed, base, test),
        "child, a third mislabelled": _night(
            hand(mirrors="347"), count, args.seed, base, test, mislabelled=1 / 3
        ),
    }
    pages.publish(
        folder, "owner", _write_page(args, nights, count), nights, lambda f: _plot(f, nights)
    )


def hand(*, mirrors: str = "") -> "dict[int, list[Stroke]]":
    """Return how an owner writes each digit: 7 crossed and 0 slashed, `mirrors` the wrong way."""
    from appliance.simulator.handwriting import HANDS

    writes = {digit: next(iter(variants.values())) for digit, variants in HANDS.items()}
    writes |= {0: HANDS[0]["slashed"], 7: HANDS[7]["crossed"]}
    for digit in map(int, mirrors):
        writes[digit] = [[(-x, y) for x, y in stroke] for stroke in writes[digit]]
    return writes


def sheet(strokes: "list[Stroke]", rng: "np.random.Generator") -> "Grey":
    """Return a photograph of a leaning digit in the middle of a sheet, in ordinary light."""
    from dataclasses import replace

    from appliance.simulator.handwriting import render_handwriting
    from appliance.simulator.paper import random_conditions
    from appliance.simulator.scenes import compose_scene

    conditions = replace(random_conditions(rng, 0.3), slant=0, clutter=0)
    ink = render_handwriting(
        strokes, rng, height=_HEIGHT * rng.uniform(0.8, 1.1), pen=7 * rng.uniform(0.8, 1.3),
        wobble=0.6, slant=LEAN,
    )  # fmt: skip
    place = tuple(
        int((side - own) * rng.uniform(0.35, 0.65))
        for side, own in zip(_SHAPE, ink.shape, strict=True)
    )
    return compose_scene([0], [ink], [(place[0], place[1])], conditions, rng, _SHAPE, _HEIGHT).grey


def _night(
    writes: "dict[int, list[Stroke]]",
    count: int,
    seed: int,
    base: "Split",
    test: "Split",
    *,
    mislabelled: float = 0.0,
) -> dict[str, Any]:
    """Return what one owner's night came to, all of it in a state directory of its own."""
    from appliance.captures.store import Captures
    from appliance.networks.vault import Vault
    from appliance.reader.reader import Reader
    from appliance.training.examples import make_examples
    from appliance.training.resumable_run import EPOCHS, fine_tuning_preset
    from appliance.training.retrain import Limits, Retraining
    from model.cost import NIGHT, multiply_adds
    from model.evaluate import evaluate

    state = Path(tempfile.mkdtemp())
    try:
        vault, captures = (
            Vault(StateDirectory(state).networks),
            Captures(StateDirectory(state).captures),
        )
        current = vault.load_current()
        reader = Reader(current.network)
        before = _count_right(reader, writes, count, seed)
        mnist = evaluate(current.network, test).right
        with _open_page(reader, vault, captures, state) as page:
            stored = _correct(page, writes, count, seed, mislabelled)
        say(f"{before} of {10 * count} read before; {stored} captures through the page's API")
        record = Retraining(
            state,
            vault=vault,
            captures=captures,
            base=base,
            limits=Limits(seconds=5 * 3600, hottest=200),
            make_examples=partial(make_examples, processes=1),
        ).run()
        captures.close()
        after = vault.load_current()
        steps = multiply_adds(fine_tuning_preset(current.network, EPOCHS), len(base), EPOCHS)
        return {
            "sheets": 10 * count,
            "captures": stored,
            "before": before,
            "after": _count_right(Reader(after.network), writes, count, seed),
            "mnist_before": mnist,
            "mnist_after": evaluate(after.network, test).right,
            "outcome": record["outcome"],
            "why": record["why"],
            "held_out": record["outcomes"],
            "multiply_adds": steps,
            "share_of_a_night": steps / NIGHT,
            "seconds": record["seconds"],
            "epochs": record["epochs"],
            "curve": record["curve"],
        }
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _count_right(reader: "Reader", writes: "dict[int, list[Stroke]]", count: int, seed: int) -> int:
    """Return how many of `count` sheets of each digit are read, none of which was corrected."""
    import numpy as np

    from appliance.reading import make_frame

    return sum(
        reader.read(make_frame(sheet(strokes, np.random.default_rng([seed, 1, digit, i])), 0)).digit
        == digit
        for digit, strokes in writes.items()
        for i in range(count)
    )


@contextmanager
def _open_page(
    reader: "Reader", vault: "Vault", captures: "Captures", state: Path
) -> "Iterator[FlaskClient]":
    """Yield a client of the page over these parts."""
    from appliance.device.control import Control
    from appliance.device.owner_pin import OwnerPin, owner_file
    from appliance.networks.live import LiveNetwork
    from appliance.outputs.history import History
    from appliance.outputs.latest import Latest
    from appliance.outputs.metrics import Metrics
    from appliance.settings.overrides import Changes
    from appliance.training.process import TrainingProcess
    from appliance.web.app import create_app

    history = History(StateDirectory(state).history, limit=10)
    try:
        owner = OwnerPin(owner_file(state))
        page = create_app(
            latest=Latest(),
            history=history,
            captures=captures,
            reader=reader,
            networks=LiveNetwork(vault, reader, vault.load_current()),
            training=TrainingProcess(state),
            owner=owner,
            metrics=Metrics(),
            control=Control(changes=Changes(state), again=lambda: None),
            camera="none",
            state=state,
            in_force=[],
            upload_megabytes=1,
        ).test_client()
        session: Any = page.post("/api/v1/session", json={"pin": owner.make_pin()}).json
        page.environ_base["HTTP_X_CSRF_TOKEN"] = session["token"]
        yield page
    finally:
        history.close()


def _correct(
    page: "FlaskClient",
    writes: "dict[int, list[Stroke]]",
    count: int,
    seed: int,
    mislabelled: float,
) -> int:
    """Send sheets to the page and tell it what each shows; return how many captures it kept."""
    import numpy as np
    from PIL import Image

    stored = 0
    for digit, strokes in writes.items():
        for i in range(count):
            rng = np.random.default_rng([seed, 2, digit, i])
            file = io.BytesIO()
            Image.fromarray(sheet(strokes, rng)).save(file, "PNG")
            read: Any = page.post("/api/v1/read", data=file.getvalue()).json
            wrong = rng.random() < mislabelled
            label = int((digit + rng.integers(1, 10)) % 10) if wrong else digit
            answer = page.post("/api/v1/captures", json={"label": label, "reading": read["number"]})
            stored += answer.status_code == 201
    return stored


def _write_page(args: argparse.Namespace, nights: dict[str, dict[str, Any]], count: int) -> str:
    rows = [
        (
            name,
            night["captures"],
            f"{night['before']} of {night['sheets']}",
            f"{night['after']} of {night['sheets']}",
            f"{night['mnist_before']:,}",
            f"{night['mnist_after']:,}",
            night["outcome"],
        )
        for name, night in nights.items()
    ]
    one = next(iter(nights.values()))
    head = ("owner", "captures", "before", "after", "MNIST before", "after", "gate")
    reasons = "\n\n".join(f"{name}: {night['why']}." for name, night in nights.items())
    return f"""# A night with an odd hand

Written by `python -m tests.bench owner --data MNIST`. A simulated owner leans by 25°, crosses the
7 and slashes the 0; the child also writes the 3, the 4 and the 7 the wrong way round. {count}
sheets of each digit are sent to the page and labelled through its API; then `digits retrain` runs
once, {one["multiply_adds"]:.2e} multiply-adds forward and backward
({one["share_of_a_night"]:.0%} of the 3.8·10¹² of a Pi Zero's night), and as many other sheets
are read. MNIST's are its test digits.

{pages.make_table(head, rows)}

{reasons}"""


def _plot(figure: Any, nights: dict[str, dict[str, Any]]) -> None:
    axes = figure.add_subplot()
    for name, night in nights.items():
        axes.plot(*zip(*night["curve"], strict=True), label=name)
    axes.set(xlabel="share of the night's course", ylabel="loss", ylim=(0, None))
    axes.legend()
