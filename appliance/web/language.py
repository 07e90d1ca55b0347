"""The page's words in the language of who looks: one file of texts a language."""

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
    """One language's texts, called with a key: `t("draw.too_large", megabytes=16)`.

    `said` puts a sentence of the appliance's own, as it stands in the log, into the language. Both
    fall back on English, `said` on the sentence itself.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        tables = tomllib.loads((_FOLDER / f"{language}.toml").read_text("utf-8"))
        self.sentences: dict[str, str] = tables.pop("sentences", {})
        self.texts: dict[str, str] = {
            f"{table}.{key}": text for table, keys in tables.items() for key, text in keys.items()
        }
        self._patterns: list[tuple[re.Pattern[str], str]] = [
            (_pattern(told), text) for told, text in self.sentences.items()
        ]

    def __call__(self, key: str, /, **of: object) -> str:
        return self.texts[key].format(**of)

    def said(self, sentence: str | None) -> str:
        """Return a sentence of the appliance's in this language, "" for None."""
        for pattern, text in self._patterns:
            found = pattern.fullmatch(sentence or "")
            if found:
                return text.format(
                    **{name: self.said(part) for name, part in found.groupdict().items()}
                )
        return sentence or ""

    def for_scripts(self, *tables: str) -> dict[str, dict[str, str]]:
        """Return what a view's scripts say, of these tables, and the sentences."""
        texts = {key: text for key, text in self.texts.items() if key.split(".")[0] in tables}
        return {"texts": texts, "sentences": self.sentences}


@lru_cache
def texts(language: str) -> Texts:
    """Return the texts of one of LANGUAGES, read from its file the first time."""
    return Texts(language)


def spoken() -> str:
    """Return the language that the request asks for: chosen on the page, else its browser's."""
    g.spoken = True
    for chosen in (request.args.get("language"), request.cookies.get(COOKIE)):
        if chosen in LANGUAGES:
            return chosen
    return request.accept_languages.best_match(list(LANGUAGES)) or "en"


def in_language(language: str) -> str:
    """Return the address that was asked for, in another language."""
    return f"{request.path}?{urlencode({**request.args.to_dict(), 'language': language})}"


def translate(app: Flask) -> None:
    """Give an application's templates the texts, and keep which language was chosen."""

    @app.context_processor
    def words() -> dict[str, Any]:
        return {"t": texts(spoken()), "languages": LANGUAGES, "in_language": in_language}

    @app.after_request
    def chosen(response: Response) -> Response:
        if response.mimetype == "text/html":
            response.headers["Content-Language"] = spoken()
            if request.args.get("language") in LANGUAGES:
                response.set_cookie(COOKIE, spoken(), max_age=_YEAR, samesite="Lax")
        if "spoken" in g:
            response.vary.update(["Accept-Language", "Cookie"])
        return response


def _pattern(told: str) -> re.Pattern[str]:
    """Return what matches a sentence in which each {name} stands for any words."""
    parts = re.split(r"{(\w+)}", told)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [f"(?P<{name}>.+)" for name in parts[1::2]]
    return re.compile("".join(parts))
