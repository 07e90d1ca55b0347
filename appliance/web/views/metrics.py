"""GET /metrics: what was read, and the machine's state, in Prometheus's text format."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from appliance import __version__
from appliance.captures.store import Captures
from appliance.device import machine
from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import Latest
from appliance.outputs.metrics import Metrics
from appliance.training.process import TrainingProcess
from appliance.web.operation import operation

# Imported when somebody asks: the start does without.
if TYPE_CHECKING:
    from prometheus_client.core import Metric

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Gauges:
    """What is true now; a collector for a registry of prometheus-client."""

    def __init__(
        self, latest: Latest, captures: Captures, networks: LiveNetwork, training: TrainingProcess
    ) -> None:
        self._latest, self._captures = latest, captures
        self._networks, self._training = networks, training

    def collect(self) -> Iterator["Metric"]:
        """Yield what is known as prometheus-client's metric families."""
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        about = {"version": __version__, "network": str(self._networks.card()["id"])}
        yield InfoMetricFamily("digits", "What reads.", about)
        for name, help, value in self._values():
            if value is not None:
                yield GaugeMetricFamily(f"digits_{name}", help, value)

    def _values(self) -> Iterator[tuple[str, str, float | None]]:
        """Yield (name, help, value), None for what is not known."""
        _, newest = self._latest.newest()
        if newest is not None:
            settled = -1 if newest.settled is None else newest.settled
            yield "camera_up", "Whether the last reading had a frame.", newest.fault is None
            yield "settled_digit", "The digit that is shown; -1 for none.", settled
        age, memory = self._latest.seconds_since(), machine.memory()
        total = sum(self._captures.count_labels().values())
        yield "seconds_since_reading", "Seconds since the last reading was shown.", age
        yield "captures", "Captures that are kept.", total
        yield "training_running", "Whether a training runs.", self._training.is_running()
        yield "processor_celsius", "Temperature of the processor.", machine.temperature()
        yield "resident_bytes", "Memory of this process in RAM.", memory.resident
        yield (
            "open_files",
            "Files, sockets and pipes that this process holds.",
            machine.open_files(),
        )
        yield "threads", "Threads of this process.", threading.active_count()
        yield "available_bytes", "Memory of the machine that is free to use.", memory.available
        yield "uptime_seconds", "Seconds since the machine started.", machine.uptime()


def blueprint(
    *,
    metrics: Metrics,
    latest: Latest,
    captures: Captures,
    networks: LiveNetwork,
    training: TrainingProcess,
) -> Blueprint:
    """Return the route over these parts."""
    routes = Blueprint("metrics", __name__)
    gauges = Gauges(latest, captures, networks, training)

    @routes.get("/metrics")
    @operation("Counts and gauges in Prometheus's text format", gives=("text/plain",))
    def expose() -> Response:
        from prometheus_client import CollectorRegistry, generate_latest

        # Not the library's own registry, which collects facts about Python as well.
        registry = CollectorRegistry(auto_describe=False)
        registry.register(gauges)
        registry.register(metrics)
        return Response(generate_latest(registry), content_type=_CONTENT_TYPE)

    return routes
