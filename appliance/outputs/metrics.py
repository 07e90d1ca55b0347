"""Counts of what was read, and how long it took, for Prometheus."""

import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from appliance.reading import Reading

# Imported when somebody asks: the start does without.
if TYPE_CHECKING:
    from prometheus_client.core import Metric

BUCKETS = 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5
"""Upper bounds of the histogram of reading times, in seconds; a Pi Zero takes a few tenths."""


class Metrics:
    """Counts of readings since the start; a collector for a registry of prometheus-client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readings: Counter[tuple[str, str]] = Counter()
        self._faults = 0
        self._in_bucket = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def show(self, reading: Reading) -> None:
        with self._lock:
            if reading.fault is not None:
                self._faults += 1
                return
            digit = "none" if reading.digit is None else str(reading.digit)
            self._readings[digit, _kind(reading.reason)] += 1
            seconds = reading.milliseconds / 1000
            self._seconds += seconds
            self._in_bucket[sum(seconds > bound for bound in BUCKETS)] += 1

    def close(self) -> None:
        """Do nothing: no resource is held."""

    def collect(self) -> Iterator["Metric"]:
        """Yield the counts as prometheus-client's metric families."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        with self._lock:
            counts, faults = dict(self._readings), self._faults
            in_bucket, seconds = list(self._in_bucket), self._seconds
        readings = CounterMetricFamily(
            "digits_readings",
            "Frames that were read, by the digit or the reason that there is none.",
            labels=["digit", "reason"],
        )
        for labels, count in sorted(counts.items()):
            readings.add_metric(labels, count)
        yield readings
        yield CounterMetricFamily(
            "digits_faults", "Readings that failed, for want of a frame or by a defect.", faults
        )
        bounds = [*map(str, BUCKETS), "+Inf"]
        totals = [sum(in_bucket[: place + 1]) for place in range(len(bounds))]
        yield HistogramMetricFamily(
            "digits_reading_seconds",
            "How long reading a frame took.",
            buckets=list(zip(bounds, totals, strict=True)),
            sum_value=seconds,
        )


def _kind(reason: str | None) -> str:
    """Return a reason without its digits: each pair of them would be a series of its own."""
    return "unsure" if reason and reason.startswith("unsure") else reason or ""
