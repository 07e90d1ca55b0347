"""The page itself; everything that moves on it comes from the API."""

from flask import Blueprint, render_template

from appliance import __version__

blueprint = Blueprint("page", __name__)


@blueprint.get("/")
def now() -> str:
    return render_template("page.html", version=__version__)
