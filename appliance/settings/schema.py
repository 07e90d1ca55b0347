"""Every setting: its default, its check and its help stand together; a TOML file changes them."""

import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from appliance.errors import SettingsError
from appliance.storage.ownership import open_input
from model.files import decode_file

_LARGEST_FILE = 1_000_000

CONFIG = Path("/etc/digits/digits.toml")
"""Read by `digits run` when it is there and no --config is given."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

Check = Callable[[Any], str | None]


def setting(
    default: Any,
    help: str,
    check: Check = lambda value: None,
    *,
    page: bool = False,
    secret: bool = False,
) -> Any:
    """Return a dataclass field; `check` returns what is wrong with a value, or None.

    With `page` the owner may change it on the page: no value of it can lock the owner out.
    The value of a `secret` setting is never shown.
    """
    metadata = {"help": help, "check": check, "page": page, "secret": secret}
    return field(default=default, metadata=metadata)


def _mask(each: "dataclasses.Field[Any]", value: Any) -> Any:
    """Return a setting's value, or *** for a secret."""
    return "***" if each.metadata["secret"] and value else value


def between(low: float, high: float) -> Check:
    return lambda value: None if low <= value <= high else f"must be from {low} to {high}"


def one_of(*choices: str) -> Check:
    return lambda value: None if value in choices else f"must be one of {', '.join(choices)}"


def _camera_source(value: str) -> str | None:
    if value == "picamera" or (value.startswith("folder:") and value != "folder:"):
        return None
    return "must be 'picamera' or 'folder:PATH'"


def _rate(value: float) -> str | None:
    return None if value == 0 or 0.1 <= value <= 30 else "must be 0, or from 0.1 to 30"


def _duration(value: float) -> str | None:
    return None if value == 0 or 0.01 <= value <= 3600 else "must be 0, or from 0.01 to 3600"


def _pins(value: tuple[int, ...]) -> str | None:
    if any(not 0 <= pin <= 27 for pin in value):
        return "must be BCM pin numbers from 0 to 27"
    return "names a pin twice" if len(set(value)) < len(value) else None


def _names(value: tuple[str, ...]) -> str | None:
    wrong = [each for each in value if not re.fullmatch(r"[A-Za-z0-9.-]{1,253}", each)]
    return f"{wrong[0]!r} is not a host's name" if wrong else None


def _addresses(value: tuple[str, ...]) -> str | None:
    wrong = [each for each in value if not each.startswith(("http://", "https://"))]
    if wrong:
        return f"{wrong[0]!r} must start with http:// or https://"
    return None if value else "must name at least one address"


def _broker(value: str) -> str | None:
    if not value:
        return None
    with suppress(UnicodeError):
        value.encode("idna")
        if re.fullmatch(r"[\w.:%-]{0,253}", value):
            return None
    return "must be a host's name or address, without a port"


def _topic(value: str) -> str | None:
    if len(value) <= 200 and re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", value):
        return None
    return "must be of letters, digits, '_', '.' and '-', with a '/' between its levels"


class Section:
    """A table of the settings file; raises SettingsError for a value that its check refuses.

    It cannot be changed; `dataclasses.replace` makes another. The methods that dataclasses would
    compile for each class at every start are here once.
    """

    def __init__(self, **values: Any) -> None:
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            value = values.pop(each.name, each.default)
            wrong = each.metadata["check"](value)
            if wrong:
                shown = _mask(each, value)
                raise SettingsError(f"invalid setting '{each.name}' = {shown!r}: {wrong}")
            vars(self)[each.name] = value
        if values:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(values)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        shown = {
            each.name: _mask(each, getattr(self, each.name))
            for each in dataclasses.fields(self)  # type: ignore[arg-type]
        }
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


@dataclass(init=False, eq=False, repr=False)
class CameraSettings(Section):
    """The table [camera]."""

    source: str = setting("picamera", "picamera, or folder:PATH to replay pictures", _camera_source)
    width: int = setting(640, "width of a frame in pixels", between(160, 1920))
    height: int = setting(480, "height of a frame in pixels", between(120, 1080))
    view: str = setting(
        "whole",
        "whole = the sensor's mode with all of its view, but for what the frame's shape cuts off; "
        "middle = the mode nearest to width and height, which many sensors crop: digits are larger",
        one_of("whole", "middle"),
        page=True,
    )
    exposure: str = setting(
        "normal",
        "normal, or long for a dim room: with Raspberry Pi's sensors up to 120 ms instead of 67, "
        "and more blur where something moves",
        one_of("normal", "long"),
        page=True,
    )
    rate: float = setting(4.0, "frames read a second; 0 = as many as can be", _rate, page=True)
    picture_seconds: float = setting(
        4.0, "how long a folder's picture is in view; 0 = for one frame", _duration
    )


