"""The page's words in the visitor's language: one file of texts a language."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, g, request

LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français"}
COOKIE = "digits-language"
_FOLDER = Path(__file__).parent / "texts"
_YEAR = 365 * 86400


class Texts:
    """One language's texts, called with a key: `t("draw.too_large", size=20, limit=16)`.

    `translate` puts a sentence of the appliance's own, which its log has in English, into the
    language.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        tables = tomllib.loads((_FOLDER / f"{language}.toml").read_text("utf-8"))
        self.sentences: dict[str, str] = tables.pop("sentences", {})
        self.texts: dict[str, str] = {
            f"{table}.{key}": text for table, keys in tables.items() for key, text in keys.items()
        }
        self._patterns: list[tuple[re.Pattern[str], str]] = [
            (_compile_pattern(sentence), text) for sentence, text in self.sentences.items()
        ]

    def __call__(self, key: str, /, **values: object) -> str:
        return self.texts[key].format(**values)

    def translate(self, sentence: str | None) -> str:
        """Return a sentence in this language, unchanged where it has none, "" for None."""
        for pattern, text in self._patterns:
            match = pattern.fullmatch(sentence or "")
            if match:
                return text.format(
                    **{name: self.translate(part) for name, part in match.groupdict().items()}
                )
        return sentence or ""

    def for_scripts(self, *tables: str) -> dict[str, dict[str, str]]:
        """Return what a view's scripts need: the texts of these tables, and the sentences."""
        texts = {key: text for key, text in self.texts.items() if key.split(".")[0] in tables}
        return {"texts": texts, "sentences": self.sentences}


@lru_cache
def load_texts(language: str) -> Texts:
    """Return the texts of one of LANGUAGES, read from its file the first time."""
    return Texts(language)


def request_language() -> str:
    """Return the language of the request's answer: chosen on the page, else the browser's."""
    g.depends_on_language = True
    for choice in (request.args.get("language"), request.cookies.get(COOKIE)):
        if choice in LANGUAGES:
            return choice
    return request.accept_languages.best_match(list(LANGUAGES)) or "en"


def request_texts() -> Texts:
    """Return the texts in the request's language."""
    return load_texts(request_language())


def url_in_language(language: str) -> str:
    """Return the request's own URL, in another language."""
    return f"{request.path}?{urlencode({**request.args.to_dict(), 'language': language})}"


def register_languages(app: Flask) -> None:
    """Give an application's templates the texts, and keep the chosen language in a cookie."""

    @app.context_processor
    def add_texts() -> dict[str, Any]:
        return {"t": request_texts(), "languages": LANGUAGES, "url_in_language": url_in_language}

    @app.after_request
    def mark_language(response: Response) -> Response:
        if response.mimetype == "text/html":
            response.headers["Content-Language"] = request_language()
            if request.args.get("language") in LANGUAGES:
                response.set_cookie(COOKIE, request_language(), max_age=_YEAR, samesite="Lax")
        if "depends_on_language" in g:
            response.vary.update(["Accept-Language", "Cookie"])
        return response


def _compile_pattern(sentence: str) -> re.Pattern[str]:
    """Return a pattern for a sentence in which each {name} stands for any words."""
    parts = re.split(r"{(\w+)}", sentence)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [f"(?P<{name}>.+)" for name in parts[1::2]]
    return re.compile("".join(parts))
