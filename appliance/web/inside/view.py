"""The routes of the view Inside: the network's filters, one digit layer by layer, its mistakes.

The view needs no script. What costs a Pi Zero time is made once: a network's pictures when it
begins to read, a digit's steps when somebody first looks at them.
"""

import json
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from flask import Blueprint, Response, render_template, request

from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import Latest, Recent
from appliance.reader.reader import Reader
from appliance.storage.rows import MAX_ID
from appliance.web.cache import Cache, set_etag
from appliance.web.inside.digit import Digits
from appliance.web.language import request_texts
from appliance.web.operation import operation
from appliance.web.problem import problem
from appliance.web.request_args import int_arg
from model.network import NOT_A_DIGIT

# Imported where somebody looks: the start does without.
if TYPE_CHECKING:
    from appliance.web import schemas
    from appliance.web.inside.network_view import NetworkView
    from appliance.web.inside.steps import StepView

_KEPT_STEPS, _KEPT_PAGES = 12, 30


def blueprint(
    *,
    reader: Reader,
    networks: LiveNetwork,
    latest: Latest,
    drawn: Recent,
    clock: Callable[[], float] = time.monotonic,
) -> Blueprint:
    """Return the routes; `drawn` has the readings of pictures that were drawn or sent."""
    routes = Blueprint("inside", __name__)
    digits = Digits(latest, drawn, clock)
    views: Cache[NetworkView] = Cache()
    steps_cache: Cache[list[StepView]] = Cache(_KEPT_STEPS)
    json_cache, page_cache = Cache[bytes](), Cache[bytes](_KEPT_PAGES)
    # The numbers of readings start again at each start; an older ETag must not match then.
    boot = secrets.token_hex(4)

    def current_network() -> tuple[str, "NetworkView"]:
        """Return a stamp that changes with the network and its report, and the network's view."""
        networks.refresh()
        # The id before the network: if a promotion comes between, the stamp is the old one and
        # the view is made again.
        id, network = reader.id, reader.network
        file = networks.vault.report_file(id[:12])
        # During a promotion the card may still be that of the network before.
        stamp = f"{boot}-{id[:12]}-{networks.id}"
        with suppress(OSError):
            status = file.stat()
            stamp += f"-{status.st_mtime_ns}-{status.st_size}"

        def make_view() -> "NetworkView":
            from appliance.web.inside.network_view import NetworkView

            return NetworkView(network, id, file)

        return stamp, views.get(stamp, make_view)

    @routes.get("/api/v1/inside")
    @operation("The network that reads from inside, and how well it reads MNIST; it has an ETag")
    def api() -> "schemas.Inside | Response":
        stamp, network = current_network()
        if stamp in request.if_none_match:
            return set_etag(Response(status=304), stamp)
        body = json_cache.get(stamp, lambda: json.dumps(network.to_json()).encode())
        return set_etag(Response(body, mimetype="application/json"), stamp)

    @routes.get("/inside")
    def page() -> Response:
        stamp, network = current_network()
        digit, gone = digits.requested()
        layer, t = int_arg("layer", 1, MAX_ID) or 1, request_texts()
        uploads, from_camera = digits.from_uploads(), digits.from_camera() is not None
        numbers = "".join(f"{each.number}" for each in uploads)
        etag = f"{stamp}{digit.key}{gone:d}{from_camera:d}.{layer}.{t.language}{numbers}"
        if etag in request.if_none_match:
            return set_etag(Response(status=304), etag)

        def render_page() -> bytes:
            from appliance.web.inside import steps as s
            from appliance.web.inside.feature_maps import render_colour_scale
            from appliance.web.inside.network_view import report_command
            from appliance.web.inside.reliability import render_reliability_diagram

            steps = steps_cache.get(
                (stamp, digit.key), lambda: s.trace_steps(network.tracer, digit.glyph)
            )
            # A network that was promoted meanwhile may have fewer layers.
            number = min(layer, len(steps))
            step, report = steps[number - 1], network.report
            page = render_template(
                "inside.html",
                digit=digit,
                gone=gone,
                uploads=uploads,
                from_camera=from_camera,
                steps=steps,
                step=step,
                number=number,
                bars=step.render_bars(t),
                answer=s.likeliest_answer(steps[-1].values, t),
                not_a_digit=NOT_A_DIGIT,
                least=round(100 * reader.least_confidence),
                colour_scale=render_colour_scale(),
                network=network,
                stamp=stamp,
                filter_results=s.first_filter_results(steps),
                facts=network.facts(networks.card(), t),
                reliability=report and render_reliability_diagram(report.bins, t),
                command=report_command(networks, network.id),
                card=None if networks.configured_file else network.id,
            )
            return page.encode()

        response = Response(page_cache.get(etag, render_page), mimetype="text/html")
        return set_etag(response, etag)

    @routes.get("/inside/wrong.png")
    def wrong_digits() -> Response:
        stamp, network = current_network()
        if network.wrong_png is None:
            return problem(404, "there are no pictures of what this network got wrong")
        response = Response(network.wrong_png, mimetype="image/png")
        if request.args.get("of") == stamp:
            response.headers["Cache-Control"] = "private, max-age=86400"
            return response
        return set_etag(response, stamp)

    return routes
