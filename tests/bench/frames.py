"""frames: what one frame costs, by its stages, in time and in memory."""

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.console import say
from tests.bench import harness, pages

if TYPE_CHECKING:
    from appliance.reader.reader import Reader
    from appliance.reading import Frame

TIMED = 200
"""Readings of each kind of frame whose median counts."""
_DIFFERENT = 10
WANTED = 3.0
"""A frame is to cost no more than so many Gaussian filters of itself."""

# Each stage with the module and the name that it is called by, in the order of the flow; the
# indented ones are parts of the one before.
STAGES = {
    "reduce": ("appliance.reader.reader", "downsample"),
    "ink": ("appliance.reader.reader", "find_ink"),
    "· polarity": ("appliance.vision.ink", "find_polarity"),
    "· ruled lines": ("appliance.vision.ink", "remove_ruled_lines"),
    "· components": ("appliance.vision.ink", "_measure_components"),
    "marks": ("appliance.reader.reader", "find_marks"),
    "small marks, refined": ("appliance.reader.reader", "refine_ink"),
    "glyph": ("appliance.reader.reader", "make_glyph"),
    "network": ("model.inference", "OneDigit.probabilities"),
}
GROUND, REST = "· ground and the rest of it", "rest"


def add(parsers: Any) -> None:
    parser = harness.add_bench(
        parsers,
        "frames",
        "time and memory of a frame, by its stages, beside a Gaussian filter in the same run",
        "",
        count=10_000,
        of="frames after which memory is to be what it was after a tenth of them",
        alone=True,
    )
    parser.set_defaults(measure=measure)


def measure(args: argparse.Namespace) -> None:
    folder, source = pages.make_folder(args), harness.get_source(args)
    reader, count = harness.get_reader(source), harness.get_count(args)
    kinds = simulate_frames(args.shape, args.seed)
    times = {}
    for kind, frames in kinds.items():
        times[kind] = measure_times(reader, frames, min(TIMED, count))
        say(f"{kind}: {times[kind]['median']:.2f} ms, {times[kind]['ratio']:.2f} Gaussian filters")
    resident = measure_memory(
        reader, [frame for frames in kinds.values() for frame in frames], count
    )
    pages.publish(
        folder,
        "frames",
        _write_page(args, times, resident, min(TIMED, count)),
        {"seed": args.seed, "shape": list(args.shape), "times": times, "memory": resident},
        lambda figure: _plot(figure, times),
    )


def simulate_frames(shape: tuple[int, int], seed: int) -> "dict[str, list[Frame]]":
    """Return some simulated frames of each kind, in a mix of conditions up to strength 0.3."""
    from dataclasses import replace

    import numpy as np

    from appliance.reading import make_frame
    from appliance.simulator import scenes
    from appliance.simulator.handwriting import PLAIN
    from appliance.simulator.paper import random_conditions

    plain = list(PLAIN.values())
    kinds: dict[str, list[Frame]] = {}
    for number in range(_DIFFERENT):
        digit = number % 10
        twelve = [(digit + place) % 10 for place in range(12)]

        def generator(kind: int, number: int = number) -> np.random.Generator:
            return np.random.default_rng([seed, number, kind])

        mixed = random_conditions(np.random.default_rng([seed, number]), 0.3)
        mixed = replace(mixed, ruled=0.0, squared=0.0, dotted=0.0)
        on_ruled = replace(mixed, ruled=0.5, board=0.0)
        pictures = {
            "one digit": scenes.render_digit(digit, plain[digit], mixed, generator(0), shape),
            "twelve digits": scenes.render_sheet(
                twelve, [plain[each] for each in twelve], mixed, generator(1), shape
            ),
            "blank": scenes.render_no_digit("blank", mixed, generator(2), shape),
            "one digit on ruled paper": scenes.render_digit(
                digit, plain[digit], on_ruled, generator(3), shape
            ),
            # Shadows without an outline are looked at a second time.
            "twelve digits in a shadow": scenes.render_sheet(
                twelve,
                [plain[each] for each in twelve],
                replace(mixed, shadow=0.6),
                generator(4),
                shape,
            ),
        }
        for kind, scene in pictures.items():
            kinds.setdefault(kind, []).append(make_frame(scene.grey, 0.0))
    return kinds