@dataclass(init=False, eq=False, repr=False)
class ReaderSettings(Section):
    """The table [reader]."""

    network: str = setting("", "weights file; empty = the network that ships")
    least_confidence: float = setting(
        0.7, "an answer with a confidence below this is refused", between(0, 1), page=True
    )
    agree: int = setting(
        3, "readings in a row that must agree before it shows", between(1, 50), page=True
    )


LAYOUTS: dict[str, tuple[int, ...]] = {
    "ten": (5, 6, 12, 13, 16, 19, 20, 21, 25, 26),
    "four": (5, 6, 13, 19),
    "seven-segment": (5, 6, 13, 19, 26, 16, 20),
}
"""LED layouts and their usual BCM pins: one LED a digit; the bits 1 2 4 8; segments a to g."""


@dataclass(init=False, eq=False, repr=False)
class LedSettings(Section):
    """The table [leds]."""

    layout: str = setting("ten", "ten, four, seven-segment or none", one_of(*LAYOUTS, "none"))
    pins: tuple[int, ...] = setting((), "BCM pins in the layout's order; empty = its usual", _pins)
    status: int = setting(17, "BCM pin of the status LED; -1 = none", between(-1, 27))
    button: int = setting(27, "BCM pin of the button; -1 = none", between(-1, 27))

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.layout == "none":
            return
        wanted = len(LAYOUTS[self.layout])
        if self.pins and len(self.pins) != wanted:
            raise SettingsError(
                f"invalid setting 'pins' = {list(self.pins)!r}: "
                f"layout '{self.layout}' has {wanted} LEDs, not {len(self.pins)}"
            )
        used = [*self.digit_pins, *(pin for pin in (self.status, self.button) if pin >= 0)]
        twice = sorted({pin for pin in used if used.count(pin) > 1})
        if twice:
            raise SettingsError(
                f"invalid setting 'pins': pin {twice[0]} is used twice "
                f"(LEDs {list(self.digit_pins)}, status {self.status}, button {self.button})"
            )

    @property
    def digit_pins(self) -> tuple[int, ...]:
        return self.pins or LAYOUTS[self.layout]


