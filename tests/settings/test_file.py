"""The settings file: what a newer version adds to it, and a card's that is taken over."""

from pathlib import Path

import pytest

from appliance.errors import SettingsError
from appliance.settings.file import completed, main, new, take
from appliance.settings.schema import load, template


def test_a_new_file_sets_only_where_it_writes(tmp_path: Path) -> None:
    (tmp_path / "new").write_text(new("/somewhere"))
    settings = load(tmp_path / "new")
    assert settings.state.folder == "/somewhere"
    assert completed(new()) == new()


def test_new_keys_are_added_under_their_table_as_comments() -> None:
    text = '# mine\n[camera]\nsource = "folder:/p"   # a folder\n\n[leds]\n#layout = "ten"\n'
    added = completed(text)
    assert added.startswith("# mine\n[camera]\n# New since this file was written:\n")
    assert 'source = "folder:/p"   # a folder\n' in added
    assert "#rate = 4.0\n" in added
    assert added.count("#layout") == 1
    assert "\n[mqtt]\n# New since" in added
    # Once added they are known.
    assert completed(added) == added


def test_tables_written_in_another_way_are_left_alone() -> None:
    text = "web = {port = 81}\ncamera.rate = 2.0\n"
    added = completed(text)
    assert added.startswith(text)
    assert all(line.startswith("#") or not line for line in added[len(text) :].splitlines())
    assert '#host = "0.0.0.0"' in added
    assert completed(added) == added


def test_the_template_lacks_nothing() -> None:
    assert completed(template()) == template()


@pytest.fixture
def card(tmp_path: Path) -> Path:
    (tmp_path / "card").mkdir()
    return tmp_path / "card" / "digits.toml"


def test_a_cards_file_is_taken_over_and_called_taken(card: Path, tmp_path: Path) -> None:
    config = tmp_path / "etc" / "digits.toml"
    card.write_bytes(b'\xef\xbb\xbf[leds]\r\nlayout = "four"\r\n')
    assert "is taken over as" in take(card, config)
    assert load(config).leds.layout == "four"
    assert load(config).state.folder == "/var/lib/digits"
    assert [path.name for path in card.parent.iterdir()] == ["digits.toml.taken"]
    card.write_text("[state]\n[web]\nport = 81\n")
    take(card, config)
    assert load(config).state.folder == "/var/lib/digits"
    assert load(config.with_name("digits.toml.old")).leds.layout == "four"


@pytest.mark.parametrize("wrong", [b"[leds]\nlayout = 'six'", b"[leds", b"\xff\xfe["])
def test_a_wrong_card_changes_nothing(card: Path, tmp_path: Path, wrong: bytes) -> None:
    config = tmp_path / "digits.toml"
    config.write_text("[web]\nport = 81\n")
    card.write_bytes(wrong)
    with pytest.raises(SettingsError, match="start again"):
        take(card, config)
    assert card.read_bytes() == wrong
    assert load(config).web.port == 81


def test_setup_asks_for_it_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new"]) == 0
    file = tmp_path / "digits.toml"
    file.write_text(capsys.readouterr().out)
    assert main(["completed", str(file)]) == 0
    assert capsys.readouterr().out == file.read_text()
    assert main(["take", str(tmp_path / "none")]) == 0
    file.write_text("[leds]\nlayout = 6\n")
    assert main(["check", str(file)]) == 1
    assert "must be a text" in capsys.readouterr().err
