"""The counts and gauges for Prometheus, read back by Prometheus's own parser."""

import os
import subprocess
import sys

import pytest
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from appliance.captures.store import Captures
from appliance.device import machine
from appliance.outputs.latest import Latest
from appliance.outputs.metrics import BUCKETS, Metrics
from appliance.reading import Reading
from tests.captured import add_capture

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parse(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def expose(metrics: Metrics) -> Samples:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    return parse(generate_latest(registry).decode())


def reading_of(digit: int | None, milliseconds: float = 20.0, reason: str | None = None) -> Reading:
    return Reading(at=0, digit=digit, milliseconds=milliseconds, reason=reason)


def test_readings_are_counted_by_digit_and_by_reason() -> None:
    metrics = Metrics()
    for reading in (
        *(reading_of(digit) for digit in (7, 7, 0)),
        reading_of(None, reason="blank"),
        reading_of(None, reason="unsure between 4 and 9"),
        reading_of(None, reason="unsure between 1 and 7"),
        Reading(at=0, fault="no camera"),
    ):
        metrics.show(reading)
    samples = expose(metrics)
    counts = {
        labels: value
        for (name, labels), value in samples.items()
        if name == "digits_readings_total"
    }
    assert counts == {
        (("digit", "7"), ("reason", "")): 2,
        (("digit", "0"), ("reason", "")): 1,
        (("digit", "none"), ("reason", "blank")): 1,
        (("digit", "none"), ("reason", "unsure")): 2,
    }
    assert samples["digits_faults_total", ()] == 1


def test_reading_times_are_a_histogram() -> None:
    metrics = Metrics()
    for milliseconds in (5, 10, 11, 240, 9000):
        metrics.show(reading_of(1, milliseconds))
    samples = expose(metrics)
    buckets = [
        samples["digits_reading_seconds_bucket", (("le", le),)]
        for le in (*map(str, BUCKETS), "+Inf")
    ]
    # A bucket includes its bound.
    assert buckets == [2, 3, 3, 3, 4, 4, 4, 4, 5]
    assert samples["digits_reading_seconds_count", ()] == 5
    assert samples["digits_reading_seconds_sum", ()] == pytest.approx(9.266)


def test_the_route_exposes_every_part(
    client: FlaskClient,
    latest: Latest,
    captures: Captures,
    a_seven: Reading,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "temperature", lambda: 48.3)
    latest.show(a_seven._replace(settled=7))
    add_capture(captures)
    answer = client.get("/metrics")
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    samples = parse(answer.text)
    values = {name: value for (name, labels), value in samples.items() if not labels}
    assert values["digits_camera_up"] == 1
    assert values["digits_settled_digit"] == 7
    assert values["digits_captures"] == 1
    assert values["digits_training_running"] == 0
    assert values["digits_processor_celsius"] == 48.3
    assert values["digits_resident_bytes"] > 10_000_000
    assert values["digits_threads"] >= 1
    with open(os.devnull):
        held = parse(client.get("/metrics").text)["digits_open_files", ()]
    assert held == values["digits_open_files"] + 1
    ((labels, _),) = [(labels, v) for (name, labels), v in samples.items() if name == "digits_info"]
    assert [name for name, _ in labels] == ["network", "version"]


def test_unknown_values_are_left_out(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "temperature", lambda: None)
    text = client.get("/metrics").text
    assert "celsius" not in text
    assert "camera_up" not in text


def test_the_library_starts_no_thread_and_adds_no_metrics_of_its_own(client: FlaskClient) -> None:
    script = "import threading, prometheus_client; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr
    names = {name for name, _ in parse(client.get("/metrics").text)}
    assert all(name.startswith("digits_") for name in names)