def measure_times(reader: "Reader", frames: "Sequence[Frame]", count: int) -> dict[str, Any]:
    """Return the median milliseconds of a reading, a filter and a still frame, and the shares.

    Each turn measures all of them on one frame, so that a busy machine slows all alike.
    """
    import numpy as np
    from scipy import ndimage

    from appliance.reader.change_detector import ChangeDetector

    floats = [frame.grey.astype(np.float32) for frame in frames]
    spent: dict[str, list[float]] = {name: [] for name in ("read", "filter", "still")}
    stages: dict[str, float] = {}
    staged = 0.0
    detector = ChangeDetector()
    for turn in range(count + 1):
        frame = frames[turn % len(frames)]
        detector.detect_change(frame)
        values = floats[turn % len(floats)]
        each = {
            "read": _time_call(reader.read, frame),
            "filter": _time_call(ndimage.gaussian_filter, values, 5),
            "still": _time_call(detector.detect_change, frame),
        }
        with time_stages() as watched:
            whole = _time_call(reader.read, frame)
        if turn == 0:
            # The first of everything also loads it.
            continue
        for name, seconds in each.items():
            spent[name].append(seconds)
        staged += whole
        for name, seconds in watched.items():
            stages[name] = stages.get(name, 0.0) + seconds
    median = {name: 1000 * float(np.median(values)) for name, values in spent.items()}
    tracemalloc.start()
    try:
        reader.read(frames[0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return {
        "median": median["read"],
        "filter": median["filter"],
        "ratio": median["read"] / median["filter"],
        "still": median["still"],
        "shares": _compute_shares(stages, staged),
        "megabytes": peak / 1e6,
    }


@contextmanager
def time_stages() -> Iterator[dict[str, float]]:
    """Measure the stages of what is read meanwhile: seconds by name."""
    import importlib

    spent: dict[str, float] = {}
    before: list[tuple[Any, str, Any]] = []
    for stage, (module, path) in STAGES.items():
        holder: Any = importlib.import_module(module)
        *outer, name = path.split(".")
        for each in outer:
            holder = getattr(holder, each)
        function = getattr(holder, name)
        before.append((holder, name, function))
        setattr(holder, name, _add_stopwatch(function, stage, spent))
    try:
        yield spent
    finally:
        for holder, name, function in before:
            setattr(holder, name, function)


def _add_stopwatch(function: Callable[..., Any], stage: str, spent: dict[str, float]) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - started

    return call


def _time_call(function: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def _compute_shares(stages: dict[str, float], whole: float) -> dict[str, float]:
    """Return each stage's share of the whole, and those of what has no stopwatch of its own."""
    parts = sum(seconds for name, seconds in stages.items() if name.startswith("·"))
    own = sum(seconds for name, seconds in stages.items() if not name.startswith("·"))
    shares: dict[str, float] = {}
    for name in STAGES:
        if name == "marks":
            shares[GROUND] = (stages.get("ink", 0.0) - parts) / whole
        shares[name] = stages.get(name, 0.0) / whole
    shares[REST] = (whole - own) / whole
    return shares


def measure_memory(reader: "Reader", frames: "Sequence[Frame]", count: int) -> dict[str, float]:
    """Return the process's resident megabytes after a tenth of so many readings, and after all."""
    early = max(1, count // 10)
    megabytes: dict[str, float] = {"early_frames": early, "frames": count}
    for number in range(1, count + 1):
        reader.read(frames[number % len(frames)])
        if number == early:
            megabytes["early"] = resident_megabytes()
            say(f"{number:,} frames: {megabytes['early']:.1f} MB resident")
    megabytes["late"] = resident_megabytes()
    say(f"{count:,} frames: {megabytes['late']:.1f} MB resident")
    return megabytes


def resident_megabytes() -> float:
    """Return the megabytes of memory that this process holds now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise ValueError("no VmRSS in /proc/self/status")


def _write_page(
    args: argparse.Namespace, times: dict[str, Any], resident: dict[str, float], count: int
) -> str:
    kinds = list(times)
    worst = max(times, key=lambda kind: float(times[kind]["ratio"]))
    above = [kind for kind in kinds if times[kind]["ratio"] > WANTED]
    return "\n".join(
        [
            "# What a frame costs",
            "",
            "Written by `python -m tests.bench frames`, on one thread. Simulated frames of "
            f"{args.shape[1]}×"
            f"{args.shape[0]}; the median of {count} readings each, in turn with "
            "`scipy.ndimage.gaussian_filter(frame, 5)` on the same frame as float32 and with "
            "telling that a frame is like the last one. Memory is the most that one reading "
            "allocates.",
            "",
            pages.make_table(
                ["frame", "ms", "filter, ms", "ratio", "still, ms", "still / read", "MB"],
                (
                    (kind, f"{each['median']:.2f}", f"{each['filter']:.2f}",
                     f"{each['ratio']:.2f}", f"{each['still']:.3f}",
                     f"{100 * each['still'] / each['median']:.1f} %", f"{each['megabytes']:.1f}")
                    for kind, each in times.items()
                ),
            ),
            "",
            f"Above {WANTED:g} filters: {', '.join(above)}."
            if above
            else f"None costs more than {WANTED:g} filters; the most is {times[worst]['ratio']:.2f}"
            f" ({worst}).",
            "",
            "Where the time goes, in % (the parts with a · are within ink):",
            "",
            pages.make_table(
                ["stage", *kinds],
                (
                    (name, *(f"{100 * times[kind]['shares'][name]:.1f}" for kind in kinds))
                    for name in times[kinds[0]]["shares"]
                ),
            ),
            "",
            f"Resident after {resident['early_frames']:,} frames: {resident['early']:.1f} MB; "
            "after "
            f"{resident['frames']:,}: {resident['late']:.1f} MB.",
        ]
    )  # fmt: skip


def _plot(figure: Any, times: dict[str, Any]) -> None:
    figure.set_size_inches(9, 2.8)
    axis = figure.subplots()
    kinds = list(times)[::-1]
    left = [0.0] * len(kinds)
    for stage in times[kinds[0]]["shares"]:
        if stage == "ink":
            # Its parts are drawn instead.
            continue
        wide = [times[kind]["median"] * times[kind]["shares"][stage] for kind in kinds]
        label = f"ink: {stage[2:]}" if stage.startswith("·") else stage
        axis.barh(kinds, wide, left=left, label=label)
        left = [a + b for a, b in zip(left, wide, strict=True)]
    for place, kind in enumerate(kinds):
        axis.plot([times[kind]["filter"]] * 2, [place - 0.45, place + 0.45], color="black")
    axis.set_xlabel("ms (black: the Gaussian filter)")
    figure.legend(loc="outside right upper", fontsize=7)
