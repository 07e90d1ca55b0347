"""The counts for Prometheus, read back by Prometheus's own parser."""

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from appliance.device import machine
from appliance.outputs.latest import Latest
from appliance.outputs.metrics import SECONDS, Metrics, family
from appliance.reading import Reading
from tests.captured import added

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for told in text_string_to_metric_families(text)
        for sample in told.samples
    }


def read(digit: int | None, milliseconds: float = 20.0, reason: str | None = None) -> Reading:
    return Reading(at=0, digit=digit, milliseconds=milliseconds, reason=reason)


def test_readings_are_counted_by_digit_and_by_reason() -> None:
    metrics = Metrics()
    for reading in (
        *(read(digit) for digit in (7, 7, 0)),
        read(None, reason="blank"),
        read(None, reason="unsure between 4 and 9"),
        read(None, reason="unsure between 1 and 7"),
        Reading(at=0, fault="no camera"),
    ):
        metrics.show(reading)
    told = parsed("".join(metrics.families()))
    counts = {
        labels: value for (name, labels), value in told.items() if name == "digits_readings_total"
    }
    assert counts == {
        (("digit", "7"), ("reason", "")): 2,
        (("digit", "0"), ("reason", "")): 1,
        (("digit", "none"), ("reason", "blank")): 1,
        (("digit", "none"), ("reason", "unsure")): 2,
    }
    assert told["digits_faults_total", ()] == 1


def test_reading_times_are_a_histogram() -> None:
    metrics = Metrics()
    for milliseconds in (5, 10, 11, 240, 9000):
        metrics.show(read(1, milliseconds))
    told = parsed("".join(metrics.families()))
    buckets = [
        told["digits_reading_seconds_bucket", (("le", le),)] for le in (*map(str, SECONDS), "+Inf")
    ]
    # On a bound belongs to it.
    assert buckets == [2, 3, 3, 3, 4, 4, 4, 4, 5]
    assert told["digits_reading_seconds_count", ()] == 5
    assert told["digits_reading_seconds_sum", ()] == pytest.approx(9.266)


def test_labels_are_escaped() -> None:
    odd = 'a "quote", a \\ and\na line'
    told = parsed(family("x", "gauge", "X.", [("", {"l": odd}, 1.5)]))
    assert told == {("x", (("l", odd),)): 1.5}


def test_the_page_tells_of_all_parts(
    client: FlaskClient,
    latest: Latest,
    captures: object,
    a_seven: Reading,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "temperature", lambda: 48.3)
    latest.show(a_seven._replace(settled=7))
    added(captures)  # type: ignore[arg-type]
    answer = client.get("/metrics")
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    told = parsed(answer.text)
    values = {name: value for (name, labels), value in told.items() if not labels}
    assert values["digits_camera_up"] == 1
    assert values["digits_settled_digit"] == 7
    assert values["digits_captures"] == 1
    assert values["digits_training_running"] == 0
    assert values["digits_processor_celsius"] == 48.3
    assert values["digits_resident_bytes"] > 10_000_000
    ((labels, _),) = [(labels, v) for (name, labels), v in told.items() if name == "digits_info"]
    assert [name for name, _ in labels] == ["network", "version"]


def test_what_is_not_known_is_left_out(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "temperature", lambda: None)
    text = client.get("/metrics").text
    assert "celsius" not in text
    assert "camera_up" not in text
