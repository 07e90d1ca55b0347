"""Counts of what was read, and how long it took, for Prometheus."""

import threading
from collections import Counter
from collections.abc import Iterable

from appliance.reading import Reading

SECONDS = 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5
"""The upper bounds of the histogram of reading times; a Pi Zero takes a few tenths."""

Sample = tuple[str, dict[str, str], float]


class Metrics:
    """Counts readings by their answer; `families` tells the counts since the start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, str]] = Counter()
        self._faults = 0
        self._times: Counter[int] = Counter()
        self._seconds = 0.0

    def show(self, reading: Reading) -> None:
        with self._lock:
            if reading.fault is not None:
                self._faults += 1
                return
            digit = "none" if reading.digit is None else str(reading.digit)
            self._answers[digit, _kind(reading.reason)] += 1
            seconds = reading.milliseconds / 1000
            self._seconds += seconds
            self._times[sum(seconds > bound for bound in SECONDS)] += 1

    def close(self) -> None:
        """Nothing is held open."""

    def families(self) -> list[str]:
        """Return the counts, each a family in Prometheus's text format."""
        with self._lock:
            answers, faults = dict(self._answers), self._faults
            times, seconds = dict(self._times), self._seconds
        total, buckets = 0, []
        for place, bound in enumerate((*SECONDS, float("inf"))):
            total += times.get(place, 0)
            le = "+Inf" if bound == float("inf") else str(bound)
            buckets.append(("_bucket", {"le": le}, float(total)))
        return [
            family(
                "digits_readings_total",
                "counter",
                "Frames that were read, by the digit or the reason that there is none.",
                [
                    ("", {"digit": digit, "reason": reason}, float(count))
                    for (digit, reason), count in sorted(answers.items())
                ],
            ),
            family(
                "digits_faults_total",
                "counter",
                "Readings that failed, for want of a frame or by a defect.",
                [("", {}, float(faults))],
            ),
            family(
                "digits_reading_seconds",
                "histogram",
                "How long reading a frame took.",
                [*buckets, ("_sum", {}, seconds), ("_count", {}, float(total))],
            ),
        ]


def family(name: str, kind: str, help: str, samples: Iterable[Sample]) -> str:
    """Return one family in Prometheus's text format, a sample (suffix, labels, value) a line.

    Source: prometheus.io/docs/instrumenting/exposition_formats.
    """
    lines = [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]
    for suffix, labels, value in samples:
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        number = int(value) if value == int(value) else value
        lines.append(f"{name}{suffix}{f'{{{told}}}' if told else ''} {number}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _kind(reason: str | None) -> str:
    """Return a reason without its digits: each pair of them would be a series of its own."""
    return "unsure" if reason and reason.startswith("unsure") else reason or ""
