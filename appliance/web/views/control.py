"""The owner's switches over the API: test the LEDs, change settings, start again, switch off."""

from flask import Blueprint, Response, jsonify

from appliance.device.control import Control
from appliance.errors import PinError, PowerError, SettingsError
from appliance.web.problem import problem
from appliance.web.request_args import json_body


def blueprint(control: Control) -> Blueprint:
    """Return the routes over the appliance's switches, and the log's last lines."""
    routes = Blueprint("control", __name__, url_prefix="/api/v1")

    @routes.errorhandler(PinError)
    @routes.errorhandler(PowerError)
    def not_here(error: Exception) -> Response:
        return problem(409, str(error))

    @routes.errorhandler(SettingsError)
    def wrong(error: SettingsError) -> Response:
        return problem(400, str(error))

    @routes.get("/log")
    def log() -> Response:
        last = control.lines.last()
        return jsonify(lines=[{"at": at, "level": level, "text": text} for at, level, text in last])

    @routes.post("/doctor")
    def doctor() -> Response:
        findings = control.examined()
        if findings is None:
            sentence = "all is being checked already: ask again in a few seconds"
            return problem(503, sentence, retry_after=5)
        return jsonify(findings=findings)

    @routes.post("/leds/test")
    def leds() -> Response:
        control.test_leds()
        return _accepted("each LED is lit in turn")

    @routes.patch("/settings")
    def settings() -> Response:
        body = json_body()
        if not isinstance(body, dict) or "value" not in body:
            raise SettingsError(
                'the body must be {"table": "reader", "key": "agree", "value": 5}; null takes the '
                "settings file's value"
            )
        table, key = body.get("table"), body.get("key")
        if not isinstance(table, str) or not isinstance(key, str):
            raise SettingsError("'table' and 'key' are texts, such as reader and agree")
        control.changes.change(table, key, body["value"])
        return jsonify(said="it is kept, and counts from the next start on")

    @routes.post("/device/start-again")
    def start_again() -> Response:
        control.start_again()
        return _accepted("the appliance starts again")

    @routes.post("/device/reboot")
    def reboot() -> Response:
        control.power("reboot")
        return _accepted("the machine restarts: the page is back in a minute or two")

    @routes.post("/device/power-off")
    def power_off() -> Response:
        control.power("power-off")
        return _accepted("the machine switches off: wait until its light is dark, then unplug it")

    return routes


def _accepted(words: str) -> Response:
    response = jsonify(said=words)
    response.status_code = 202
    return response
