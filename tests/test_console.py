"""No character from elsewhere moves a terminal's cursor, or looks like a line that it is not in."""

import io
import logging
import sys
import unicodedata
from pathlib import Path

import pytest

from appliance.__main__ import main
from appliance.captures.store import Captures
from appliance.commands.options import log_to_stderr
from appliance.console import PrintableFormatter, PrintableStream, printable, say
from appliance.device.control import LogTail
from appliance.networks.vault import Vault
from tests.captured import add_capture
from tests.networks.test_live import saying

HOSTILE = "\x1b]0;pwned\x07\x1b[2J\r\x9b\x7f\u202e\u2066\u2028\u200f\ud800\nfake line"


def control_characters(text: str, *, kept: str = "\n") -> list[str]:
    kinds = "Cc", "Cf", "Cs", "Zl", "Zp"
    return [each for each in text if unicodedata.category(each) in kinds and each not in kept]


def test_what_moves_the_cursor_is_its_escape_and_text_is_as_it_is() -> None:
    assert printable("unsure between 4 and 9: ½ é 漢 ✔ –") == "unsure between 4 and 9: ½ é 漢 ✔ –"
    assert printable("\x1b[2J\n\u202e") == r"\x1b[2J\n\u202e"
    assert control_characters(printable(HOSTILE), kept="") == []
    for code in [*range(0x3000), 0xD800, 0xE0001]:
        assert printable(chr(code)).isprintable()


def test_a_stream_lets_text_tabs_and_ends_of_lines_through() -> None:
    below = io.StringIO()
    stream = PrintableStream(below)
    print("a\tb", HOSTILE, file=stream)
    stream.writelines(["c\x1b\n"])
    stream.flush()
    assert below.getvalue().startswith("a\tb \\x1b]0;pwned\\x07")
    assert below.getvalue().endswith("fake line\nc\\x1b\n")
    assert control_characters(below.getvalue(), kept="\n\t") == []


def test_a_command_prints_nothing_that_moves_the_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = HOSTILE.replace("\ud800", "")
    captures = Captures(tmp_path / "captures.db")
    add_capture(captures, said=None, reason=reason)
    captures.close()
    vault = Vault(tmp_path / "networks")
    id = vault.add(saying(4), {"command": HOSTILE.replace("\ud800", ""), "\x1bkey": 1})
    state = ["--state", str(tmp_path)]
    for words in (
        ["captures", "list", *state],
        ["networks", "show", id, *state],
        ["networks", "compare", id, id, *state],
        ["networks", "list", *state],
        ["captures", "import", f"{tmp_path}/no\x1b[2J\nfake line.zip", *state],
        ["read", f"{tmp_path}/no\x1b[2J\nfake line.png"],
        ["networks", "show", "\x1b[2J\nfake line", *state],
    ):
        main(words)
        told = capsys.readouterr()
        for text in (told.out, told.err):
            assert control_characters(text) == [], words
            assert not any(line.startswith("fake line") for line in text.split("\n")), words
        assert "fake line" in told.out + told.err or words[1] == "list"


def test_a_line_of_the_log_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, lines = logging.getLogger(), LogTail()
    monkeypatch.setattr(root, "handlers", [])
    log_to_stderr()
    log = logging.getLogger("appliance.hostile")
    log.addHandler(lines)
    try:
        log.warning("the broker said %s", HOSTILE)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            log.exception("and %s", "\x1b[2J")
    finally:
        log.removeHandler(lines)
    told = capsys.readouterr().err
    assert control_characters(told) == []
    assert not any(line.startswith("fake line") for line in told.split("\n"))
    assert "ValueError: " in told
    assert all(control_characters(text, kept="") == [] for _, _, text in lines.last())
    assert isinstance(root.handlers[0].formatter, PrintableFormatter)


def test_progress_is_redrawn_on_a_terminal_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", PrintableStream(sys.stdout))
    say("epoch 1\x1b[2J", redraw=True)
    assert capsys.readouterr().out == "\r\x1b[Kepoch 1\\x1b[2J\n"
