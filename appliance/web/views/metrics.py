"""GET /metrics: what was read, and how the machine does, in Prometheus's text format."""

from flask import Blueprint, Response

from appliance import __version__
from appliance.captures.store import Captures
from appliance.device import machine
from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import Latest
from appliance.outputs.metrics import Metrics, family
from appliance.training.process import TrainingProcess
from appliance.web.operation import operation


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

    def gauges() -> list[tuple[str, str, float | None]]:
        """Return (name, help, value) of what is now; a value that is not known is None."""
        _, newest = latest.newest()
        memory = machine.memory()
        return [
            ("digits_camera_up", "Whether the last reading had a frame.",
             None if newest is None else float(newest.fault is None)),
            ("digits_settled_digit", "The digit that is shown; -1 for none.",
             None if newest is None else float(-1 if newest.settled is None else newest.settled)),
            ("digits_seconds_since_reading", "Seconds since the last reading was shown.",
             latest.seconds_since()),
            ("digits_captures", "Captures that are kept.",
             float(sum(captures.counts().values()))),
            ("digits_training_running", "Whether a training runs.", float(training.is_running())),
            ("digits_processor_celsius", "Temperature of the processor.", machine.temperature()),
            ("digits_resident_bytes", "Memory of this process in RAM.", memory.resident),
            ("digits_available_bytes", "Memory of the machine that is free to use.",
             memory.available),
            ("digits_uptime_seconds", "Seconds since the machine started.", machine.uptime()),
        ]  # fmt: skip

    @routes.get("/metrics")
    @operation("Counts and gauges in Prometheus's text format", gives=("text/plain",))
    def told() -> Response:
        about = {"version": __version__, "network": str(networks.card()["id"])}
        families = [
            family("digits_info", "gauge", "What reads.", [("", about, 1.0)]),
            *metrics.families(),
            *(
                family(name, "gauge", help, [("", {}, value)])
                for name, help, value in gauges()
                if value is not None
            ),
        ]
        return Response("".join(families), content_type="text/plain; version=0.0.4; charset=utf-8")

    return routes
