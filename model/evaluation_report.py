"""How a network reads a data set: its confusion, calibration and errors, as a small JSON file."""

import base64
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.calibration import Bin, calibration_error, reliability
from model.datasets import Bytes, Split
from model.errors import ReportError
from model.evaluate import Predictions, Tally, count_answers
from model.files import open_regular
from model.network import DIGITS, NOT_A_DIGIT, Network
from model.weights import SHIPPED, checksum

FORMAT = 1
OF_SHIPPED = SHIPPED.with_name("appliance.report.json")
"""The report of the shipped network."""
MOST_WRONG = 48
_MOST_BYTES = 500_000
_PIXELS = 784


@dataclass(frozen=True)
class Wrong:
    """A digit that was read wrong; `number` is its row in the data set.

    `answer` is 0…9, or NOT_A_DIGIT. `pixels` are uint8 (784,), or None where they are left out.
    """

    number: int
    label: int
    answer: int
    confidence: float
    pixels: Bytes | None = field(repr=False)


@dataclass(frozen=True)
class Report:
    """How the network of a sha256 reads a data set.

    `confusion` is (10, 11) counts as in `Tally`; `bins` and `calibration_error` are of all answers;
    `wrong` are up to 48 errors, the most confident first. `data` has the checksums of the files.
    """

    network: str
    confusion: npt.NDArray[np.int64]
    calibration_error: float
    bins: tuple[Bin, ...]
    wrong: tuple[Wrong, ...]
    data: dict[str, str] = field(default_factory=dict)

    @property
    def tally(self) -> Tally:
        return Tally(self.confusion)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "network": self.network,
            "data": self.data,
            "confusion": self.confusion.tolist(),
            "calibration_error": self.calibration_error,
            "bins": [asdict(each) for each in self.bins],
            "wrong": [
                {**asdict(each), "pixels": None if each.pixels is None else _to_base64(each.pixels)}
                for each in self.wrong
            ],
        }


def make_report(
    network: Network, data: Split, predictions: Predictions, *, pixels: bool = True
) -> Report:
    """Return the report of a network's predictions on `data`, with the errors' `pixels` or not."""
    answers, confidence = predictions
    right = answers == data.labels
    wrong = np.flatnonzero(~right)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_WRONG]
    images, labels = data.take(wrong)
    return Report(
        network=checksum(network),
        confusion=count_answers(data.labels, answers, confidence).confusion,
        calibration_error=round(calibration_error(confidence, right), 6),
        bins=tuple(_round_bin(each) for each in reliability(confidence, right)),
        wrong=tuple(
            Wrong(
                number=int(number),
                label=int(label),
                answer=int(answers[number]),
                confidence=round(float(confidence[number]), 4),
                pixels=image if pixels else None,
            )
            for number, label, image in zip(wrong, labels, images, strict=True)
        ),
        data=dict(data.checksums),
    )


def to_bytes(report: Report) -> bytes:
    """Return a report as the bytes of its file: a line for each row, bin and error."""
    parts = []
    for key, value in report.to_json().items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        parts.append(f" {json.dumps(key)}: {text}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def load(file: Path, network: str) -> Report | None:
    """Return the report of the network with sha256 `network`, None without a file or of another.

    Raises ReportError for a damaged file.
    """
    try:
        with open(file, "rb", opener=open_regular) as opened:
            content = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReportError(f"{file}: the report cannot be read ({error.strerror})") from None
    try:
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        report = _parse(json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ReportError(
            f"{file}: not a whole report: write it again with 'digits evaluate --report'"
        ) from None
    return report if report.network == network else None


def _parse(content: dict[str, Any]) -> Report:
    """Return a report from its JSON; raises a builtin error for anything else."""
    confusion = np.array(content["confusion"])
    if content["format"] != FORMAT or confusion.shape != (DIGITS, NOT_A_DIGIT + 1):
        raise ValueError
    # Whole numbers have the machine's own width: 32 bits on a Pi Zero.
    if confusion.dtype.kind != "i" or confusion.min() < 0 or confusion.max() > 10**9:
        raise ValueError
    return Report(
        network=str(content["network"]),
        confusion=confusion.astype(np.int64),
        calibration_error=_share(content["calibration_error"]),
        bins=tuple(
            Bin(
                **{key: _share(each[key]) for key in ("low", "high", "confidence", "accuracy")},
                count=_int_up_to(each["count"], 10**9),
            )
            for each in content["bins"][:100]
        ),
        wrong=tuple(
            Wrong(
                number=_int_up_to(each["number"], 10**9),
                label=_int_up_to(each["label"], DIGITS - 1),
                answer=_int_up_to(each["answer"], NOT_A_DIGIT),
                confidence=_share(each["confidence"]),
                pixels=None if each["pixels"] is None else _from_base64(each["pixels"]),
            )
            for each in content["wrong"][:MOST_WRONG]
        ),
        data={str(name): str(sum) for name, sum in content["data"].items()},
    )


def _round_bin(each: Bin) -> Bin:
    shares = {name: value for name, value in asdict(each).items() if name != "count"}
    return Bin(**{name: round(value, 6) for name, value in shares.items()}, count=each.count)


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError
    return float(value)


def _int_up_to(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError
    return value


def _to_base64(pixels: Bytes) -> str:
    return base64.b64encode(pixels.tobytes()).decode()


def _from_base64(text: str) -> Bytes:
    pixels = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    if pixels.shape != (_PIXELS,):
        raise ValueError
    return pixels
