"""The checks before a request is answered: to which host, from which site, by whom."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Flask, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.device.owner_pin import OwnerPin
from appliance.web.access.session import current_session, refuse_change
from appliance.web.problem import problem

_SAFE_METHODS = "GET", "HEAD", "OPTIONS"
# A picture that is sent is read and forgotten; showing the PIN cannot need the PIN.
_OPEN_TO_ALL = "api.read", "session.begin", "session.end"
# Where looking needs the PIN: the empty page, which asks for it, and whether the appliance is well.
_VISIBLE_WITHOUT_PIN = "session.who", "page.now", "static", "api.health"
_VIEWS = "history.page", "page.teach", "page.training", "inside.page", "device.page"
_NEEDS_PIN = "here looking needs the PIN as well: unlock the page with it"
# Pictures that are taken away, and what tells of the machine and who uses it.
_OWNER_ONLY = "teach.export", "control.log", "device.settings"
_OWNER_ONLY_REFUSAL = "only the owner may see this: show the PIN first"


def guard(app: Flask, owner: OwnerPin, *, names: Iterable[str], look: str) -> None:
    """Have an application refuse requests for other hosts, from other sites, or without the PIN.

    `names` are the host names that it answers to, beside every address; `look` is "anyone", or
    "owner" where looking needs the PIN as well.
    """
    known_names = {"localhost", *(name.lower() for name in names)}
    # The page's scripts ask for the PIN at once.
    app.config["LOOK"] = look

    @app.before_request
    def check_request() -> BaseResponse | None:
        host = _host_name(request.host)
        if host not in known_names and not _is_address(host):
            # DNS rebinding: the browser would take us for a stranger's site whose name leads here.
            return problem(
                421,
                f"this appliance is not called {host[:60]!r}: ask for it by its address, or name "
                "it under [web] names in digits.toml",
            )
        if request.method not in _SAFE_METHODS:
            if _is_cross_site():
                return problem(403, "another site's page asked for this: use the appliance's own")
            if needs_owner(request.method, request.endpoint):
                return refuse_change(owner)
            return None
        if look == "owner" and not current_session(owner):
            # The empty page says it where the reading would stand.
            g.instead = _NEEDS_PIN
            if request.endpoint in _VIEWS:
                return redirect(url_for("page.now"))
            if request.endpoint not in _VISIBLE_WITHOUT_PIN:
                return problem(401, _NEEDS_PIN)
        if needs_owner(request.method, request.endpoint) and not current_session(owner):
            return problem(401, _OWNER_ONLY_REFUSAL)
        return None

    @app.after_request
    def keep_out_of_shared_caches(response: BaseResponse) -> BaseResponse:
        if request.endpoint == "static":
            return response
        # The owner, or somebody in another language, may get another answer.
        response.vary.add("Cookie")
        cache_control = response.cache_control
        is_private = response.status_code >= 400 or request.endpoint in _OWNER_ONLY
        if is_private or cache_control.no_store:
            response.headers["Cache-Control"] = "no-store"
        elif not cache_control.max_age:
            response.headers["Cache-Control"] = "private, no-cache"
        return response


def needs_owner(method: str, endpoint: str | None) -> bool:
    """Tell whether a request is the owner's alone, even where anyone may look."""
    return endpoint in _OWNER_ONLY if method in _SAFE_METHODS else endpoint not in _OPEN_TO_ALL


def _host_name(host: str) -> str:
    """Return the name or address in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return host


def _is_address(host: str) -> bool:
    # An address comes from no name server, so nobody else can point it here.
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_cross_site() -> bool:
    """Tell whether the browser says that another site's page sent the request."""
    origin = request.headers.get("Origin")
    if origin not in (None, f"http://{request.host}", f"https://{request.host}"):
        return True
    return request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
