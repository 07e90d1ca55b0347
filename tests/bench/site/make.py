"""Write the pages and drawings that come from the sources: `python -m tests.bench.site.make`."""

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

DOCS = Path(__file__).parents[3] / "docs"
from appliance.settings.schema import LAYOUTS, LedSettings, Settings
from appliance.web.app import create_app
from appliance.web.views.openapi import document
from tests.bench.site import cost

HEADER = (
    "3V3", "5V", 2, "5V", 3, "GND", 4, 14, "GND", 15, 17, 18, 27, "GND", 22, 23, "3V3", 24, 10,
    "GND", 9, 25, 11, 8, "GND", 7, 0, 1, 5, "GND", 6, 12, 13, "GND", 19, 16, 26, 20, "GND", 21,
)  # fmt: skip
"""What the pins of the header are, from pin 1 to pin 40: a BCM number, power or ground."""
GROUND = {0: 39, 1: 34}
"""The ground pin that the wires of the left and of the right column share."""


def main() -> None:
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"docs/{name}")


def pages() -> dict[str, str]:
    """Return each generated file's name below docs/ with its text."""
    drawings = {f"wiring-{layout}.svg": wiring(layout) for layout in LAYOUTS}
    return {"index.md": front_page(), "settings.md": settings(), "api.md": api(), **drawings, **cost.pages()}


# ---- index.md ----


def front_page() -> str:
    """Return the README with its links as they are from docs/; what is not in docs/ is named."""
    text = (DOCS.parent / "README.md").read_text("utf-8").replace("](docs/", "](")
    return re.sub(r"\[([^]]+)\]\((CHANGELOG\.md|LICENSE)\)", r"\1 (`\2`)", text)


# ---- settings.md ----


def settings() -> str:
    lines = [
        "# Settings",
        "",
        "Written by `python -m tests.bench.site.make` from `appliance/settings/schema.py`.",
        "",
        "They are in `/etc/digits/digits.toml`, if it is there, or in `--config FILE`; `install`",
        "writes one with every setting, commented out. They count from the next start on:",
        "`sudo systemctl restart digits`. What is changed on the page's *Device* view (those",
        "marked *page*) is kept in `knowledge/settings.json` in the state directory and goes before the",
        "file; the command line's options go before both. An unknown name or a refused value stops",
        "the start with a sentence that names it.",
    ]
    for table in dataclasses.fields(Settings):
        lines += ["", f"## [{table.name}]", ""]
        lines += ["| setting | default | what | what it must be | page |", "|---|---|---|---|---|"]
        for each in dataclasses.fields(table.default):  # type: ignore[arg-type]
            default = json.dumps(each.default, ensure_ascii=False)
            secret = " (never shown)" if each.metadata["secret"] else ""
            row = (
                f"`{each.name}`",
                "`" + default.replace('", "', '",`<br>`"') + "`",
                f"{each.metadata['help']}{secret}",
                accepted(each.default, each.metadata["check"]),
                "page" if each.metadata["page"] else "",
            )
            lines.append(f"| {' | '.join(row)} |")
    lines += [
        "",
        "## What is checked beside",
        "",
        "`[leds]`: no BCM pin is used twice, by the LEDs, the status LED or the button, and there",
        "are as many `pins` as the layout has LEDs. `[mqtt]`: a `password` needs a `user`.",
    ]
    return "\n".join(lines) + "\n"


def accepted(default: Any, check: Callable[[Any], str | None]) -> str:
    """Return in the check's own words what a value must be, by what it says of a wrong one."""
    if isinstance(default, tuple):
        wrong: list[Any] = [("?",), (99,)]
    elif isinstance(default, str):
        wrong = ["?"]
    else:
        wrong = [-(10**9), 10**9]
    for value in wrong:
        try:
            said = check(value)
        except TypeError:
            continue
        if said:
            said = said.removeprefix("must be ").replace("'?' is not", "each")
            return said.replace("'?'", "each")
    return ""


# ---- api.md ----


def api() -> str:
    told = describe()
    lines = [
        "# API",
        "",
        "Written by `python -m tests.bench.site.make` from the description that the appliance itself gives at",
        "`GET /api/v1/openapi.json` (OpenAPI 3.1).",
        "",
        told["info"]["description"],
        "",
        "An operation marked *owner* needs the session's cookie and its token. Any may be refused",
        "with a status of 400 to 499 and a sentence in `detail`.",
    ]
    for path, item in told["paths"].items():
        for method, operation in item.items():
            lines += ["", f"## {method.upper()} {path}", "", *_operation(operation)]
    lines += ["", "# The shapes"]
    for name, schema in told["components"]["schemas"].items():
        lines += ["", f"## {name}", "", f"{schema['description']}.", ""]
        lines += ["| name | what |", "|---|---|"]
        lines += [f"| `{key}` | {_type(each)} |" for key, each in schema["properties"].items()]
    return "\n".join(lines) + "\n"


