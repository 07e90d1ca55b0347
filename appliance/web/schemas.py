"""What the API answers: each type is a JSON object, and a schema of the API's description.

mypy holds what the views return to these types, tests what they really send. A start does without
this module: views import it for their annotations alone.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from appliance.captures.audit import Suspect
from appliance.networks.vault import Entry
from appliance.reading import Exposure
from appliance.settings.schema import EffectiveSetting
from model.calibration import Bin
from model.network import NOT_A_DIGIT

Time = Annotated[float, ("description", "Unix seconds")]
Probability = Annotated[float, ("minimum", 0), ("maximum", 1)]
Digit = Annotated[int, ("minimum", 0), ("maximum", 9)]
Label = Annotated[int, ("minimum", 0), ("maximum", NOT_A_DIGIT), ("description", "10: not a digit")]
Counts = Annotated[list[int], ("minItems", NOT_A_DIGIT + 1), ("maxItems", NOT_A_DIGIT + 1)]
DataUrl = Annotated[str, ("description", "a data URL")]


class Problem(TypedDict):
    """An error as RFC 9457 problem details; `detail` is a sentence for a person."""

    title: str
    status: int
    detail: str


class Started(TypedDict):
    """What happens now, in a sentence."""

    said: str


# ---- readings ----


class Mark(TypedDict):
    """The answer to one mark; `box` is x0, y0, x1, y1 in the frame's pixels."""

    digit: Digit | None
    reason: str | None
    confidence: Probability
    probabilities: Annotated[list[Probability], ("minItems", 10), ("maxItems", 10)]
    box: Annotated[list[int], ("minItems", 4), ("maxItems", 4)] | None


class Strip(TypedDict):
    """The pictures of the stages from the frame to the network's input."""

    frame: DataUrl | None
    ink: DataUrl | None
    mark: DataUrl | None
    glyph: DataUrl | None


class PictureReading(Mark):
    """A reading of one picture; `frame` is its width and height."""

    number: int
    at: Time
    frame: Annotated[list[int], ("minItems", 2), ("maxItems", 2)] | None
    milliseconds: float
    marks: list[Mark]
    strip: NotRequired[Strip]


class Reading(PictureReading):
    """The newest reading; `settled` is the digit that several readings agree on."""

    state: Literal["ready", "looking", "error"]
    settled: Digit | None
    fault: str | None


class HistoryEntry(TypedDict):
    """A reading that changed the answer."""

    id: int
    at: Time
    digit: Digit | None
    reason: str | None
    confidence: Probability
    glyph: DataUrl | None


class History(TypedDict):
    """Readings that changed the answer, and a notice if older ones were lost."""

    readings: list[HistoryEntry]
    notice: str | None


# ---- the device ----


class Camera(TypedDict):
    """Where frames come from, and whether they come."""

    source: str
    fault: str | None
    seconds_since_reading: float | None


class CurrentNetwork(TypedDict):
    """Facts from the card of the network that reads, and what is wrong with it."""

    id: str
    preset: str | None
    sha256: str | None
    parameters: int | None
    test: dict[str, Any] | None
    problem: str | None


class Pins(TypedDict):
    """Why the LEDs or the button are not there though they are set; the appliance works without."""

    leds: str | None
    button: str | None


class Health(TypedDict):
    """Whether the appliance works, and what is wrong if it does not."""

    status: Literal["ok", "fault"]
    version: str
    readings: int
    problems: list[str]
    camera: Camera
    network: CurrentNetwork
    pins: Pins


class Device(TypedDict):
    """The machine and its state."""

    name: str
    addresses: list[str]
    version: str
    python: str
    machine: str
    libraries: dict[str, str]
    network: str
    fault: str | None
    reading_milliseconds: float | None
    exposure: Exposure | None
    celsius: float | None
    power: str | None
    power_before: str | None
    memory_resident_bytes: int | None
    memory_available_bytes: int | None
    disk_free_bytes: int | None
    uptime_seconds: float
    time: Time
    clock_is_set: bool
    clock_behind_seconds: float
    update_given_up: str | None


class Setting(EffectiveSetting):
    """One setting: its value as digits.toml has it, and where that comes from."""


class Settings(TypedDict):
    """All settings; `waiting` is true if a change waits for the next start."""

    settings: list[Setting]
    waiting: bool


class LogLine(TypedDict):
    """One line of the log."""

    at: Time
    level: str
    text: str


class Log(TypedDict):
    """The last lines of the log."""

    lines: list[LogLine]


class Finding(TypedDict):
    """One check of the doctor; `good` is null if this machine cannot tell."""

    what: str
    good: bool | None
    sentence: str


class Findings(TypedDict):
    """All checks of the doctor."""

    findings: list[Finding]


class Session(TypedDict):
    """Whether the browser is the owner's; the token that changes need; whether a PIN is set."""

    owner: bool
    token: str | None
    pin: bool


# ---- captures ----


class Capture(TypedDict):
    """A capture: its label, and what the network had answered."""

    id: int
    at: Time
    label: Label
    said: Digit | None
    reason: str | None
    confidence: Probability
    network: str
    corrected: bool
    held_out: bool
    glyph: DataUrl | None


class Captures(TypedDict):
    """Captures, and how many there are of each label."""

    captures: list[Capture]
    counts: Counts
    total: int
    limit: int
    notice: str | None


class Report(TypedDict):
    """Which captures look mislabelled, which look alike, and whether there are enough."""

    counts: Counts
    to_learn: int
    corrected: int
    held_out: int
    enough: bool
    mislabelled: list[Suspect]
    alike: list[list[int]]
    sentences: list[str]


class Imported(TypedDict):
    """How many captures were added, and how many were there already."""

    added: int
    known: int


# ---- networks and training ----


class Network(Entry):
    """One network and its card."""

    state: Literal["current", "previous", "candidate", "shipped", "damaged"]


class ReadingNetwork(TypedDict):
    """The network that reads; `file` if the settings name one."""

    id: str
    problem: str | None
    file: str | None


class Networks(TypedDict):
    """All networks, the one that reads, and the one that a roll-back would read with."""

    networks: list[Network]
    reads: ReadingNetwork
    before: str | None


class Training(TypedDict):
    """What the training does, what came of the last nights, and whether one can start."""

    running: bool
    sentence: str
    progress: dict[str, Any] | None
    curve: Annotated[str, ("description", "changes with the curve")] | None
    nights: list[dict[str, Any]]
    enough: str
    worth: bool
    captures: int
    may_begin: bool


# ---- inside the network ----


class Layer(TypedDict):
    """One layer; its shape is channels, rows and columns, or units."""

    kind: str
    shape: Annotated[list[int], ("minItems", 1), ("maxItems", 3)]
    parameters: int
    multiply_adds: int


class WrongAnswer(TypedDict):
    """A test digit that the network gets wrong; `number` is its place in MNIST."""

    number: int
    label: Digit
    answer: Label
    confidence: Probability
    glyph: DataUrl | None


class Evaluation(TypedDict):
    """The network's answers to MNIST's test digits."""

    accuracy: Probability
    right: int
    total: int
    refused: int
    confusion: Annotated[list[Counts], ("minItems", 10), ("maxItems", 10)]
    calibration_error: Probability
    bins: list[Bin]
    wrong: list[WrongAnswer]


class Inside(TypedDict):
    """The layers of the network that reads, its first filters, and its evaluation."""

    id: str
    layers: list[Layer]
    filters: list[DataUrl]
    report: Evaluation | None
