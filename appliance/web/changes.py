"""Who may change something over the page: its own scripts and programs, no other site's form."""

from flask import Response, request

from appliance.web.problem import problem


def refuse_foreign() -> Response | None:
    """Return the refusal of a change that another site's page may have sent, else None.

    A browser sends a form, a picture or a text anywhere without asking; a header of one's own or
    JSON it sends to another site only if that site allows it, which this one never does.
    """
    if request.headers.get("X-Digits") == "1" or request.is_json:
        return None
    return problem(
        403, "a change is asked for with the header 'X-Digits: 1' or with JSON: send one of them"
    )
