"""A URL is what Flask builds, though its builder is compiled late."""

import pytest
from flask import Flask, url_for
from werkzeug.routing import BuildError

from appliance.web.lazy_routes import App


def with_routes(app: Flask) -> Flask:
    app.add_url_rule(
        "/of/<int(max=99):number>/<name>", "of", lambda number, name: f"{number}{name}"
    )
    app.add_url_rule("/plain", "plain", lambda: "", defaults={"page": 1})
    return app


@pytest.mark.parametrize(
    ("endpoint", "values"),
    [
        ("of", {"number": 7, "name": "a b/ü"}),
        ("of", {"number": 7, "name": "x", "more": ["1", "2"]}),
        ("plain", {}),
        ("static", {"filename": "now.js", "_anchor": "top"}),
    ],
)
def test_a_url_is_what_flask_builds(endpoint: str, values: dict[str, object]) -> None:
    built = []
    for app in (with_routes(App(__name__)), with_routes(Flask(__name__))):
        with app.test_request_context():
            built += [url_for(endpoint, **values), url_for(endpoint, **values)]  # type: ignore[arg-type]
    assert len(set(built)) == 1


def test_a_url_without_a_value_it_needs_is_refused() -> None:
    with with_routes(App(__name__)).test_request_context(), pytest.raises(BuildError):
        url_for("of", number=7)
