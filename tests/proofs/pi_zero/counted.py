"""What `instructions` runs on the emulated board: the appliance's parts, each counted by itself.

    counted.py COUNTS frames               # readings, a still frame, a glyph
    counted.py COUNTS training PRESET…     # 64 digits learned, by each recipe and by a night
    counted.py COUNTS idle run …           # a second of `digits run …`
    counted.py COUNTS profile-start run …  # `digits run …` up to READY=1, by module
    counted.py COUNTS profile-read         # one reading, by function

COUNTS is the plugin's file (count.c). What comes out is JSON on stdout. Python 3.12 or newer.
"""

# What is imported here is not seen again when the appliance imports it: as little as can be.
import mmap
import os
import sys
from collections.abc import Callable
from typing import Any

MARK = 0x5EED << 32
SIZE = 480, 640
RATE, WARM, LONG = 4, 80, 40
"""Frames a second, and from which on how many are an idle appliance's: what is still is read again
every ten seconds, which are as many."""
EMPTY = 2000
"""So many empty calls tell what being counted costs by itself."""


class Counter:
    """Tells how many instructions this thread has executed: a seek is what the plugin looks for."""

    def __init__(self, file: str) -> None:
        self._here = os.memfd_create("mark")
        opened = os.open(file, os.O_RDONLY)
        self._words = memoryview(mmap.mmap(opened, 64, access=mmap.ACCESS_READ)).cast("Q")
        before = self()
        for _ in range(EMPTY):
            self()
        self._cost = (self() - before) // (EMPTY + 1)

    def __call__(self) -> int:
        os.lseek(self._here, MARK, os.SEEK_SET)
        return self._words[0]

    def of(self, function: Callable[..., Any], *arguments: Any) -> int:
        """Return how many instructions a call takes the second time, and without what counts it."""
        import gc

        function(*arguments)
        gc.collect()
        before = self()
        function(*arguments)
        return self() - before - self._cost


class Part:
    """One box of the picture: a module or a function, and what it had others do."""

    def __init__(self, name: str) -> None:
        self.name, self.own, self.calls = name, 0.0, 0
        self.parts: dict[str, Part] = {}

    def part(self, name: str) -> "Part":
        found = self.parts.get(name)
        if found is None:
            found = self.parts[name] = Part(name)
        return found

    def without(self, inside: float, outside: float) -> None:
        """Take out what it costs to be counted, in a call and around it."""
        around = sum(each.calls for each in self.parts.values())
        self.own = max(0.0, self.own - inside * self.calls - outside * around)
        for each in self.parts.values():
            each.without(inside, outside)

    @property
    def all(self) -> float:
        return self.own + sum(each.all for each in self.parts.values())

    def to_json(self, least: float) -> dict[str, Any]:
        """Return it in millions; what is less than `least` counts for the one that called it."""
        parts = sorted(self.parts.values(), key=lambda each: -each.all)
        shown = [each.to_json(least) for each in parts if each.all >= least]
        whole = {"name": self.name, "millions": round(self.all / 1e6, 2), "calls": self.calls}
        return {**whole, "parts": shown} if shown else whole


