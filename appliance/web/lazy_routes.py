"""Routes whose URL builders are compiled when a URL is built for the first time."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

Builder = Callable[..., tuple[str, str]]


class LazyRule(Rule):
    """A route whose two URL builders are compiled when `url_for` first needs one.

    Werkzeug compiles both for every route as it is added: a tenth of a second on a Pi Zero, for
    some forty routes of which the page needs a handful.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Builder:
        compiled: list[Builder] = []

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            if not compiled:
                compiled.append(super(LazyRule, self)._compile_builder(append_unknown))
            return compiled[0](rule, **values)

        return build


class App(Flask):
    """Flask with these routes."""

    url_rule_class = LazyRule
