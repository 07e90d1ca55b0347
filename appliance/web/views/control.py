"""The owner's switches over the API: settings, LEDs, the doctor, restart and power."""

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify

from appliance.device.control import Control
from appliance.errors import PinError, PowerError, SettingsError
from appliance.web.operation import operation
from appliance.web.problem import problem
from appliance.web.request_args import Schemas

# Only annotations need them: a start does without.
if TYPE_CHECKING:
    from appliance.web import schemas

_SETTING: Schemas = {
    "table": {"type": "string", "examples": ["reader"]},
    "key": {"type": "string", "examples": ["agree"]},
    "value": {"description": "null takes the settings file's value", "examples": [5]},
}


def blueprint(control: Control) -> Blueprint:
    """Return the routes over the appliance's switches, and the last lines of its log."""
    routes = Blueprint("control", __name__, url_prefix="/api/v1")

    @routes.errorhandler(PinError)
    @routes.errorhandler(PowerError)
    def refuse_here(error: Exception) -> Response:
        return problem(409, str(error))

    @routes.errorhandler(SettingsError)
    def refuse_setting(error: SettingsError) -> Response:
        return problem(400, str(error))

    @routes.get("/log")
    @operation("The last lines of the log, the oldest first")
    def log() -> "schemas.Log":
        last = control.lines.last()
        return {"lines": [{"at": at, "level": level, "text": text} for at, level, text in last]}

    @routes.post("/doctor")
    @operation("Make all the checks of 'digits doctor'")
    def doctor() -> "schemas.Findings | Response":
        findings = control.run_doctor()
        if findings is None:
            sentence = "all is being checked already: ask again in a few seconds"
            return problem(503, sentence, retry_after=5)
        return jsonify(findings=findings)

    @routes.post("/leds/test")
    @operation("Light each LED in turn", status=202, refuses=(409,))
    def leds() -> "schemas.Started":
        control.test_leds()
        return {"said": "each LED is lit in turn"}

    @routes.patch("/settings")
    @operation("Change a setting from the next start on", body=_SETTING)
    def settings(table: str, key: str, value: Any) -> "schemas.Started":
        control.changes.change(table, key, value)
        return {"said": "it is kept, and counts from the next start on"}

    @routes.post("/device/start-again")
    @operation("Restart the appliance", status=202)
    def start_again() -> "schemas.Started":
        control.restart()
        return {"said": "the appliance starts again"}

    @routes.post("/device/reboot")
    @operation("Restart the machine", status=202, refuses=(409,))
    def reboot() -> "schemas.Started":
        control.power("reboot")
        return {"said": "the machine restarts: the page is back in a minute or two"}

    @routes.post("/device/power-off")
    @operation("Switch the machine off", status=202, refuses=(409,))
    def power_off() -> "schemas.Started":
        control.power("power-off")
        return {"said": "the machine switches off: wait until its light is dark, then unplug it"}

    return routes