@dataclass(init=False, eq=False, repr=False)
class WebSettings(Section):
    """The table [web]."""

    host: str = setting("0.0.0.0", "address the page listens on; 127.0.0.1 = this machine only")
    port: int = setting(8080, "port of the page; with 80 its address needs none", between(1, 65535))
    upload_megabytes: int = setting(16, "largest picture that may be sent", between(1, 64))
    look: str = setting(
        "anyone",
        "who may look: anyone, or owner (the PIN first)",
        one_of("anyone", "owner"),
        page=True,
    )
    names: tuple[str, ...] = setting(
        ("digits.local",), "names it is asked by, beside its own and its addresses", _names
    )

    @property
    def local_url(self) -> str:
        """Return the page's address as seen from this machine itself."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


@dataclass(init=False, eq=False, repr=False)
class MqttSettings(Section):
    """The table [mqtt]."""

    host: str = setting("", "the MQTT broker that is told the readings; empty = none", _broker)
    port: int = setting(1883, "port of the broker; with tls it is mostly 8883", between(1, 65535))
    tls: bool = setting(False, "encrypted, by a broker whose certificate this system trusts")
    user: str = setting("", "name that the broker knows the appliance by; empty = none")
    password: str = setting("", "the password to that name; it is shown nowhere", secret=True)
    topic: str = setting("digits", "topics begin with this and the host's name", _topic)
    discovery: str = setting(
        "homeassistant",
        "where Home Assistant looks for new devices; empty = it is not told",
        lambda value: _topic(value) if value else None,
    )

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.password and not self.user:
            raise SettingsError("invalid setting 'password': it needs 'user' beside it")


@dataclass(init=False, eq=False, repr=False)
class HistorySettings(Section):
    """The table [history]."""

    limit: int = setting(
        2000, "readings kept; the oldest go first", between(10, 100_000), page=True
    )


@dataclass(init=False, eq=False, repr=False)
class CaptureSettings(Section):
    """The table [captures]."""

    limit: int = setting(
        5000, "captures kept; the oldest confirmed ones go first", between(50, 20_000)
    )


@dataclass(init=False, eq=False, repr=False)
class DataSettings(Section):
    """The table [data]."""

    mirrors: tuple[str, ...] = setting(MIRRORS, "where MNIST is downloaded from", _addresses)


@dataclass(init=False, eq=False, repr=False)
class RetrainSettings(Section):
    """The table [retrain]."""

    hour: int = setting(1, "the hour from which it may train at night", between(0, 23), page=True)
    until: int = setting(
        6, "the hour by which it ends, to go on the next night", between(0, 23), page=True
    )
    hours: float = setting(
        5.0, "it trains at most so many hours a night", between(0.1, 23), page=True
    )
    hottest: float = setting(
        75.0, "it waits while the processor is hotter, in °C", between(40, 90), page=True
    )


@dataclass(init=False, eq=False, repr=False)
class StateSettings(Section):
    """The table [state]."""

    folder: str = setting("", "where it writes; empty = ~/.local/state/digits")


@dataclass(frozen=True)
class Settings:
    """All tables of the settings file."""

    camera: CameraSettings = CameraSettings()
    reader: ReaderSettings = ReaderSettings()
    leds: LedSettings = LedSettings()
    web: WebSettings = WebSettings()
    mqtt: MqttSettings = MqttSettings()
    history: HistorySettings = HistorySettings()
    captures: CaptureSettings = CaptureSettings()
    data: DataSettings = DataSettings()
    retrain: RetrainSettings = RetrainSettings()
    state: StateSettings = StateSettings()


class LoadedSettings(NamedTuple):
    """A settings file that was read: its settings, and each (table, key) in it."""

    file: Path
    settings: Settings
    keys: frozenset[tuple[str, str]] = frozenset()


def load(path: Path | None) -> Settings:
    """Return the settings of a TOML file as `read` does."""
    return read(path).settings


def read(path: Path | None) -> LoadedSettings:
    """Read a TOML file of settings; where there is none they are the defaults.

    With `path` None the system's file is read if it is there. Raises SettingsError that names the
    file and the key when a file is missing, is not TOML, or has an unknown or wrong setting.
    """
    if path is None:
        if not CONFIG.is_file():
            return LoadedSettings(CONFIG, Settings())
        path = CONFIG
    try:
        with open_input(path) as file:
            data = file.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise SettingsError("larger than a settings file can be")
        tables = parse_toml(decode_toml(data))
        settings = apply_values(Settings(), tables)
    except OSError as error:
        advice = ": run the command with sudo" * isinstance(error, PermissionError)
        raise SettingsError(f"{path}: cannot be read ({error.strerror}){advice}") from None
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    keys = frozenset((table, key) for table, values in tables.items() for key in values)
    return LoadedSettings(path, settings, keys)


class EffectiveSetting(NamedTuple):
    """One setting with its `value` in TOML, its help and its origin.

    `origin` is "default", "page", "command line", or the file that names it; with `page` the owner
    may change it on the page.
    """

    table: str
    key: str
    value: str
    help: str
    origin: str
    page: bool

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


def list_settings(
    settings: Settings, loaded: LoadedSettings, changes: dict[str, dict[str, Any]] | None = None
) -> list[EffectiveSetting]:
    """Return every setting in force with its origin.

    `loaded` is the settings file and `changes` the page's changes; a value that neither of them
    nor the defaults explain comes from the command line.
    """
    changes = changes or {}
    without_command = apply_values(loaded.settings, changes)
    listed = []
    for table in dataclasses.fields(settings):
        section = getattr(settings, table.name)
        of_file = getattr(without_command, table.name)
        for each in dataclasses.fields(section):
            value = getattr(section, each.name)
            origin = str(loaded.file) if (table.name, each.name) in loaded.keys else "default"
            if each.name in changes.get(table.name, {}):
                origin = "page"
            if value != getattr(of_file, each.name):
                origin = "command line"
            text = json.dumps(_mask(each, value), ensure_ascii=False)
            help, page = each.metadata["help"], each.metadata["page"]
            listed.append(EffectiveSetting(table.name, each.name, text, help, origin, page))
    return listed


def parse_leds(spec: str, settings: LedSettings) -> LedSettings:
    """Return the LED settings with a SPEC such as `none`, `four` or `four:5,6,13,19` put in."""
    layout, _, pins = spec.partition(":")
    try:
        numbers = tuple(int(pin) for pin in pins.split(",")) if pins else ()
    except ValueError:
        raise SettingsError(
            f"invalid LEDs {spec!r}: after the colon stand BCM pin numbers with commas, "
            "as in four:5,6,13,19"
        ) from None
    return dataclasses.replace(settings, layout=layout, pins=numbers)


def decode_toml(data: bytes) -> str:
    """Return the text of a settings file, whichever editor wrote it; raises SettingsError."""
    try:
        return decode_file(data)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a settings file's text; raises SettingsError with the next step."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        what = str(error)[:200]
    step = "correct the text there"
    if "twice" in what:
        step = "put the lines of both into the one that was there before"
    raise SettingsError(f"not a TOML file: {what}: {step}")


def state_folder(given: str | None, settings: Settings) -> Path:
    """Return where the appliance writes: as given, as set, or the user's own state directory."""
    if given or settings.state.folder:
        return Path(given or settings.state.folder)
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        raise SettingsError(
            "this user has no home directory to write to: set 'folder' under [state] in digits.toml"
        ) from None
    return Path(base) / "digits"


