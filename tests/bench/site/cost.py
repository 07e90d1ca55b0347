"""The page of what the appliance costs a Pi's processor, from the counts in cost.json."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from appliance.training.resumable_run import Sizes
from appliance.web.draw.svg import Scale, chart, element, line_path, text
from model.network import build
from model.cost import PI_ZERO
from model.presets import PRESETS

DOCS = Path(__file__).parents[3] / "docs"
MEASURED = DOCS / "measured"
MNIST = 60_000
"""Digits to learn from."""
WIDTH, ROW = 960, 19
LEAST = 3
"""What would be narrower than so many pixels is not drawn."""
LETTER = 5.9
"""About so wide is one."""
LIBRARIES = {
    "the appliance": ("appliance", "model"),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "Flask and what it stands on": (
        "flask", "werkzeug", "jinja2", "click", "itsdangerous", "markupsafe", "blinker",
    ),
    "waitress": ("waitress",),
    "gpiozero": ("gpiozero", "colorzero"),
    "Pillow": ("PIL",),
}  # fmt: skip
REST = "Python's own library"
# Told apart at equal lightness by most eyes; a word stands in each that is wide enough.
COLOURS = dict(
    zip(
        [*LIBRARIES, REST],
        ("#f2c94c", "#7fb3e6", "#b79ae0", "#8fd19e", "#c9d98a", "#f0a58f", "#e6a3c8", "#c8ccd2"),
        strict=True,
    )
)


def pages() -> dict[str, str]:
    """Return the page and its drawings, by their names below docs/."""
    told = json.loads((MEASURED / "cost.json").read_text())
    before = json.loads((MEASURED / "cost-before.json").read_text())
    budgets = tomllib.loads((DOCS.parent / "tests/proofs/pi_zero/budgets.toml").read_text())
    soak = json.loads((MEASURED / "cost-soak.json").read_text())
    board = MEASURED / "cost-board.json"
    drawings = {
        "cost-start.svg": render_icicle(told["start"], "a start", deepest=9),
        "cost-read.svg": render_icicle(told["reads"]["one digit"], "a reading of one digit"),
        "cost-memory.svg": render_month(soak["days"]),
    }
    page = _page(told, before, budgets)
    if board.exists():
        page += _board(json.loads(board.read_text()), budgets)
    page += _soak(soak)
    return {f"measured/{name}": content for name, content in {"cost.md": page, **drawings}.items()}


def _page(told: dict[str, Any], before: dict[str, Any], budgets: dict[str, Any]) -> str:
    counts = told["counts"]
    lines = [
        "# What it costs",
        "",
        "Written by `python -m tests.bench.site.make` from `docs/measured/cost.json`, which",
        "`tests/proofs/pi_zero/instructions --by-module docs/measured/cost.json` writes, and from the budgets in",
        "`tests/proofs/pi_zero/budgets.toml`. What is counted are instructions of a 32-bit ARM processor",
        "without NEON, under QEMU, on Debian trixie with OpenBLAS for ARMv6. They are no seconds:",
        "an ARM1176 takes more than one cycle for most of them. Before is commit",
        f"{before['commit']}, counted in the same way.",
        "",
        "| what | before | million instructions | budget |",
        "|---|---|---|---|",
    ]
    for name, count in sorted(counts.items(), key=lambda each: _place(each[0], budgets)):
        budget = budgets.get(name, {})
        says = budget.get("says") or f"64 digits learned by `{name.removeprefix('training ')}`"
        was = _number(before["counts"].get(name))
        lines.append(f"| {says} | {was} | {_number(count)} | {_number(budget.get('most'))} |")
    lines += [
        "",
        *_trainings(counts),
        "",
        "## A start",
        "",
        "Up to READY=1, each part without what it has others do; what a library has imported first",
        "counts for that one.",
        "",
        "| what | million instructions |",
        "|---|---|",
        f"| Python itself | {_number(counts['python'])} |",
    ]
    own = Counter[str]()
    for part, alone in _each(told["start"]):
        own[_library(part)] += alone
    lines += [f"| {name} | {_number(count)} |" for name, count in own.most_common()]
    lines += [
        "",
        "![What a start consists of: imports and the appliance's own functions, the callers above "
        "those whom they call](cost-start.svg)",
        "",
        "## A reading",
        "",
        "![What a reading of one digit consists of, by function](cost-read.svg)",
    ]
    return "\n".join(lines) + "\n"


def _board(board: dict[str, Any], budgets: dict[str, Any]) -> str:
    """Return the section on the memory that an emulated Pi Zero's processes have."""
    most = {
        "digits run": budgets["serving_memory"]["most"],
        "digits run beside it": budgets["serving_memory"]["most"],
        "digits retrain, all of it": budgets["retraining_memory"]["most"],
    }
    serving = {step for step in board["peak_bytes"] if step.startswith("digits run, picamera2")}
    most.update(dict.fromkeys(serving, budgets["serving_memory"]["most"]))
    lines = [
        "",
        "## Memory on an emulated Pi Zero",
        "",
        "The most that a process had in RAM (VmHWM), on QEMU's `raspi0` with 512 MB and Debian",
        f"{board['release']} for ARMv6, as `tests/proofs/pi_zero/boot`, and with `--night` and all of",
        "MNIST, tell it (`docs/measured/cost-board.json`). From *begins* to *gate* it is the first night of",
        "an appliance, which simulates the photographs that all nights learn from and takes scipy",
        "for that, and takes more than its budget. Later nights do without it; how much less they",
        "need was not measured there.",
        "",
        "*digits run* is with the camera's libraries: libcamera with its camera manager, its part for",
        f"a Pi's camera, and picamera2 {board['picamera2']} with all that it loads; the row of another",
        "picamera2 too. What Debian has not for ARMv6 is empty there",
        f"({board['stood_in']}), and there are no buffers of a camera. One run to the",
        "next differs by some 3 MB: another told 68.7.",
        "*digits run beside it*, the night's, was measured without the camera's libraries.",
        "",
        "| what | MB | budget |",
        "|---|---|---|",
    ]
    for step, size in board["peak_bytes"].items():
        lines.append(f"| {step} | {size / 1e6:.1f} | {most.get(step, '')} |")
    return "\n".join(lines) + "\n"


