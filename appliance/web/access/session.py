"""The owner's session: a signed cookie in the browser to which the PIN was shown."""

import hmac
import secrets
from typing import TYPE_CHECKING, NamedTuple

from flask import Blueprint, Response, jsonify, request
from itsdangerous import BadData, URLSafeTimedSerializer

from appliance.device.owner_pin import OwnerPin
from appliance.web.operation import operation
from appliance.web.problem import problem
from appliance.web.request_args import Schemas

# Only annotations need them: a start does without.
if TYPE_CHECKING:
    from appliance.web import schemas

COOKIE = "digits-owner"
HOURS = 12
"""How long a session lasts."""
TOKEN = "X-CSRF-Token"
"""The header that carries the session's token with every change."""
_MAX_COOKIE_LENGTH = 500
_PIN: Schemas = {"pin": {"type": "string", "maxLength": 64, "examples": ["123456"]}}
# They store nothing: with a card that is read-only they are what may help.
_STORES_NOTHING = (
    "control.doctor", "control.leds", "control.start_again", "control.reboot", "control.power_off",
)  # fmt: skip


class Session(NamedTuple):
    """A browser's session; changes carry its `token`, which no other site knows."""

    token: str


def current_session(owner: OwnerPin) -> Session | None:
    """Return the session of the request, None where the PIN was not shown."""
    cookie = request.cookies.get(COOKIE, "")
    if not cookie or len(cookie) > _MAX_COOKIE_LENGTH:
        return None
    try:
        content = _signer(owner).loads(cookie, max_age=HOURS * 3600)
    except BadData:
        return None
    # A new PIN ends the sessions of the old one.
    if not isinstance(content, dict) or content.get("owner") != owner.id:
        return None
    return Session(str(content.get("token")))


def refuse_change(owner: OwnerPin) -> Response | None:
    """Return the refusal of a request that changes something, None where it is allowed."""
    obstacle = owner.problem if request.endpoint in _STORES_NOTHING else owner.obstacle
    if obstacle:
        return problem(503, obstacle)
    session = current_session(owner)
    if session is None:
        return problem(401, "only the owner may change this: show the PIN first")
    token = request.headers.get(TOKEN, "")
    if not hmac.compare_digest(token.encode(), session.token.encode()):
        return problem(
            403, f"a change is sent with the session's token in {TOKEN}: load the page again"
        )
    return None


def blueprint(owner: OwnerPin) -> Blueprint:
    """Return the routes of the session: look at it, begin one with the PIN, end it."""
    routes = Blueprint("session", __name__, url_prefix="/api/v1/session")

    def to_json(session: Session | None) -> Response:
        response = jsonify(
            owner=session is not None, token=session and session.token, pin=owner.exists
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    @routes.get("")
    @operation("Whether the browser is the owner's, and the token that changes need")
    def who() -> "schemas.Session | Response":
        return to_json(current_session(owner))

    @routes.post("")
    @operation("Become the owner with the PIN", body=_PIN, refuses=(403, 429, 503))
    def begin(pin: str) -> "schemas.Session | Response":
        obstacle = owner.obstacle
        if obstacle and not owner.exists:
            return problem(503, obstacle)
        refused = owner.check(pin.strip(), request.remote_addr or "")
        if refused is not None:
            wait = refused.seconds or None
            return problem(429 if refused.waiting else 403, refused.sentence, retry_after=wait)
        session = Session(secrets.token_urlsafe(18))
        response = to_json(session)
        response.set_cookie(
            COOKIE,
            _signer(owner).dumps({"owner": owner.id, "token": session.token}),
            max_age=HOURS * 3600,
            httponly=True,
            samesite="Strict",
        )
        return response

    @routes.delete("")
    @operation("End the session")
    def end() -> "schemas.Session | Response":
        response = to_json(None)
        response.delete_cookie(COOKIE, httponly=True, samesite="Strict")
        return response

    return routes


def _signer(owner: OwnerPin) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(owner.secret, salt="owner")