class Profile:
    """Counts each function of the first thread by itself; `label` names a code, None leaves it out.

    What is left out counts for the one that called it. A module that is imported for the first time
    is a part of the one that imports it. Source: PEP 669.
    """

    def __init__(self, count: Counter, label: Callable[[Any], str | None], until: str = "") -> None:
        self._count, self._label, self._until = count, label, until
        self._names: dict[Any, str | None] = {}
        self._stack: list[tuple[Any, Part]] = []
        self._thread = self._last = 0
        self._inside = self._outside = 0.0
        self.whole = Part("all")

    def calibrate(self) -> None:
        """Find out what counting a call costs: what an empty one does."""

        def empty() -> None:
            pass

        def calls() -> None:
            for _ in range(EMPTY):
                empty()

        label, self._label = self._label, lambda code: code.co_name
        plain = self._count.of(calls)
        self.of(calls)
        around = self.whole.parts["calls"]
        inside = around.parts["empty"].own
        self._inside = inside / EMPTY
        self._outside = (around.own + inside - plain) / EMPTY - self._inside
        self._label, self._names, self.whole = label, {}, Part("all")

    def of(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function and count its parts; returns what it returns."""
        self._stack = [(None, self.whole)]
        self._thread = _ident()
        watch, events = sys.monitoring, sys.monitoring.events
        watch.use_tool_id(TOOL, "instructions")
        for event, called in (
            (events.PY_START, self._begin),
            (events.PY_RESUME, self._begin),
            (events.PY_THROW, self._again),
            (events.PY_RETURN, self._end),
            (events.PY_YIELD, self._end),
            (events.PY_UNWIND, self._end),
        ):
            watch.register_callback(TOOL, event, called)
        self._last = self._count()
        always = events.PY_START | events.PY_RESUME | events.PY_THROW | events.PY_UNWIND
        watch.set_events(TOOL, always)
        try:
            return function(*arguments)
        except Reached:
            return None
        finally:
            watch.set_events(TOOL, 0)
            watch.free_tool_id(TOOL)
            self.whole.own += self._count() - self._last
            self.whole.without(self._inside, self._outside)

    def _begin(self, code: Any, *_: Any) -> Any:
        if _ident() != self._thread:
            return None
        now = self._count()
        if code in self._names:
            name = self._names[code]
        else:
            name = self._names[code] = self._label(code)
            if name is not None:
                events = sys.monitoring.events
                sys.monitoring.set_local_events(TOOL, code, events.PY_RETURN | events.PY_YIELD)
        if name is None:
            # It is not told of again, at this place.
            self._last += self._count() - now
            return sys.monitoring.DISABLE
        stack = self._stack
        part = stack[-1][1]
        part.own += now - self._last
        if name == IMPORT:
            name = f"import {sys._getframe(1).f_locals['name']}"
        part = part.part(name)
        part.calls += 1
        stack.append((code, part))
        if self._until and code.co_qualname == self._until:
            raise Reached
        self._last = self._count()
        return None

    def _again(self, code: Any, *_: Any) -> None:
        # This event cannot be told to stay away.
        self._begin(code)

    def _end(self, code: Any, *_: Any) -> None:
        if _ident() == self._thread and self._stack[-1][0] is code:
            self._stack.pop()[1].own += self._count() - self._last
            self._last = self._count()


class Reached(BaseException):
    """The end of what was to be counted; the appliance does not take it for an error of its own."""


TOOL = 2
IMPORT = "import"
NIGHT = "a night"
_ident = sys.modules["_thread"].get_ident


def by_module(code: Any) -> str | None:
    """Name what a start consists of: the imports, and the functions of the appliance itself."""
    file, name = code.co_filename, code.co_qualname
    if file == "<frozen importlib._bootstrap>":
        return IMPORT if name == "_find_and_load" else None
    if name == "<module>" or not any(part in file for part in ("/appliance/", "/model/")):
        return None
    return f"{_module_of(file)}.{name}"


def by_function(code: Any) -> str | None:
    """Name what a reading consists of: every function, but for Python's own and the shortest."""
    file, name = code.co_filename, code.co_qualname
    if "<" in name or file.startswith("<"):
        return None
    if any(part in file for part in ("/appliance/", "/model/", "/scipy/ndimage/")):
        return f"{_module_of(file)}.{name}"
    return None


def _module_of(file: str) -> str:
    words = file.removesuffix(".py").split("/")
    for top in ("appliance", "model", "scipy"):
        if top in words:
            kept = words[len(words) - words[::-1].index(top) :]
            return ".".join(each for each in kept if not each.startswith("_")) or top
    return words[-1]


def frames(count: Counter) -> dict[str, Any]:
    from dataclasses import replace

    import numpy as np

    from appliance.loop import Loop
    from appliance.reader.debounce import Debouncer
    from appliance.reader.reader import Reader
    from model import weights
    from model.inference import OneDigit

    network, _ = weights.load(weights.SHIPPED)
    reader = Reader(network)
    told: dict[str, Any] = {}
    for kind, some in pictures().items():
        told[kind] = [count.of(reader.read, each) for each in some]
    frame = pictures()["one digit"][0]
    loop = Loop(open_camera=None, reader=reader, debouncer=Debouncer(3), outputs=[], rate=0)  # type: ignore[arg-type]

    def again() -> None:
        # What the loop does with each frame that its camera gives.
        loop._process(replace(frame, at=frame.at + 0.25))

    for _ in range(5):
        again()
    told["still"] = count.of(again)
    glyph = reader.read(frame).glyph
    assert glyph is not None
    one = OneDigit(network)
    told["glyph"] = count.of(one.probabilities, glyph.ravel())
    told["noise"] = count.of(np.zeros, 1)
    return told


def pictures() -> dict[str, list[Any]]:
    """Return frames of 640×480: blank paper, the samples' ten digits, and simulated twelve."""
    from dataclasses import replace
    from pathlib import Path

    import numpy as np

    from appliance.picture import open_picture
    from appliance.reading import make_frame
    from appliance.simulator import scenes
    from appliance.simulator.handwriting import PLAIN
    from appliance.simulator.paper import random_conditions

    samples = Path("data/samples")
    found: dict[str, list[Any]] = {
        "blank paper": [open_picture(samples / "none-blank.jpg", "", 0.0)],
        "one digit": [open_picture(each, "", 0.0) for each in sorted(samples.glob("[0-9]-*.jpg"))],
        "twelve digits": [],
    }
    if len(found["one digit"]) != 10 or any(
        each.grey.shape != SIZE for some in found.values() for each in some
    ):
        raise SystemExit("data/samples are not ten digits of 640×480: what is counted would differ")
    for number in range(3):
        mixed = random_conditions(np.random.default_rng([1, number]), 0.3)
        mixed = replace(mixed, ruled=0.0, squared=0.0, dotted=0.0)
        rng = np.random.default_rng([2, number])
        found["blank paper"].append(
            make_frame(scenes.render_no_digit("blank", mixed, rng, SIZE).grey, 0.0)
        )
        digits = [(number + place) % 10 for place in range(12)]
        strokes = [list(PLAIN.values())[each] for each in digits]
        sheet = scenes.render_sheet(digits, strokes, mixed, rng, SIZE)
        found["twelve digits"].append(make_frame(sheet.grey, 0.0))
    return found


def idle(count: Counter, words: list[str]) -> dict[str, Any]:
    """Run the appliance with a clock that goes on by a frame when it would wait for the next."""
    import time

    ticks, began, counted = 0, time.time(), 0
    time.time = lambda: began + ticks / RATE
    time.monotonic = lambda: 1000 + ticks / RATE
    from appliance.__main__ import main
    from appliance.loop import Loop

    def wait(loop: Loop, seconds: float) -> None:
        nonlocal ticks, counted
        ticks += 1
        if ticks == WARM:
            counted = count()
        if ticks == WARM + LONG:
            tell({"idle": (count() - counted) * RATE / LONG})

    Loop._wait = wait  # type: ignore[method-assign]
    main(words)
    raise SystemExit("the appliance ended before it was counted: see its log")


def training(count: Counter, presets: list[str]) -> dict[str, Any]:
    import numpy as np

    from appliance.training.resumable_run import (
        CAMERA_SHARE,
        OWN_SHARE,
        fine_tuning_preset,
    )
    from model import weights
    from model.datasets import Split
    from model.presets import PRESETS, get_preset
    from model.train import ExtraPictures, TrainingRun, mix_in_camera

    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (600, 784), np.uint8) * rng.integers(0, 2, (600, 784), np.uint8)
    data = Split(images, rng.integers(0, 10, 600, np.uint8))
    told = {}
    for name in presets or [*PRESETS, NIGHT]:
        settings: dict[str, Any] = {}
        if name == NIGHT:
            network, _ = weights.load(weights.SHIPPED)
            recipe = fine_tuning_preset(network, epochs=3)
            camera = ExtraPictures(data, CAMERA_SHARE, 60, distilled=True)
            own = ExtraPictures(data, OWN_SHARE)
            settings = {"extra": [camera, own], "start": network, "teacher": network}
        else:
            recipe = get_preset(name)
            if recipe.photographs:
                recipe = recipe.for_camera()
                settings["extra"] = [mix_in_camera(recipe, data)]
        course = TrainingRun(recipe, data, seed=1, epochs=10, **settings)
        batches = max(1, 64 // recipe.batch)
        rows = np.arange(recipe.batch)

        def some(course: TrainingRun = course, rows: Any = rows, batches: int = batches) -> None:
            for _ in range(batches):
                course._train_batch(rows)

        told[name] = round(count.of(some) * 64 / (batches * recipe.batch))
    return told


def profile_start(count: Counter, words: list[str]) -> dict[str, Any]:
    profile = Profile(count, by_module, until="Watchdog.ready")
    profile.calibrate()

    def digits() -> None:
        from appliance.__main__ import main

        main(words)

    profile.of(digits)
    return profile.whole.to_json(0.5e6)


def profile_read(count: Counter) -> dict[str, Any]:
    from appliance.reader.reader import Reader
    from model import weights

    reader = Reader(weights.load(weights.SHIPPED)[0])
    told = {}
    for kind, some in pictures().items():
        profile = Profile(count, by_function)
        profile.calibrate()
        reader.read(some[0])
        reader.read(some[0])
        profile.of(reader.read, some[0])
        told[kind] = profile.whole.to_json(0.1e6)
    return told


def main() -> None:
    count = Counter(sys.argv[1])
    match sys.argv[2:]:
        case ["frames"]:
            told = frames(count)
        case ["training", *presets]:
            told = training(count, presets)
        case ["idle", *words]:
            told = idle(count, words)
        case ["profile-start", *words]:
            told = profile_start(count, words)
        case ["profile-read"]:
            told = profile_read(count)
        case words:
            raise SystemExit(f"there is nothing to count as {words}: see counted.py")
    tell(told)


def tell(told: dict[str, Any]) -> None:
    import json

    print(json.dumps(told), flush=True)
    # The appliance's threads that were begun are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
