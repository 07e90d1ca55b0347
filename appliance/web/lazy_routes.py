"""The routes' addresses: what one is built with is compiled when it is built for the first time."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

Builder = Callable[..., tuple[str, str]]


class LateRule(Rule):
    """A route whose two builders are compiled when `url_for` asks for one.

    Werkzeug compiles them for each route as it is added: on a Pi Zero a tenth of a second, for some
    forty of which the page builds a handful.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Builder:
        made: list[Builder] = []

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            if not made:
                made.append(super(LateRule, self)._compile_builder(append_unknown))
            return made[0](rule, **values)

        return build


class App(Flask):
    """Flask with such routes."""

    url_rule_class = LateRule
