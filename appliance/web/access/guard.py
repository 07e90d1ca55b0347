"""What is asked of every request before it is answered: to whom, from where, and by whom."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Flask, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.device.pin import Owner
from appliance.web.access.session import refuse_change, session_of
from appliance.web.problem import problem

_SAFE = "GET", "HEAD", "OPTIONS"
# A picture that is sent is read and forgotten; showing the PIN cannot need the PIN.
_ANYONES = "api.read", "session.begin", "session.end"
# The page without anything on it, which asks for the PIN; whether the appliance is well.
_PAGES = "history.page", "page.teach", "page.training", "inside.page", "device.page"
_SEEN_BY_ALL = "session.who", "page.now", "static", "api.health"
_NEEDS_PIN = "here looking needs the PIN as well: unlock the page with it"
# Pictures that are taken away, and what tells of the machine and who uses it.
_OWNERS = "teach.export", "control.log", "device.settings"
_OWNERS_ALONE = "only the owner may see this: show the PIN first"


def guard(app: Flask, owner: Owner, *, names: Iterable[str], look: str) -> None:
    """Have an application refuse what a stranger's page or hand asks for.

    `names` are the host names that it is asked by, beside every address; `look` is "anyone", or
    "owner" where looking needs the PIN as well.
    """
    known = {"localhost", *(name.lower() for name in names)}
    # The page itself asks for the PIN at once.
    app.config["LOOK"] = look

    @app.before_request
    def admitted() -> BaseResponse | None:
        host = _name(request.host)
        if host not in known and not _is_address(host):
            # A name of a stranger's that leads here: the browser would take us for that site.
            return problem(
                421,
                f"this appliance is not called {host[:60]!r}: ask for it by its address, or name "
                "it under [web] names in digits.toml",
            )
        if request.method not in _SAFE:
            if _from_elsewhere():
                return problem(403, "another site's page asked for this: use the appliance's own")
            if needs_owner(request.method, request.endpoint):
                return refuse_change(owner)
            return None
        if look == "owner" and not session_of(owner):
            # The page that asks for the PIN says it where the reading would stand.
            g.instead = _NEEDS_PIN
            if request.endpoint in _PAGES:
                return redirect(url_for("page.now"))
            if request.endpoint not in _SEEN_BY_ALL:
                return problem(401, _NEEDS_PIN)
        if needs_owner(request.method, request.endpoint) and not session_of(owner):
            return problem(401, _OWNERS_ALONE)
        return None

    @app.after_request
    def private(response: BaseResponse) -> BaseResponse:
        if request.endpoint == "static":
            return response
        # An answer may be another one for the owner, after a change and in another language.
        response.vary.add("Cookie")
        kept = response.cache_control
        if response.status_code >= 400 or request.endpoint in _OWNERS or kept.no_store:
            response.headers["Cache-Control"] = "no-store"
        elif not kept.max_age:
            response.headers["Cache-Control"] = "private, no-cache"
        return response


def needs_owner(method: str, endpoint: str | None) -> bool:
    """Tell whether a request is the owner's alone, even where anyone may look."""
    return endpoint in _OWNERS if method in _SAFE else endpoint not in _ANYONES


def _name(host: str) -> str:
    """Return the name or address in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return host


def _is_address(host: str) -> bool:
    # No name server has a word in an address.
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _from_elsewhere() -> bool:
    """Tell whether a browser says that another site's page sent the request."""
    origin = request.headers.get("Origin")
    if origin not in (None, f"http://{request.host}", f"https://{request.host}"):
        return True
    return request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
