import re
from pathlib import Path

import pytest

from appliance.errors import SettingsError
from appliance.settings.schema import (
    LAYOUTS,
    LedSettings,
    MqttSettings,
    Settings,
    StateSettings,
    WebSettings,
    list_settings,
    load,
    parse_leds,
    read,
    state_folder,
    template,
)


def written(folder: Path, text: str) -> Path:
    path = folder / "digits.toml"
    path.write_text(text)
    return path


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(written(tmp_path, "")) == Settings()


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    text = """
    [camera]
    source = "folder:/pictures"
    rate = 2
    [leds]
    layout = "four"
    pins = [2, 3, 4, 14]
    """
    settings = load(written(tmp_path, text))
    assert settings.camera.source == "folder:/pictures"
    assert settings.camera.rate == 2.0
    assert settings.leds.digit_pins == (2, 3, 4, 14)
    assert settings.web == Settings().web


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[camera]\nlens = 1", "unknown setting 'lens' in [camera]: the settings are source"),
        ("[cinema]", "unknown table [cinema]: the tables are camera"),
        ("camera = 1", "'camera' must be a table"),
        ("[camera]\nrate = 'fast'", "'rate' in [camera] = 'fast': must be a number"),
        (
            "[camera]\nrate = -1",
            "[camera] invalid setting 'rate' = -1.0: must be 0, or",
        ),
        ("[camera]\nsource = 'webcam'", "must be 'picamera' or 'folder:PATH'"),
        ("[web]\nport = true", "must be a whole number"),
        ("[web]\nport = 0", "must be from 1 to 65535"),
        ("[leds]\nlayout = 'six'", "must be one of ten, four, seven-segment, none"),
        ("[leds]\nlayout = 'four'\npins = [1, 2]", "layout 'four' has 4 LEDs, not 2"),
        ("[leds]\nlayout = 'four'\npins = [1, 2, 3, 3]", "names a pin twice"),
        ("[leds]\nlayout = 'four'\npins = [1, 2, 3, 17]", "pin 17 is used twice"),
        ("[leds]\npins = [40]", "must be BCM pin numbers from 0 to 27"),
        ("[data]\nmirrors = ['ftp://x/']", "'ftp://x/' must start with http:// or https://"),
        ("[data]\nmirrors = []", "must name at least one address"),
        ("[camera", "not a TOML file"),
        ("[mqtt]\n[mqtt]\n", "put the lines of both into the one that was there before"),
        ("[camera]\nrate = ", "correct the text there"),
        ("a = " + "[" * 3000, "not a TOML file"),
        ("[camera]\nwidth = " + "9" * 5000, "not a TOML file"),
        ("[camera]\nrate = " + "9" * 400, "must be a number"),
        ("[camera]\nrate = 1e-12", "must be 0, or from 0.1 to 30"),
        ("[camera]\nrate = nan", "must be 0, or"),
        ("[camera]\npicture_seconds = 5e-324", "must be 0, or from 0.01"),
        ("[mqtt]\nhost = 'a b'", "must be a host's name or address, without a port"),
        ("[mqtt]\nhost = 'mqtt://broker'", "must be a host's name or address"),
        ("[mqtt]\nhost = 'a..b'", "must be a host's name or address"),
        ('[mqtt]\nhost = "a\\u0000b"', "must be a host's name or address"),
        ("[mqtt]\ntls = 1", "'tls' in [mqtt] = 1: must be true or false"),
        ("[mqtt]\nport = 65536", "must be from 1 to 65535"),
        ("[mqtt]\ntopic = ''", "must be of letters, digits"),
        ("[mqtt]\ntopic = 'digits/#'", "must be of letters, digits"),
        ("[mqtt]\ntopic = '+/digits'", "must be of letters, digits"),
        ("[mqtt]\ntopic = '/digits'", "must be of letters, digits"),
        ("[mqtt]\ntopic = '$SYS'", "must be of letters, digits"),
        ("[mqtt]\ndiscovery = 'home assistant'", "must be of letters, digits"),
        ("[mqtt]\npassword = 'hunter2'", "it needs 'user' beside it"),
        ("[mqtt]\npassword = 1234567", "'password' in [mqtt] = '***': must be a text"),
        ("#" * 1_000_001, "larger than a settings file can be"),
    ],
)
def test_a_wrong_file_is_a_sentence_that_names_the_file_and_the_key(
    tmp_path: Path, text: str, said: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "1234567" not in str(caught.value)


@pytest.mark.parametrize("host", ["", "broker", "broker.local", "192.0.2.7", "::1", "fe80::1%eth0"])
def test_a_broker_has_a_name_or_an_address(host: str) -> None:
    assert MqttSettings(host=host).host == host


def test_a_password_is_shown_nowhere(tmp_path: Path) -> None:
    path = written(tmp_path, "[mqtt]\nuser = 'box'\npassword = 'hunter2'\n")
    settings = load(path)
    assert settings.mqtt.password == "hunter2"
    assert "hunter2" not in repr(settings)
    found = {each.key: each for each in list_settings(settings, read(path)) if each.table == "mqtt"}
    assert (found["password"].value, found["password"].origin) == ('"***"', str(path))
    assert "hunter2" not in repr(found)
    none = {
        each.key: each.value
        for each in list_settings(Settings(), read(path))
        if each.table == "mqtt"
    }
    assert none["password"] == '""'


def test_a_missing_file_that_was_asked_for_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_leds_are_told_on_the_command_line() -> None:
    assert parse_leds("none", LedSettings()).layout == "none"
    assert parse_leds("seven-segment", LedSettings()).digit_pins == LAYOUTS["seven-segment"]
    assert parse_leds("four:5,6,13,19", LedSettings()).pins == (5, 6, 13, 19)
    for wrong in ("six", "four:5,6", "four:a,b,c,d"):
        with pytest.raises(SettingsError):
            parse_leds(wrong, LedSettings())


def test_every_layout_fits_its_usual_pins() -> None:
    for layout in LAYOUTS:
        LedSettings(layout=layout)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("192.0.2.7", "http://192.0.2.7:8080"),
    ],
)
def test_the_page_is_found_from_the_machine_itself(host: str, url: str) -> None:
    assert WebSettings(host=host).local_url == url


def test_the_state_goes_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    set_ = Settings(state=StateSettings(folder="/set"))
    assert state_folder("/given", set_) == Path("/given")
    assert state_folder(None, set_) == Path("/set")
    assert state_folder(None, Settings()) == Path("/somewhere/digits")


def test_the_template_is_the_defaults_with_or_without_its_marks(tmp_path: Path) -> None:
    assert load(written(tmp_path, template())) == Settings()
    everything = re.sub(r"^#(?=\w+ = )", "", template(), flags=re.MULTILINE)
    assert everything.count("\n#") < template().count("\n#")
    assert load(written(tmp_path, everything)) == Settings()
