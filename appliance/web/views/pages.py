"""The pages that a script fills from the API; the newest reading is there without one."""

from flask import Blueprint, Response, g, render_template, request

from appliance.outputs.latest import STARTING, Latest
from appliance.reading import Reading
from appliance.web.cache import set_etag
from appliance.web.draw.pictures import encode_stage
from appliance.web.operation import operation
from appliance.web.problem import problem
from appliance.web.request_args import Schemas

_STAGE: Schemas = {
    "name": {"type": "string", "enum": ["frame", "ink", "mark", "glyph"], "description": "which"}
}


def blueprint(latest: Latest) -> Blueprint:
    """Return the routes of the pages, and of the newest reading's pictures."""
    routes = Blueprint("page", __name__)

    @routes.get("/")
    def now() -> str:
        _, newest = latest.newest()
        if newest is None or "instead" in g:
            newest = Reading(at=0, fault=g.get("instead", STARTING))
        return render_template("now.html", reading=newest)

    @routes.get("/teach")
    def teach() -> str:
        return render_template("teach.html")

    @routes.get("/training")
    def training() -> str:
        return render_template("training.html")

    @routes.get("/api/v1/reading/<name>")
    @operation(
        "One picture of the newest reading, a JPEG for the frame and a PNG else; it has an ETag",
        path=_STAGE,
        gives=("image/jpeg", "image/png"),
    )
    def picture(name: str) -> Response:
        number, newest = latest.newest()
        encoded = encode_stage(newest, name) if newest else None
        if encoded is None:
            return problem(404, f"the newest reading has no {name}: nothing was found in view")
        data, mimetype = encoded
        response = Response(data, mimetype=mimetype)
        set_etag(response, f"{number}-{newest.at if newest else 0}-{name}")
        response.make_conditional(request)
        return response

    return routes
