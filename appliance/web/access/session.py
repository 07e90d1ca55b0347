"""Who asks: anyone, who may look, or the owner, who has shown the PIN to this browser."""

import hmac
import secrets
from typing import NamedTuple

from flask import Blueprint, Response, jsonify, request
from itsdangerous import BadData, URLSafeTimedSerializer

from appliance.device.pin import Owner
from appliance.web.problem import problem
from appliance.web.request_args import json_body

COOKIE = "digits-owner"
HOURS = 12
"""So long the PIN need not be shown again."""
TOKEN = "X-CSRF-Token"
_LONGEST_COOKIE = 500
# On a card that is read-only these may help.
_KEEP_NOTHING = (
    "control.doctor", "control.leds", "control.start_again", "control.reboot", "control.power_off",
)  # fmt: skip


class Session(NamedTuple):
    """That the PIN was shown; `token` is sent with every change, as no other site knows it."""

    token: str


def session_of(owner: Owner) -> Session | None:
    """Return the session of the request that is being answered, None without the PIN."""
    cookie = request.cookies.get(COOKIE, "")
    if not cookie or len(cookie) > _LONGEST_COOKIE:
        return None
    try:
        told = _signer(owner).loads(cookie, max_age=HOURS * 3600)
    except BadData:
        return None
    # Whoever changes the PIN ends what was begun with the old one.
    if not isinstance(told, dict) or told.get("owner") != owner.id:
        return None
    return Session(str(told.get("token")))


def refuse_change(owner: Owner) -> Response | None:
    """Return why the request may not change anything, None where it may."""
    shut = owner.problem if request.endpoint in _KEEP_NOTHING else owner.shut
    if shut:
        return problem(503, shut)
    session = session_of(owner)
    if session is None:
        return problem(401, "only the owner may change this: show the PIN first")
    token = request.headers.get(TOKEN, "")
    if not hmac.compare_digest(token.encode(), session.token.encode()):
        return problem(
            403, f"a change is sent with the session's token in {TOKEN}: load the page again"
        )
    return None


def blueprint(owner: Owner) -> Blueprint:
    """Return the routes of the session: who asks, show the PIN, leave."""
    routes = Blueprint("session", __name__, url_prefix="/api/v1/session")

    def told(session: Session | None) -> Response:
        response = jsonify(
            owner=session is not None, token=session and session.token, pin=owner.known
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    @routes.get("")
    def who() -> Response:
        return told(session_of(owner))

    @routes.post("")
    def begin() -> Response:
        body = json_body()
        pin = body.get("pin") if isinstance(body, dict) else None
        if not isinstance(pin, str) or len(pin) > 64:
            return problem(400, 'the body must be {"pin": "123456"}, the PIN as a text')
        shut = owner.shut
        if shut and not owner.known:
            return problem(503, shut)
        refused = owner.check(pin.strip(), request.remote_addr or "")
        if refused is not None:
            wait = refused.seconds or None
            return problem(429 if refused.waiting else 403, refused.sentence, retry_after=wait)
        session = Session(secrets.token_urlsafe(18))
        response = told(session)
        response.set_cookie(
            COOKIE,
            _signer(owner).dumps({"owner": owner.id, "token": session.token}),
            max_age=HOURS * 3600,
            httponly=True,
            samesite="Strict",
        )
        return response

    @routes.delete("")
    def end() -> Response:
        response = told(None)
        response.delete_cookie(COOKIE, httponly=True, samesite="Strict")
        return response

    return routes


def _signer(owner: Owner) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(owner.secret, salt="owner")