def describe() -> dict[str, Any]:
    """Return the API's description by an application without parts: no request is made of it."""
    parts = inspect.signature(create_app).parameters.values()
    needed = {each.name: MagicMock() for each in parts if each.default is each.empty}
    return document(create_app(**needed))


def _operation(operation: dict[str, Any]) -> Iterator[str]:
    yield f"{operation['summary']}.{' *Owner.*' * ('security' in operation)}"
    asked = operation.get("parameters", [])
    if asked:
        yield from ("", "| asked with | in | what |", "|---|---|---|")
        for each in asked:
            what = f"{each['description']}: {_type(each['schema'])}"
            yield f"| `{each['name']}` | {each['in']} | {what} |"
    body = operation.get("requestBody")
    if body:
        needed = "" if body["required"] else ", may be left out"
        kinds = [f"{_type(each['schema'])} (`{kind}`)" for kind, each in body["content"].items()]
        yield from ("", f"Body{needed}: {' or '.join(kinds)}.")
    yield from ("", "| status | what |", "|---|---|")
    for code, answer in operation["responses"].items():
        if code == "4XX":
            continue
        shown = (
            [f"{_type(each['schema'])} (`{kind}`)" for kind, each in answer["content"].items()]
            if int(code) < 400
            else []
        )
        yield f"| {code} | {answer['description']}{': ' * bool(shown)}{' or '.join(shown)} |"


def _type(schema: dict[str, Any]) -> str:
    """Return a schema in a few words; what an object holds stands in brackets."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    kind = schema.get("type", "any value")
    if isinstance(kind, list):
        kinds = " or ".join(_type({"type": each}) for each in kind)
        return f"{kinds}, {schema['description']}"
    if kind == "array":
        least, most = schema.get("minItems"), schema.get("maxItems")
        count = "" if most is None else f"{most} " if least == most else f"{least} to {most} "
        return f"list of {count}({_type(schema['items'])})"
    if kind == "object" and schema.get("properties"):
        parts = (f"`{key}`: {_type(each)}" for key, each in schema["properties"].items())
        return f"{{{', '.join(parts)}}}"
    told = {
        "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
        "object": "object", "null": "null",
    }.get(kind, kind)  # fmt: skip
    if "minimum" in schema:
        told += f" {schema['minimum']:,} to {schema['maximum']:,}"
    if schema.get("format") == "binary":
        told = "the bytes"
    return told + (f", {schema['description']}" if "description" in schema else "")


# ---- the wiring ----

_ROW, _TOP, _MIDDLE, _WIDTH = 30, 34, 200, 400
_PAD, _RESISTOR, _LED, _RAIL = 26, 78, 128, 178
"""How far from the middle a pin, a resistor's middle, an LED's middle and the ground's wire are."""
_STYLE = (
    "text{font:13px sans-serif;fill:#222}.n{font-size:11px;fill:#666;text-anchor:middle}"
    ".b{font-weight:bold}.e{text-anchor:end}.m{text-anchor:middle}"
    "path,line,rect,circle{stroke:#222;stroke-width:1.6;fill:none}.w{stroke-linecap:round}"
    ".pin{fill:#ddd;stroke:#999}.led{fill:#ffb000}.status{fill:#3bb273}.button{fill:#4a90d9}"
    ".ground{fill:#222}.paper{fill:#fff;stroke:none}.part{fill:#fff}"
    ".segment{stroke:#c77d00;stroke-width:7}.gap{stroke:none}"
)


def names(layout: str) -> dict[int, str]:
    """Return what each BCM pin of a layout with its usual pins drives, in the layout's order."""
    leds = LedSettings(layout=layout)
    words = {
        "ten": [str(digit) for digit in range(10)],
        "four": ["1", "2", "4", "8"],
        "seven-segment": list("abcdefg"),
    }[layout]
    named = dict(zip(leds.digit_pins, words, strict=True))
    return named | {leds.status: "status", leds.button: "button"}


def header_pin(bcm: int) -> int:
    """Return the place of a BCM pin on the header, 1 to 40."""
    return HEADER.index(bcm) + 1


