"""The networks over the API: list them, promote one, roll back."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify

from appliance.errors import StateError, VaultError
from appliance.networks.live import LiveNetwork
from appliance.web.operation import operation
from appliance.web.problem import problem
from appliance.web.request_args import Schemas

# Only annotations need them: a start does without.
if TYPE_CHECKING:
    from appliance.web import schemas

_ID: Schemas = {
    "id": {"type": "string", "pattern": "^[0-9a-f]{1,64}$", "description": "the network's id"}
}
_BESIDE: Schemas = {
    "beside": {
        "type": "string",
        "description": "another network's id: adds `facts`, each with the values of both",
    }
}


def blueprint(networks: LiveNetwork) -> Blueprint:
    """Return the routes over the networks on this appliance."""
    routes = Blueprint("networks", __name__, url_prefix="/api/v1/networks")
    vault = networks.vault

    def answer() -> Response:
        # A promotion by a command counts at once.
        networks.refresh(at_once=True)
        reads = networks.card()
        return jsonify(
            networks=[entry.to_json() for entry in vault.list_networks()],
            reads={
                "id": reads["id"],
                "problem": reads["problem"],
                "file": networks.configured_file or None,
            },
            before=vault.previous_id(),
        )

    def apply(change: Callable[[], object]) -> Response:
        try:
            change()
        except VaultError as error:
            return problem(409, str(error))
        except StateError as error:
            return problem(503, str(error))
        return answer()

    @routes.get("")
    @operation("List the networks, the newest first")
    def listing() -> "schemas.Networks | Response":
        return answer()

    @routes.get("/<id>")
    @operation("One network's card", path=_ID, query=_BESIDE)
    def one(id: str, beside: str | None) -> "schemas.Network | Response":
        try:
            facts = {"facts": vault.compare(id, beside)} if beside else {}
            return jsonify(**vault.find(id).to_json(), **facts)
        except VaultError as error:
            return problem(404, str(error))

    @routes.post("/<id>/promote")
    @operation("Read with this network", path=_ID, refuses=(409,))
    def promote(id: str) -> "schemas.Networks | Response":
        if not any(entry.id == id for entry in vault.list_networks()):
            return problem(404, f"there is no network {id[:40]!r}: the list has those there are")
        return apply(lambda: vault.promote(id))

    @routes.post("/roll-back")
    @operation("Read with the network before", refuses=(409,))
    def roll_back() -> "schemas.Networks | Response":
        return apply(vault.roll_back)

    return routes
