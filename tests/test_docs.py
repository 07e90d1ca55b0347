"""What the documents name is there."""

import argparse
import contextlib
import io
import json
import re
import tomllib

import pytest

from appliance.__main__ import COMMANDS, make_parser
from tests.bench.__main__ import make_parser as bench_parser
from tests.conftest import ROOT


def test_every_attack_in_the_table_is_tried_by_a_test_that_is_there() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "safety.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| attack |", "| damage |"))
    ]
    assert len(rows) > 40
    for row in rows:
        found = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        programs = re.findall(r"`python -m (tests[\w.]+)`", row)
        assert found or programs, row
        for file, name in found:
            assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"
        for program in programs:
            assert (ROOT / f"{program.replace('.', '/')}.py").is_file()


def test_the_costs_that_were_counted_last_are_within_their_budgets() -> None:
    budgets = tomllib.loads((ROOT / "tests/proofs/pi_zero/budgets.toml").read_text())
    counts = json.loads((ROOT / "docs/measured/cost.json").read_text())["counts"]
    held = {name: budget["most"] for name, budget in budgets.items() if "most" in budget}
    over = {name: counts[name] for name in held if counts.get(name, 0) > held[name]}
    assert not over
    assert {"start", "read_one", "still", "glyph", "training"} <= set(counts)
    days = json.loads((ROOT / "docs/measured/cost-soak.json").read_text())["days"]
    assert max(day["written"] for day in days[1:]) <= 1e6 * held["written"]
    board = json.loads((ROOT / "docs/measured/cost-board.json").read_text())["peak_bytes"]
    assert board["digits run"] <= 1e6 * held["serving_memory"]


# ---- the commands that README and docs name ----

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
_BEFORE = re.compile(r"^(?:sudo |[A-Z_]+=\S+ |\.venv-3\.\d+/bin/|cd \S+ && )+")


def named_commands() -> set[str]:
    """Return every command in the pages' code, without what stands before it and its comment."""
    found = set()
    for page in PAGES:
        text = page.read_text("utf-8")
        text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        lines = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
        code = [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", text)]
        for line in (*lines, *code):
            command = _BEFORE.sub("", line.split(" #")[0].strip()).rstrip("\\ ")
            if re.match(r"digits [a-z]|\./setup\.sh |python -m tests|tests/proofs/\w+", command):
                found.add(command)
    return found


def complaint(parser: argparse.ArgumentParser, words: list[str]) -> str:
    """Return what a parser says against the words; what is only missing is no complaint."""
    allow_missing(parser)
    said = io.StringIO()
    # A command's --help ends well: what it prints is no complaint.
    with (
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        parser.parse_args(words)
    return said.getvalue()


def allow_missing(parser: argparse.ArgumentParser) -> None:
    """Make nothing required: argparse looks for unknown options only where nothing is missing."""
    for group in parser._mutually_exclusive_groups:
        group.required = False
    for action in parser._actions:
        action.required = False
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                allow_missing(each)


def source_of(program: str) -> str:
    """Return the text of a program below tests/, and of the modules beside it."""
    file = ROOT / program
    file = file if file.is_file() else file.with_suffix(".py")
    beside = file.parent.glob("*.py") if file.parent.name == "pi_zero" else []
    return "\n".join(each.read_text() for each in (file, *beside))


@pytest.mark.parametrize("command", sorted(named_commands()))
def test_a_command_that_a_page_names_can_be_given(command: str) -> None:
    words = [word.strip("[]'\"").rstrip(",:") for word in command.split()]
    options = [word.split("=")[0] for word in words if re.match(r"--[a-z]", word)]
    if words[0] == "digits":
        assert words[1] in COMMANDS
        assert not complaint(make_parser(words[1:]), words[1:])
    elif words[0] == "./setup.sh":
        setup = (ROOT / "setup.sh").read_text()
        verb = next(word for word in words[1:] if not word.startswith("-"))
        assert re.search(rf"^\t\t  {verb} ", setup, re.MULTILINE), "no such verb in its usage"
        if verb == "demo":
            given = ["run", *words[words.index("demo") + 1 :]]
            assert not complaint(make_parser(given), given)
        else:
            assert all(re.search(rf"{option}\b", setup) for option in options)
    elif words[:3] == ["python", "-m", "tests.bench"]:
        assert not complaint(bench_parser(words[3:]), words[3:])
    else:
        program = words[2].replace(".", "/") if words[0] == "python" else words[0]
        source = source_of(program)
        assert all(f'"{option}"' in source for option in options)