def wiring(layout: str) -> str:
    """Return the wiring diagram of a layout as SVG: the header, and a row for each pin in use."""
    named = names(layout)
    used = {header_pin(bcm): (bcm, word) for bcm, word in named.items()}
    height = _TOP + 20 * _ROW + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>Wiring of the layout {layout}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
        f'<text class="n" x="{_MIDDLE}" y="14">SD card slot at this end</text>',
    ]
    for number in range(1, 41):
        parts += _pin(number, used)
    for side, ground in GROUND.items():
        parts += _rail(side, ground, [pin for pin in used if pin % 2 != side])
    for number, (bcm, word) in used.items():
        parts += _row(number, bcm, word)
    if layout == "seven-segment":
        parts += _segments(_MIDDLE + 120, _TOP + 40)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _place(number: int) -> tuple[int, int, int]:
    """Return x and y of a pin, and the direction away from the middle."""
    away = 1 if number % 2 == 0 else -1
    return _MIDDLE + away * _PAD, _TOP + (number - 1) // 2 * _ROW + _ROW // 2, away


def _pin(number: int, used: dict[int, tuple[int, str]]) -> list[str]:
    x, y, away = _place(number)
    kind = "pin"
    if number in used:
        word = used[number][1]
        kind = word if word in ("status", "button") else "led"
    elif number in GROUND.values():
        kind = "ground"
    return [
        f'<rect class="pin {kind}" x="{x - 7}" y="{y - 7}" width="14" height="14"/>',
        f'<text class="n" x="{x - away * 16}" y="{y + 4}">{number}</text>',
    ]


def _rail(side: int, ground: int, pins: list[int]) -> list[str]:
    """Return a column's wire to ground, from its first pin in use to its last."""
    if not pins:
        return []
    x, y, away = _place(ground)
    rows = [_place(pin)[1] for pin in (*pins, ground)]
    end = _MIDDLE + away * _RAIL
    anchor = "e" if away < 0 else ""
    return [
        f'<line class="w" x1="{end}" y1="{min(rows)}" x2="{end}" y2="{max(rows)}"/>',
        f'<line class="w" x1="{x + away * 7}" y1="{y}" x2="{end}" y2="{y}"/>',
        f'<text class="b {anchor}" x="{x + away * 14}" y="{y - 5}">ground</text>',
    ]


def _row(number: int, bcm: int, word: str) -> list[str]:
    """Return a pin's wire over its parts to ground."""
    x, y, away = _place(number)
    end, led = _MIDDLE + away * _RAIL, _MIDDLE + away * _LED
    anchor = "e" if away < 0 else ""
    parts = [
        f'<line class="w" x1="{x + away * 7}" y1="{y}" x2="{end}" y2="{y}"/>',
        f'<text class="{anchor}" x="{x + away * 12}" y="{y - 5}">{bcm}</text>',
    ]
    if word == "button":
        return [
            *parts,
            f'<rect class="part gap" x="{led - 16}" y="{y - 9}" width="32" height="11"/>',
            f'<path class="w" d="M{led - 16} {y}h4M{led + 12} {y}h4M{led - 12} {y}l22 -9"/>',
            f'<text class="b m" x="{_MIDDLE + away * _RESISTOR}" y="{y - 5}">button</text>',
        ]
    resistor = _MIDDLE + away * _RESISTOR
    tip, base = led + away * 8, led - away * 8
    kind = "status" if word == "status" else "led"
    return [
        *parts,
        f'<rect class="part" x="{resistor - 15}" y="{y - 5}" width="30" height="10"/>',
        f'<path class="{kind}" d="M{base} {y - 8}V{y + 8}L{tip} {y}Z"/>',
        f'<line x1="{tip}" y1="{y - 8}" x2="{tip}" y2="{y + 8}"/>',
        f'<text class="b m" x="{_MIDDLE + away * 156}" y="{y - 6}">{word}</text>',
    ]


def _segments(x: int, y: int) -> list[str]:
    """Return a seven-segment digit with its segments' names; x and y are its upper left corner."""
    wide, high = 56, 50
    places = {
        "a": (0, 0, 1, 0), "b": (1, 0, 1, 1), "c": (1, 1, 1, 2), "d": (0, 2, 1, 2),
        "e": (0, 1, 0, 2), "f": (0, 0, 0, 1), "g": (0, 1, 1, 1),
    }  # fmt: skip
    parts = []
    for name, (x0, y0, x1, y1) in places.items():
        ends = [x + x0 * wide, y + y0 * high, x + x1 * wide, y + y1 * high]
        across = y0 == y1
        a, b, c, d = (
            (ends[0] + 7, ends[1], ends[2] - 7, ends[3])
            if across
            else (ends[0], ends[1] + 7, ends[2], ends[3] - 7)
        )
        middle = (ends[0] + ends[2]) / 2, (ends[1] + ends[3]) / 2
        at = (middle[0], middle[1] - 7) if across else (middle[0] - 12, middle[1] + 4)
        parts += [
            f'<line class="w segment" x1="{a}" y1="{b}" x2="{c}" y2="{d}"/>',
            f'<text class="b m" x="{at[0]:g}" y="{at[1]:g}">{name}</text>',
        ]
    return parts


if __name__ == "__main__":
    main()
