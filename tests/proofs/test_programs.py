"""The long programs are there and name what is there: few of their lines run in this suite."""

import ast
import re
import runpy
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
BOARD = ROOT / "tests/proofs/pi_zero"
SCRIPTS = [
    *(BOARD / name for name in ("boot", "instructions", "systemd", "short_night.py")),
    *(ROOT / "tests/proofs/camera" / name for name in ("run", "inside.py", "opening.py")),
    *(ROOT / "tests/proofs/pins" / name for name in ("run", "inside.py")),
    ROOT / "tests/proofs/provisioning/run",
    ROOT / "tests/proofs/home_assistant",
    ROOT / "tests/proofs/soak",
]
PROGRAMS = [
    *(each for each in sorted((ROOT / "tests/proofs").glob("[!_]*.py")) if each != Path(__file__)),
    *SCRIPTS,
]
SOURCES = [
    *{*PROGRAMS, *BOARD.glob("*.py"), *ROOT.glob("tests/proofs/provisioning/*.py")},
    *(ROOT / "tests").glob("[!_]*.py"),
    *(ROOT / "tests/bench").rglob("*.py"),
]
OURS = ("appliance", "model", "tests")


def short(path: Path) -> str:
    return path.relative_to(ROOT / "tests").as_posix()


@pytest.mark.parametrize("path", PROGRAMS, ids=short)
def test_a_program_shows_its_help(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    modules = set(sys.modules)
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name="__main__")
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] in OURS:
            raise
        pytest.skip(f"{error.name} is not installed")
    finally:
        # The board's programs import their neighbour as `board`.
        for name in set(sys.modules) - modules:
            if "." not in name and (path.parent / f"{name}.py").exists():
                del sys.modules[name]
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")


@pytest.mark.parametrize("path", sorted(SOURCES), ids=short)
def test_every_name_that_a_program_imports_is_there(path: Path) -> None:
    """Also in its functions, and in the Python that it hands to another process as a string."""
    assert not [each for each in imported(path.read_text("utf-8")) if not is_there(*each)]


def imported(source: str) -> Iterator[tuple[str, str]]:
    """Yield each of our modules that a source names, with the name that is wanted of it."""
    tree = ast.parse(source)
    named = {}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in OURS:
                for each in node.names:
                    yield module, each.name
                    named[each.asname or each.name] = f"{module}.{each.name}"
            case ast.Import():
                for each in node.names:
                    if each.name.split(".")[0] in OURS:
                        yield each.name, "__name__"
            case ast.Constant(value=str(text)) if re.search(r"\bimport ", text):
                with suppress(SyntaxError):
                    yield from imported(dedent(text))
    for node in ast.walk(tree):
        match node:
            # By now a module is imported, and nothing else is found by its name.
            case ast.Attribute(value=ast.Name(id=name)) if named.get(name) in sys.modules:
                yield named[name], node.attr


def is_there(module: str, name: str) -> bool:
    try:
        if hasattr(import_module(module), name):
            return True
        import_module(f"{module}.{name}")
    except ModuleNotFoundError as error:
        # What a program needs beside us need not be installed here.
        return str(error.name).split(".")[0] not in OURS
    return True


def test_what_the_emulated_board_leaves_out_and_runs_is_there() -> None:
    on_board = import_module("tests.proofs.pi_zero.on_board")
    assert on_board.CHECKOUT == ROOT
    for each in on_board.LEFT_OUT:
        file, _, test = each.partition("::")
        assert f"def {test.partition('[')[0]}" in (ROOT / file).read_text("utf-8"), each
    for each in (*on_board.MODEL, *on_board.VISION):
        assert (ROOT / each).exists(), each


def test_a_card_of_other_packages_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    board = import_module("tests.proofs.pi_zero.board")

    def names(kind: str) -> list[str]:
        return [board.card_name(kind, release) for release in board.RELEASES]

    plain, systemd = names("plain"), names("systemd")
    assert len({*plain, *systemd}) == 4
    monkeypatch.setattr(board, "PICAMERA2_NEEDS", "python3-other")
    assert not set(names("plain")) & set(plain)
    assert names("systemd") == systemd
