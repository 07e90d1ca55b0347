"""The settings file: what a newer version adds to it, and a card's that is taken over."""

from pathlib import Path

import pytest

from appliance.errors import SettingsError
from appliance.settings.file import add_new_settings, main, new_file, take_over
from appliance.settings.schema import load, template

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
