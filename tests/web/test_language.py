"""The page's words: every language has all texts, and the sentences are the appliance's own."""

import ast
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from appliance.outputs.latest import Latest
from appliance.reading import Reading
from appliance.web.language import COOKIE, LANGUAGES, load_texts
from tests.conftest import ROOT

WEB = ROOT / "appliance" / "web"
VIEWS = "/", "/history", "/teach", "/training", "/inside", "/device"
OTHERS = sorted(set(LANGUAGES) - {"en"})


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", text))


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_the_same_texts(language: str) -> None:
    english, other = load_texts("en").texts, load_texts(language).texts
    assert list(other) == list(english)
    for key, text in english.items():
        assert placeholders(other[key]) == placeholders(text), key


@pytest.mark.parametrize("language", OTHERS)
def test_a_translated_sentence_has_the_placeholders_of_the_english(language: str) -> None:
    for sentence, text in load_texts(language).sentences.items():
        assert placeholders(text) <= placeholders(sentence), sentence


def test_the_translations_have_the_same_sentences() -> None:
    assert {tuple(load_texts(language).sentences) for language in OTHERS} == {
        tuple(load_texts("de").sentences)
    }


def strings_in_python(folder: Path = WEB.parent) -> list[str]:
    """Return every string in a folder's sources, with {} for what is filled in."""
    found = []
    for path in folder.glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "{}"
                        for part in node.values
                    )
                )
    return found


def test_every_translated_sentence_is_one_that_the_appliance_says() -> None:
    sources = "\n".join(strings_in_python())
    for sentence in load_texts("de").sentences:
        for part in re.split(r"{\w+}", sentence):
            words = part.removeprefix("the picture").strip(" :.,()")
            assert words in sources, sentence


def test_every_text_is_used_and_every_used_one_exists() -> None:
    sources = [*WEB.glob("**/*.html"), *WEB.glob("**/*.js"), *WEB.glob("**/*.py")]
    all_of_it = "\n".join(path.read_text() for path in sources)
    used = set(re.findall(r'[("\'?: ]((?:[a-z]+)\.[a-z_]+)["\']', all_of_it))
    keys = set(load_texts("en").texts)
    tables = {key.split(".")[0] for key in keys}
    # Some keys are put together from a beginning, which stands in the source, and a name.
    begun = re.findall(r"""["'`]((?:[a-z]+)\.[a-z_]*)["'`$]""", all_of_it)
    beginnings = tuple(
        {each for each in begun if each not in keys and each.split(".")[0] in tables}
    )
    assert {key for key in keys if key not in used and not key.startswith(beginnings)} == set()
    wanted = set(re.findall(r"""\bt\(["']([a-z]+\.[a-z_]+)["'][,)]""", all_of_it))
    assert wanted - keys == set()


def test_a_sentence_is_translated_with_its_values() -> None:
    german = load_texts("de")
    assert german.translate("unsure between 3 and 8") == "unsicher zwischen 3 und 8"
    assert german.translate("that is not the PIN: 4 more tries") == (
        "das ist nicht die PIN: noch 4 Versuche"
    )
    assert german.translate("nobody has translated this") == "nobody has translated this"
    assert german.translate(None) == ""
    assert load_texts("en").translate("blank") == "blank"


@pytest.mark.parametrize("path", VIEWS)
def test_every_view_is_there_in_every_language(client: FlaskClient, path: str) -> None:
    pages = {}
    for language in LANGUAGES:
        answer = client.get(path, headers={"Accept-Language": language})
        assert answer.status_code == 200
        assert answer.headers["Content-Language"] == language
        assert f'<html lang="{language}">' in answer.text
        assert {"Accept-Language", "Cookie"} <= set(answer.vary.as_set(preserve_casing=True))
        pages[language] = answer.text
    assert len(set(pages.values())) == len(LANGUAGES)


@pytest.mark.parametrize(
    ("header", "language"),
    [("de-AT,de;q=0.9,en;q=0.5", "de"), ("fr-CH", "fr"), ("it, fr;q=0.5", "fr"), ("it", "en"),
     ("", "en"), ("*;q=0.1,,;;", "en")],
)  # fmt: skip
def test_the_browsers_language_is_used(client: FlaskClient, header: str, language: str) -> None:
    answer = client.get("/", headers={"Accept-Language": header})
    assert answer.headers["Content-Language"] == language


def test_a_chosen_language_is_kept(client: FlaskClient) -> None:
    answer = client.get("/device?language=fr", headers={"Accept-Language": "de"})
    assert "Température" in answer.text or "Appareil" in answer.text
    assert f"{COOKIE}=fr" in answer.headers["Set-Cookie"]
    again = client.get("/", headers={"Accept-Language": "de"})
    assert again.headers["Content-Language"] == "fr"
    assert "Set-Cookie" not in again.headers
    unknown = client.get("/?language=../../etc/passwd")
    assert unknown.headers["Content-Language"] == "fr"


def test_the_links_to_other_languages_lead_to_the_same_page(client: FlaskClient) -> None:
    page = client.get("/inside?digit=3&layer=2").text
    assert "/inside?digit=3&amp;layer=2&amp;language=de" in page
    odd = client.get('/history?_scheme=javascript&x="><script>').text
    assert "javascript:" not in odd
    assert "<script>" not in odd


def test_the_newest_reading_is_on_the_page_without_javascript(
    client: FlaskClient, latest: Latest, a_seven: Reading
) -> None:
    assert "die Kamera startet" in client.get("/?language=de").text
    latest.show(a_seven)
    page = client.get("/?language=en").text
    seen = page[page.index("<noscript>\n") :]
    assert '<p class="digit">–</p>' in seen
    assert re.search(r"7 with \d+ %", seen)
    assert 'src="/api/v1/reading/frame"' in seen
    assert '<meta http-equiv="refresh"' in page


def test_each_stage_of_the_newest_reading_is_a_picture(
    client: FlaskClient, latest: Latest, a_seven: Reading
) -> None:
    assert client.get("/api/v1/reading/frame").status_code == 404
    latest.show(a_seven)
    for name, kind in (("frame", "jpeg"), ("ink", "png"), ("mark", "png"), ("glyph", "png")):
        answer = client.get(f"/api/v1/reading/{name}")
        assert (answer.status_code, answer.mimetype) == (200, f"image/{kind}")
        again = client.get(
            f"/api/v1/reading/{name}", headers={"If-None-Match": answer.headers["ETag"]}
        )
        assert (again.status_code, again.data) == (304, b"")
    assert client.get("/api/v1/reading/digit").status_code == 404