def _soak(soak: dict[str, Any]) -> str:
    """Return the section on a month in which nothing grows."""
    days = soak["days"]
    shown = [day for day in days if day["day"] in (1, 2, 5, 10, 20, days[-1]["day"])]
    lines = [
        "",
        f"## {len(days)} days",
        "",
        f"`sudo tests/proofs/soak --days {len(days)} --json docs/measured/cost-soak.json` on x86-64, in MB where",
        "it is no number of things. At least 2,000 readings a day change what is shown; each night",
        "learns.",
        "",
        "| day | memory | peak | files | threads | history | captures | state directory "
        "| networks | written | of it at night |",
        "|--:" * 11 + "|",
    ]
    for day in shown:
        sizes = [day[key] / 1e6 for key in ("history", "captures", "state")]
        written = [day[key] / 1e6 for key in ("written", "written_by_night")]
        lines.append(
            f"| {day['day']} | {day['resident_kb'] / 1000:.1f} | {day['peak_kb'] / 1000:.1f} "
            f"| {day['files']} | {day['threads']} | "
            + " | ".join(f"{size:.2f}" for size in sizes)
            + f" | {day['networks']} | "
            + " | ".join(f"{size:.2f}" for size in written)
            + " |"
        )
    lines += ["", "![The appliance's memory at the end of each day, and its peak](cost-memory.svg)"]
    return "\n".join(lines) + "\n"


