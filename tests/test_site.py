"""The documentation: nothing generated is stale, what is quoted is said, links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from gpiozero.pins.mock import MockFactory

from appliance.settings.schema import LAYOUTS
from tests.bench.site import make
from tests.conftest import ROOT
from tests.web.test_language import strings_in_python

DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "data" / "README.md",
    ROOT / "model" / "shipped" / "README.md",
    *sorted(DOCS.glob("**/*.md")),
]


def test_what_is_generated_is_what_the_sources_say() -> None:
    for name, text in make.pages().items():
        stale = (
            f"docs/{name} is stale: run 'python -m tests.bench.site.make' and commit what it writes"
        )
        assert (DOCS / name).read_text("utf-8") == text, stale


def test_the_header_of_the_diagrams_is_the_boards_own() -> None:
    header = MockFactory().board_info.headers["J8"].pins
    for number, name in enumerate(make.HEADER, 1):
        assert header[number].name == (name if isinstance(name, str) else f"GPIO{name}")
    assert {make.HEADER[ground - 1] for ground in make.GROUND.values()} == {"GND"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_pins_of_the_wiring_page_are_those_of_the_settings(layout: str) -> None:
    (section,) = (
        each
        for each in (DOCS / "wiring.md").read_text().split("\n## ")
        if f'`layout = "{layout}"`' in each
    )
    rows = re.findall(r"\| (\S+) \| (\d+) \| (\d+) \|", section)
    assert rows == [
        (shows, str(bcm), str(make.header_pin(bcm))) for bcm, shows in make.names(layout).items()
    ]
    assert f"wiring-{layout}.svg" in section
    drawn = (DOCS / f"wiring-{layout}.svg").read_text()
    at_wires = re.findall(r'<text class="e?" x="\d+" y="\d+">(\d+)</text>', drawn)
    assert at_wires == [str(bcm) for bcm in make.names(layout)]
    assert ", ".join(map(str, LAYOUTS[layout])) in (DOCS / "wiring.md").read_text()


def test_what_troubleshooting_quotes_the_appliance_says() -> None:
    said = "\n".join([*strings_in_python(), *strings_in_python(ROOT / "model")])
    quoted = re.findall(r"^> (.+)$", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(quoted) > 40
    for sentence in quoted:
        parts = [part.strip(" :.,()'[]=") for part in sentence.split("…")]
        assert any(parts), sentence
        for part in parts:
            assert part in said, f"{part!r} in {sentence!r}"


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as they are made where it is shown."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+?)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        leads = (page.parent / path).resolve() if path else page
        assert leads.exists(), target
        assert leads.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(leads.read_text()), target


def test_the_site_is_built_without_a_warning_and_asks_for_nothing_from_elsewhere(
    tmp_path: Path,
) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = [*tmp_path.glob("**/*.html")]
    assert len(pages) > 15
    asks = re.compile(
        r"""<(?:script|link|img|iframe|source|object|embed)\b[^>]*?(?:src|href|data)=["'](?:https?:)?//"""
    )
    for page in pages:
        # The address that search engines are told is fetched by nobody.
        text = re.sub(r'<link rel="canonical"[^>]*>', "", page.read_text())
        assert not asks.search(text), page
    for style in tmp_path.glob("**/*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text()), style
    assert not (tmp_path / "make.py").exists()