def list_changeable() -> set[tuple[str, str]]:
    """Return the (table, key) of every setting that may be changed on the page."""
    return {
        (table.name, each.name)
        for table in dataclasses.fields(Settings)
        for each in dataclasses.fields(table.default)  # type: ignore[arg-type]
        if each.metadata["page"]
    }


def apply_values(settings: Settings, tables: dict[str, Any]) -> Settings:
    """Return the settings with the values of parsed TOML tables in place of their own.

    Raises SettingsError for an unknown or a wrong one.
    """
    sections = {each.name: getattr(settings, each.name) for each in dataclasses.fields(settings)}
    for name, values in tables.items():
        if name not in sections:
            raise SettingsError(f"unknown table [{name}]: the tables are {', '.join(sections)}")
        if not isinstance(values, dict):
            raise SettingsError(f"'{name}' must be a table, [{name}]")
        sections[name] = _apply_to_section(name, sections[name], values)
    return Settings(**sections)


def _apply_to_section(name: str, defaults: Any, values: dict[str, Any]) -> Any:
    known = {each.name: each for each in dataclasses.fields(defaults)}
    changed = {}
    for key, value in values.items():
        if key not in known:
            raise SettingsError(
                f"unknown setting '{key}' in [{name}]: the settings are {', '.join(known)}"
            )
        changed[key] = _convert(f"'{key}' in [{name}]", value, known[key])
    try:
        return dataclasses.replace(defaults, **changed)
    except SettingsError as error:
        raise SettingsError(f"[{name}] {error}") from None


def _convert(what: str, value: Any, each: "dataclasses.Field[Any]") -> Any:
    """Return a TOML value in the type of the setting's default; raises SettingsError."""
    default = each.default
    if isinstance(default, tuple) and isinstance(value, list):
        kind = str if default and isinstance(default[0], str) else int
        if all(type(each) is kind for each in value):
            return tuple(value)
    if isinstance(default, float) and type(value) is int:
        with suppress(OverflowError):
            return float(value)
    if type(value) is type(default):
        return value
    kinds = {int: "a whole number", float: "a number", str: "a text", tuple: "a list",
             bool: "true or false"}  # fmt: skip
    shown = _mask(each, value)
    raise SettingsError(f"invalid setting {what} = {shown!r}: must be {kinds[type(default)]}")


def template() -> str:
    """Return a settings file with every setting at its default and commented out, with its help."""
    lines = ["# Settings of the digit appliance. Take the # from a line to change what it sets;"]
    lines += ["# then: sudo systemctl restart digits"]
    defaults = Settings()
    for table in dataclasses.fields(defaults):
        lines += ["", f"[{table.name}]"]
        for each in dataclasses.fields(getattr(defaults, table.name)):
            lines += setting_lines(each)
    return "\n".join(lines) + "\n"


def setting_lines(each: "dataclasses.Field[Any]") -> list[str]:
    """Return a setting's lines in the settings file: its help, and its default as a comment."""
    return [f"# {each.metadata['help']}", f"#{each.name} = {json.dumps(each.default)}"]