def render_month(days: list[dict[str, Any]]) -> str:
    """Return a chart of the memory at each day's end, and of its peak by then, from 0 up."""
    left, right, top, bottom = 46, WIDTH - 14, 10, 230
    x = Scale(0, max(1, len(days) - 1), left, right)
    y = Scale(0, max(day["peak_kb"] for day in days) / 1000 * 1.1, bottom, top)

    def line(key: str, colour: str) -> str:
        path = line_path((x(place), y(day[key] / 1000)) for place, day in enumerate(days))
        return element("path", d=path, fill="none", stroke=colour, stroke_width=2)

    marks = []
    for megabytes in range(0, int(y.high) + 1, 20):
        at = y(megabytes)
        marks.append(element("path", d=f"M{left} {at:.1f}H{right}", stroke="#8884"))
        marks.append(text(left - 6, at + 4, f"{megabytes} MB", "end"))
    marks.extend(
        text(x(place), bottom + 16, str(days[place]["day"]), "start")
        for place in range(0, len(days), max(1, len(days) // 10))
    )
    legend = "orange: at the end of each day; grey: the most by then"
    return chart(
        "memory",
        WIDTH,
        bottom + 40,
        f"memory over {len(days)} days",
        legend,
        element("style", "text { font: 11px sans-serif; fill: #777 }"),
        *marks,
        line("peak_kb", "#b5b9bd"),
        line("resident_kb", "#e08a1e"),
        text(left, bottom + 34, legend, "start"),
    )


def _place(name: str, budgets: dict[str, Any]) -> int:
    """Return where a count stands: as in the budgets, and what is not there behind them."""
    return [*budgets, name].index(name)


def _trainings(counts: dict[str, float]) -> list[str]:
    """Return a section on what the whole of a training and of a night takes."""
    recipe, night = PRESETS["appliance"], Sizes()
    network = build(recipe.layers)
    taught = network.training_multiply_adds() + network.fold().multiply_adds()
    lines = [
        "## A training, and a night",
        "",
        f"At the {PI_ZERO / 1e9} GFLOP/s that OpenBLAS reaches on a Pi Zero, two operations a",
        "multiply-add, the products alone:",
        "",
        "| what | steps | digits a step | multiply-adds | hours | million instructions |",
        "|---|---|---|---|---|---|",
    ]
    for what, batch, epochs, adds, count in (
        ("the network that ships, from scratch", recipe.batch, recipe.epochs,
         network.training_multiply_adds(), counts["training"]),
        ("a night, with the network in use as teacher", night.batch, night.epochs,
         taught, counts["night"]),
    ):  # fmt: skip
        digits = recipe.picture_count(MNIST, epochs)
        hours = 2 * adds * digits / PI_ZERO / 3600
        lines.append(
            f"| {what} | {digits / batch:,.0f} | {batch} | {adds * digits:.2e} | {hours:.1f} "
            f"| {count * digits / 64:,.0f} |"
        )
    return lines


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}".removesuffix(".0")


def _each(part: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield each part's name with what it takes without its own parts."""
    parts = part.get("parts", [])
    yield part["name"], max(0.0, part["millions"] - sum(each["millions"] for each in parts))
    for each in parts:
        yield from _each(each)


def _library(name: str) -> str:
    if not name.startswith("import "):
        # A function of the appliance, or of scipy.ndimage which a reading calls.
        return "scipy" if name.startswith("ndimage") else "the appliance"
    top = name.removeprefix("import ").split(".")[0]
    return next((library for library, tops in LIBRARIES.items() if top in tops), REST)


def render_icicle(part: dict[str, Any], what: str, deepest: int = 8) -> str:
    """Return an icicle chart: each part as wide as what it takes, its own parts below it."""
    scale = WIDTH / part["millions"]
    boxes: list[str] = []
    rows = 0

    def add_box(each: dict[str, Any], x: float, row: int) -> None:
        nonlocal rows
        rows = max(rows, row)
        width = each["millions"] * scale
        name = "all" if row == 0 else each["name"].removeprefix("import ")
        count = _number(each["millions"])
        room = int((width - 6) / LETTER)
        last = name.rsplit(".", 1)[-1]
        labels = (f"{name} {count}", f"{last} {count}", last)
        fallback = last[: room - 1] + "…" if room > 3 else ""
        label = next((each for each in labels if len(each) <= room), fallback)
        colour = COLOURS[_library(each["name"])]
        y = row * ROW
        boxes.append(
            element(
                "g",
                element("title", escape(f"{name} {count} million instructions")),
                element("rect", x=x, y=y, width=max(width - 0.6, 0.4), height=ROW - 1, fill=colour),
                text(x + 3, y + 13, label, "start") if label else "",
            )
        )
        if row < deepest:
            for below in each.get("parts", []):
                if below["millions"] * scale >= LEAST:
                    add_box(below, x, row + 1)
                x += below["millions"] * scale

    add_box(part, 0, 0)
    legend, x = [], 0.0
    y = (rows + 1) * ROW + 8
    used = {_library(name) for name, _ in _each(part)}
    for name in (each for each in COLOURS if each in used):
        legend.append(element("rect", x=x, y=y, width=12, height=12, fill=COLOURS[name]))
        legend.append(text(x + 17, y + 10, name, "start", class_="legend"))
        x += 17 + (len(name) + 3) * (LETTER + 0.4)
    return chart(
        "icicle",
        WIDTH,
        y + 18,
        f"{what} in {_number(part['millions'])} million instructions",
        "Each part is as wide as what it takes; whom it calls is below it.",
        element("style", "text { font: 10px sans-serif; fill: #111 } .legend { fill: #777 }"),
        *boxes,
        *legend,
    )
