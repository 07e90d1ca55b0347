"""The settings file: what a newer version adds to it, and a card's that is taken over."""

import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from appliance.errors import SettingsError
from appliance.settings.file import add_new_settings, find_on_card, main, new_file, take_over
from appliance.settings.schema import load, template
from tests.conftest import ROOT

AWKWARD = {
    "empty": "",
    "comments": '# mine\n[camera]\nsource = "folder:/p"   # a folder\n\n[leds]\n#layout = "ten"\n',
    "no newline at the end": "[web]\nport = 81",
    "header at the end": "[web]",
    "crlf": '[leds]\r\nlayout = "four"\r\n\r\n[web]\r\nport = 81\r\n',
    "crlf, no newline at the end": "[web]\r\nport = 81",
    "byte order mark": "\ufeff[web]\nport = 81\n",
    "inline table": "web = {port = 81}  # mine\n[leds]\n",
    "dotted keys": "camera.rate = 2.0\nweb . port = 0x51\n",
    "spaces": "   [ leds ]   # four\n\tlayout='four'\n\n\n",
    "lists over lines": "[leds]\nlayout = 'four'\npins = [\n  5, 6, # upper\n  13, 19,\n]\n[web]\n",
    "quoted keys": "[\"web\"]\n'port' = 81\n",
    "text with a header in it": '[mqtt]\nhost = \'h\'\nuser = """\n[web]\n"""\n',
}


def without_additions(text: str, original: str) -> str:
    """Return a text's lines that are also in the original, and the rest of which is comments."""
    lines = original.splitlines(keepends=True)
    kept = []
    for line in text.splitlines(keepends=True):
        if len(kept) < len(lines) and line.rstrip("\r\n") == lines[len(kept)].rstrip("\r\n"):
            kept.append(line)
        else:
            assert line[0] in "#[\r\n", line
    return "".join(kept)


def test_a_new_file_sets_only_where_it_writes(tmp_path: Path) -> None:
    (tmp_path / "new").write_text(new_file("/somewhere"))
    assert load(tmp_path / "new").state.folder == "/somewhere"
    assert (tmp_path / "new").read_text().count("\nfolder") == 1
    assert add_new_settings(new_file()) == new_file()


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_what_the_owner_wrote_stays_to_the_byte(tmp_path: Path, text: str) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_bytes(text.encode())
    added = add_new_settings(text)
    after.write_bytes(added.encode())
    assert load(after) == load(before)
    if text and not text.endswith("\n"):
        text += "\r\n" if "\r\n" in text else "\n"
    assert without_additions(added, text) == text
    # One kind of line's end, and nothing is added twice.
    assert ("\r\n" in text) == ("\r\n" in added)
    assert added.count("\n") == added.count("\r\n") or "\r\n" not in added
    assert add_new_settings(added) == added


def test_new_keys_are_added_under_their_table_as_comments() -> None:
    added = add_new_settings(AWKWARD["comments"])
    assert added.startswith("# mine\n[camera]\n# New since this file was written:\n")
    assert 'source = "folder:/p"   # a folder\n' in added
    assert "#rate = 4.0\n" in added
    assert added.count("#layout") == 1
    assert "\n[mqtt]\n# New since" in added


def test_a_table_without_a_header_gets_its_comments_at_the_end() -> None:
    text = "web = {port = 81}\ncamera.rate = 2.0\n"
    added = add_new_settings(text)
    assert added.startswith(text)
    assert "move a line under its table.\n#[web]\n" in added
    assert '#host = "0.0.0.0"' in added


def test_the_template_lacks_nothing() -> None:
    assert add_new_settings(template()) == template()


@pytest.fixture
def card(tmp_path: Path) -> Path:
    (tmp_path / "card").mkdir()
    return tmp_path / "card" / "digits.toml"


def test_a_cards_file_is_taken_over_and_called_taken(card: Path, tmp_path: Path) -> None:
    config = tmp_path / "etc" / "digits.toml"
    card.write_bytes(b'\xef\xbb\xbf[leds]\r\nlayout = "four"\r\n')
    assert "is taken over as" in take_over(card, config)
    assert load(config).leds.layout == "four"
    assert load(config).state.folder == "/var/lib/digits"
    assert [path.name for path in card.parent.iterdir()] == ["digits.toml.taken"]
    card.write_text("[state]\n[web]\nport = 81\n")
    take_over(card, config)
    assert load(config.with_name("digits.toml.old")).leds.layout == "four"


@pytest.mark.parametrize(
    "text",
    [
        *AWKWARD.values(),
        "[state]\n[web]\n",
        "[state]",
        '[state]\r\nfolder = ""  # mine\r\n',
        "state = {}\n",
        'state = { folder = "" } # mine\n',
        'state.folder = ""\n',
    ],
)
def test_a_card_that_names_no_folder_writes_where_an_appliance_does(
    card: Path, tmp_path: Path, text: str
) -> None:
    config = tmp_path / "digits.toml"
    card.write_bytes(text.encode())
    take_over(card, config)
    assert load(config).state.folder == "/var/lib/digits"
    assert load(config).web == load(tmp_path / "card" / "digits.toml.taken").web
    assert (b"\r\n" in config.read_bytes()) == ("\r\n" in text)
    assert text.count("# mine") == config.read_text().count("# mine")


EDITORS = {
    "Windows, UTF-8": ("utf-8-sig", "\r\n"),
    "Windows, 'Unicode'": ("utf-16", "\r\n"),
    "big-endian": ("utf-16-be", "\n"),
    "Unix": ("utf-8", "\n"),
}


