"""The networks over the API: what there is, promote one, roll back."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from appliance.errors import StateError, VaultError
from appliance.networks.live import LiveNetwork
from appliance.web.problem import problem


def blueprint(networks: LiveNetwork) -> Blueprint:
    """Return the routes over the networks on this appliance."""
    routes = Blueprint("networks", __name__, url_prefix="/api/v1/networks")
    vault = networks.vault

    def told() -> Response:
        # What is told to read does read, whoever promoted it.
        networks.refresh(at_once=True)
        reads = networks.card()
        return jsonify(
            networks=[entry.as_json() for entry in vault.list_networks()],
            reads={
                "id": reads["id"],
                "problem": reads["problem"],
                "file": networks.configured_file or None,
            },
            before=vault.previous_id(),
        )

    def changed(change: Callable[[], object]) -> Response:
        try:
            change()
        except VaultError as error:
            return problem(409, str(error))
        except StateError as error:
            return problem(503, str(error))
        return told()

    @routes.get("")
    def listing() -> Response:
        return told()

    @routes.get("/<id>")
    def one(id: str) -> Response:
        try:
            entry = vault.find(id).as_json()
            beside = request.args.get("beside")
            told: dict[str, Any] = {"facts": vault.compare(id, beside)} if beside else {}
            return jsonify(**entry, **told)
        except VaultError as error:
            return problem(404, str(error))

    @routes.post("/<id>/promote")
    def promote(id: str) -> Response:
        if not any(entry.id == id for entry in vault.list_networks()):
            return problem(404, f"there is no network {id[:40]!r}: the list has those there are")
        return changed(lambda: vault.promote(id))

    @routes.post("/roll-back")
    def roll_back() -> Response:
        return changed(vault.roll_back)

    return routes