def written(editor: str, text: str) -> bytes:
    """Return a text's bytes as an editor saves them."""
    encoding, end = EDITORS[editor]
    mark = "\ufeff" * (encoding == "utf-16-be")
    return (mark + text.replace("\n", end)).encode(encoding)


@pytest.mark.parametrize("editor", EDITORS)
def test_whichever_editor_wrote_it_a_file_is_taken(
    card: Path, tmp_path: Path, editor: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    config = tmp_path / "digits.toml"
    data = written(editor, "# für die Küche\n[leds]\nlayout = 'four'\n")
    config.write_bytes(data)
    assert load(config).leds.layout == "four"
    assert main(["check", str(config)]) == 0
    assert main(["complete", str(config)]) == 0
    completed = capsysbinary.readouterr().out
    assert "# für die Küche" in completed.decode()
    assert completed.startswith("\ufeff".encode()) == (editor == "Windows, UTF-8")
    card.write_bytes(data)
    take_over(card, config)
    # Older releases read it, too.
    assert config.read_bytes().decode().startswith("# für die Küche")
    assert load(config).leds.layout == "four"


def test_text_in_another_encoding_is_a_sentence(card: Path, tmp_path: Path) -> None:
    card.write_bytes("# für die Küche\n".encode("cp1252"))
    sentence = r"not text in UTF-8 \(byte 4 is none\): save it with the encoding UTF-8"
    with pytest.raises(SettingsError, match=sentence):
        load(card)
    with pytest.raises(SettingsError, match=sentence):
        take_over(card, tmp_path / "digits.toml")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file that the command writes, in the place of this machine's own."""
    place = tmp_path / "etc" / "digits.toml"
    monkeypatch.setattr("appliance.settings.file.take_over", partial(take_over, config=place))
    return place


@pytest.mark.parametrize(
    "name",
    ["digits.toml", "digits.toml.txt", "Digits.toml", "DIGITS.TOML.TXT", "digits.toml.toml",
     "digits.toml "],
)  # fmt: skip
def test_what_an_editor_or_a_file_system_makes_of_the_name_is_taken(
    card: Path, config: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    card.with_name(name).write_text("[leds]\nlayout = 'four'\n")
    card.with_name("config.txt").touch()
    assert main(["take", "/no/card", str(card.parent)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{card.with_name(name)} is taken over as ")
    assert said.out.endswith(", and is called digits.toml.taken now\n")
    assert said.err == ""
    assert load(config).leds.layout == "four"
    assert find_on_card([card.parent]) == ([], [])


@pytest.mark.parametrize(
    "name", ["digits.txt", "digits (1).toml", "digits - Copy.toml.txt", "digits.toml.rtf"]
)
def test_what_only_looks_like_it_is_named_and_stays(
    card: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    card.with_name(name).touch()
    assert main(["take", str(card.parent)]) == 0
    said = capsys.readouterr()
    place = card.with_name(name)
    assert said.err == f"{place} is not taken over: call it digits.toml if it has settings\n"
    assert said.out == ""
    assert place.exists()


def test_of_two_the_one_with_the_right_name_is_taken(
    card: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = card.with_name("DIGITS.TOML.TXT")
    card.write_text("[web]\nport = 81\n")
    other.write_text("[web]\nport = 82\n")
    assert main(["take", str(card.parent)]) == 0
    assert capsys.readouterr().err == (
        f"{other} is not taken over, as {card} is there too: keep one\n"
    )
    assert load(config).web.port == 81
    assert other.exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_asks_for_it_where_there_is_something_to_take_or_to_name(card: Path) -> None:
    unit = (ROOT / "systemd" / "digits-firstboot.service").read_text()
    (condition,) = re.findall(r"^Condition.*", unit, re.MULTILINE)
    (card.parent / "firmware").mkdir()

    def starts() -> bool:
        words = ["systemd-analyze", "condition", condition.replace("/boot", str(card.parent))]
        return subprocess.run(words, capture_output=True).returncode == 0

    for name in ("digits.toml.taken", "config.txt", "cmdline.txt"):
        card.with_name(name).touch()
        (card.parent / "firmware" / name).touch()
    assert not starts()
    for name in ("digits.toml", "Digits.TOML.txt", "digits (1).toml", "digits.toml ", "digits.rtf"):
        for place in (card.with_name(name), card.parent / "firmware" / name):
            place.touch()
            assert any(find_on_card([place.parent]))
            assert starts(), place
            place.unlink()


@pytest.mark.parametrize("wrong", [b"[leds]\nlayout = 'six'", b"[leds", b"\xff\xfe["])
def test_a_wrong_card_changes_nothing(card: Path, tmp_path: Path, wrong: bytes) -> None:
    config = tmp_path / "digits.toml"
    config.write_text("[web]\nport = 81\n")
    card.write_bytes(wrong)
    with pytest.raises(SettingsError, match="start again"):
        take_over(card, config)
    assert card.read_bytes() == wrong
    assert load(config).web.port == 81


def test_setup_asks_for_it_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new"]) == 0
    file = tmp_path / "digits.toml"
    file.write_text(capsys.readouterr().out)
    assert main(["complete", str(file)]) == 0
    assert capsys.readouterr().out == file.read_text()
    assert main(["take", str(tmp_path / "none")]) == 0
    assert main(["tak", str(file)]) == 1
    assert "the verbs are" in capsys.readouterr().err
    assert file.exists()
    file.write_text("[leds]\nlayout = 6\n")
    assert main(["check", str(file)]) == 1
    assert "must be a text" in capsys.readouterr().err
