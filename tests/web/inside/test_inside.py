"""The view Inside: what it shows of a network is true, whatever its layers, and costs little."""

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import Latest, Recent
from appliance.reader.reader import Reader
from appliance.reading import Reading
from appliance.simulator.handwriting import PLAIN, render_strokes
from appliance.vision.glyph import make_glyph
from appliance.web.draw.bars import render_scores
from appliance.web.inside.digit import load_example
from appliance.web.inside.feature_maps import (
    limit_maps,
    render_sheet,
    to_palette_indices,
    units_to_map,
)
from appliance.web.inside.reliability import render_reliability_diagram
from appliance.web.inside.view import blueprint
from appliance.web.language import load_texts, register_languages
from model import evaluation_report as reports
from model import weights
from model.activations import Tracer, filters
from model.calibration import Bin
from model.datasets import Split
from model.evaluate import predict
from model.network import KINDS, Network, build
from tests.conftest import SAMPLES
from tests.networks.test_live import saying
from tests.web.clock import Clock

EVERY_KIND: list[list[list[Any]]] = [
    [["dense", 784, 10]],
    [["dense", 784, 10, False], ["sigmoid"]],
    [["dense", 784, 20], ["tanh"], ["dropout", 0.5], ["dense", 20, 11]],
    [["dense", 784, 12, False], ["sigmoid"], ["book-output", 12, 10]],
    [["image", 28, 28], ["average-pool", 4], ["flatten"], ["batch-norm", 49], ["dense", 49, 11]],
    [["image", 28, 28], ["conv", 1, 70, 3, 0], ["batch-norm", 70], ["max-pool", 13], ["relu"],
     ["conv", 70, 5, 1, 0, False], ["flatten"], ["dense", 20, 10]],
    [["dense", 784, 36], ["image", 6, 6], ["flatten"], ["dense", 36, 10]],
    [["batch-norm", 784], ["dropout", 0.1], ["dense", 784, 10], ["dropout", 0.1]],
]  # fmt: skip


def networks_of_every_kind() -> list[Network]:
    found = []
    for spec in EVERY_KIND:
        network = build(spec, seed=3)
        # Statistics that do something.
        network.statistics[...] = np.linspace(0.5, 1.5, network.statistics.size)
        found.append(network)
    return found


def pixels(seed: int = 1) -> Any:
    return np.random.default_rng(seed).random(784, dtype=np.float32)


def decode_text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def heading(page: str) -> str:
    (found,) = re.findall(r'<h2 id="step-title">(.*?)</h2>', page)
    return str(found)


def steps_on(page: str) -> list[str]:
    return re.findall(r"<span>\d+\. ([^<]+)</span>", page)


# ---- what is shown is true ----


def test_the_examples_are_drawn_by_the_simulators_pen() -> None:
    for digit in range(10):
        cover = render_strokes(
            PLAIN[digit], (64, 64), centre=(32, 32), height=40, width=6, slant=0.1
        )
        assert np.abs(load_example(digit).glyph - make_glyph(cover)).max() <= 0.5 / 255 + 1e-6


def test_these_networks_have_every_kind_of_layer() -> None:
    assert {kind for spec in EVERY_KIND for kind, *_ in spec} == set(KINDS)


@pytest.mark.parametrize("network", networks_of_every_kind())
def test_the_last_step_is_what_the_network_answers(network: Network) -> None:
    x = pixels()
    steps = Tracer(network).steps(x)
    assert steps[0].kind == "image"
    assert steps[0].values.ravel().tolist() == x.tolist()
    np.testing.assert_array_equal(steps[-1].values, network.probabilities(x[None])[0])
    assert sum(step.parameters for step in steps) == network.parameter_count()
    assert sum(step.multiply_adds for step in steps) == network.multiply_adds()


@pytest.mark.parametrize("network", networks_of_every_kind())
def test_a_step_has_its_layers_output_the_right_way_round(network: Network) -> None:
    x = pixels()
    steps = Tracer(network).steps(x)[-len(network.layers) - 1 : -1]
    y = x[:, None]
    for layer, step, told in zip(network.layers, steps, Tracer(network).layers, strict=True):
        y = layer.forward(y)
        values = step.values
        assert (step.kind, list(step.shape)) == (layer.kind, told["shape"])
        # Pictures are (rows, channels, columns) in the network.
        same = values.transpose(1, 0, 2) if values.ndim == 3 else values
        np.testing.assert_array_equal(same, y[..., 0])


def test_tracing_leaves_the_network_that_reads_alone() -> None:
    network, _ = weights.load(weights.SHIPPED)
    # A layer overwrites the array that it returned.
    maps = network.layers[1].forward(network.layers[0].forward(pixels()[:, None]))
    before = maps.copy()
    Tracer(network).steps(pixels(2))
    np.testing.assert_array_equal(maps, before)


def test_filters_are_the_weights_of_the_first_layer_that_has_any() -> None:
    network, _ = weights.load(weights.SHIPPED)
    kernels = filters(network)
    assert kernels.shape == (8, 5, 5)
    assert kernels[3, 1, 2] == network.layers[1].parameters["weights"][3, 1, 2, 0]
    dense = build([["dense", 784, 30], ["sigmoid"], ["dense", 30, 10]], 1)
    pictures = filters(dense)
    assert pictures.shape == (30, 28, 28)
    assert pictures[7, 2, 3] == dense.layers[0].parameters["weights"][7, 2 * 28 + 3]
    assert len(filters(build([["image", 28, 28], ["flatten"]]))) == 0


def test_the_view_survives_any_card(client: FlaskClient, networks: LiveNetwork) -> None:
    cards: list[dict[str, Any]] = [
        {}, {"test": {"right": 0, "total": 0}, "validation_accuracy": "high", "preset": None},
        {"test": [1], "made": {}, "preset": "<b>", "validation_accuracy": 0.25},
    ]  # fmt: skip
    for digit, card in enumerate(cards, 1):
        networks.vault.promote(networks.vault.add(saying(digit), card))
        networks.refresh(at_once=True)
        assert client.get("/inside").status_code == 200
    assert "25.00 %" in client.get("/inside").text


# ---- the view ----


def test_the_view_is_never_empty_and_needs_no_script(client: FlaskClient) -> None:
    answer = client.get("/inside")
    page = answer.text
    assert answer.status_code == 200
    assert heading(page) == "Step 1 of 14: Picture"
    assert steps_on(page)[:4] == ["Picture", "Convolution", "Max pooling", "ReLU"]
    assert re.findall(r'<script defer src="/static/(\w+).js">', page) == ["base"]
    # The policy allows neither.
    assert not re.search(r"<[^>]+ style=|<style|<script>", page)
    assert len(answer.data) < 60_000


def test_every_step_is_reached_by_links(client: FlaskClient) -> None:
    path, seen = "/inside?digit=7", []
    while path:
        page = client.get(path).text
        seen.append(heading(page))
        following = re.findall(r'rel="next" href="([^"#]+)', page)
        path = following[0].replace("&amp;", "&") if following else ""
        assert not following or "digit=7" in path
    assert len(seen) == 14
    assert seen[-1] == "Step 14 of 14: Softmax"
    assert "The answer: 7, with" in decode_text(page)


def test_the_last_step_shows_the_networks_probabilities(
    client: FlaskClient, latest: Latest, reader: Reader, a_seven: Reading
) -> None:
    latest.show(a_seven)
    page = client.get("/inside?layer=14").text
    assert "reading=1" in page
    assert a_seven.glyph is not None
    shares = reader.network.probabilities(a_seven.glyph.reshape(1, 784))[0]
    (bars,) = re.findall(r'class="scores".*?</svg>', page, re.DOTALL)
    told = re.findall(r'text-anchor="end">([\d.]+) %</text>', bars)
    assert told == [f"{100 * share:.1f}" for share in shares.tolist()]
    assert "not a digit" in decode_text(page)


@pytest.mark.slow
@pytest.mark.parametrize("network", networks_of_every_kind())
def test_every_kind_of_layer_is_shown_and_explained(
    client: FlaskClient, reader: Reader, network: Network
) -> None:
    before = reader.network
    reader.use(network)
    try:
        count = len(Tracer(network).steps(pixels()))
        for language in ("en", "de", "fr"):
            for layer in range(1, count + 1):
                page = client.get(f"/inside?layer={layer}&language={language}").text
                assert f"{layer} " in heading(page)
                assert page.count("<small>") >= count
        assert client.get("/api/v1/inside").get_json()["report"] is None
        assert "digits evaluate --mnist mnist" in page
    finally:
        reader.use(before)


def test_numbers_that_overflow_are_shown(client: FlaskClient, reader: Reader) -> None:
    before, network = reader.network, build([["dense", 784, 10], ["relu"], ["dense", 10, 10]], 1)
    network.weights[...] = 3e38
    reader.use(network)
    try:
        for layer in range(1, 6):
            answer = client.get(f"/inside?layer={layer}")
            assert answer.status_code == 200
            assert "nan" not in decode_text(answer.text)
    finally:
        reader.use(before)


@pytest.mark.parametrize(
    "query", ["layer=0", "layer=-1", "layer=x", "layer=9e9", "reading=x", "reading=1.5",
              "reading=--1", "digit=10", "digit=-1"],
)  # fmt: skip
def test_a_wrong_query_is_an_error_that_says_what_is_right(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/inside?{query}")
    assert answer.status_code == 400
    assert "must be a whole number from" in answer.get_json(force=True)["detail"]


def test_a_layer_beyond_the_last_is_the_last(client: FlaskClient) -> None:
    assert heading(client.get("/inside?layer=99").text) == "Step 14 of 14: Softmax"


def test_a_reading_that_is_gone_is_replaced_and_the_page_says_so(client: FlaskClient) -> None:
    for number in ("7", "-7", "0"):
        answer = client.get(f"/inside?reading={number}")
        assert answer.status_code == 200
        assert "That reading is no longer kept" in answer.text
    assert "no longer kept" not in client.get("/inside").text


@pytest.fixture
def view(
    networks: LiveNetwork, latest: Latest, reader: Reader
) -> tuple[FlaskClient, Clock, Recent, Reader]:
    """The view alone, with a clock, and the pictures that were sent."""
    app = Flask("appliance.web")
    app.config.update(LOOK="anyone", MAX_CONTENT_LENGTH=1_000_000)
    register_languages(app)
    app.context_processor(lambda: {"problems": list})
    clock, sent = Clock(100), Recent()
    app.register_blueprint(
        blueprint(reader=reader, networks=networks, latest=latest, drawn=sent, clock=clock)
    )
    for name in ("page.now", "history.page", "page.teach", "page.training", "device.page"):
        app.add_url_rule(f"/{name}", name, lambda: "")
    app.add_url_rule("/networks/<id>", "networks.one", lambda id: "")
    return app.test_client(), clock, sent, reader


def test_a_reading_can_be_followed_for_longer_than_it_is_kept(
    view: Any, latest: Latest, a_seven: Reading
) -> None:
    client, clock, _, _ = view
    latest.show(a_seven)
    assert "reading=1" in client.get("/inside").text
    for _ in range(20):
        latest.show(a_seven)
    assert latest.recent.of(1) is None
    assert "no longer kept" not in client.get("/inside?reading=1&layer=5").text
    # The newest is looked for every two seconds.
    assert "reading=21" not in client.get("/inside").text
    clock.now += 2
    assert "reading=21" in client.get("/inside").text


def test_what_was_drawn_on_the_page_is_offered_and_followed(view: Any, a_seven: Reading) -> None:
    client, _, sent, _ = view
    sent.keep(-1, a_seven)
    page = client.get("/inside").text
    assert "reading=-1" in page
    assert "no longer kept" not in client.get("/inside?reading=-1").text


def test_a_digit_that_was_drawn_is_offered_by_the_application(client: FlaskClient) -> None:
    picture = (SAMPLES / "7-shadow.jpg").read_bytes()
    number = client.post("/api/v1/read", data=picture).get_json()["number"]
    assert number == -1
    page = client.get("/inside?reading=-1&layer=14").text
    assert "The answer: 7, with" in decode_text(page)


def test_thirty_pupils_cost_no_more_than_one(
    view: Any, monkeypatch: pytest.MonkeyPatch, latest: Latest, a_seven: Reading
) -> None:
    client, _, _, _ = view
    latest.show(a_seven)
    made: list[str] = []
    steps = Tracer.steps
    monkeypatch.setattr(Tracer, "steps", lambda self, x: made.append("steps") or steps(self, x))
    monkeypatch.setattr(
        "appliance.web.inside.network_view.filters",
        lambda network: made.append("filters") or filters(network),
    )
    for layer in (1, 2, 3, 2, 1) * 6:
        assert client.get(f"/inside?layer={layer}").status_code == 200
    assert sorted(made) == ["filters", "steps"]


def test_the_page_and_the_api_are_not_sent_twice(
    client: FlaskClient, reader: Reader, networks: LiveNetwork
) -> None:
    for path in ("/inside?digit=4&layer=3", "/api/v1/inside"):
        first = client.get(path)
        assert first.headers["Cache-Control"] == "private, no-cache"
        tag = {"If-None-Match": first.headers["ETag"]}
        again = client.get(path, headers=tag)
        assert (again.status_code, again.data) == (304, b"")
        before = reader.network
        reader.use(saying(4))
        assert client.get(path, headers=tag).status_code == 200
        reader.use(before)
    german = client.get("/inside?digit=4&layer=3&language=de", headers=tag)
    assert german.status_code == 200
    assert "Schritt 3 von 14" in german.text


def test_a_page_that_is_kept_is_in_the_language_that_is_asked_for(client: FlaskClient) -> None:
    for language, word in (("en", "Step"), ("de", "Schritt"), ("fr", "Étape"), ("en", "Step")):
        answer = client.get("/inside", headers={"Accept-Language": language})
        assert heading(answer.text).startswith(word)


# ---- the report ----


def four_answers() -> tuple[Network, Split]:
    """A network that always says 4, and four digits."""
    images = np.arange(4 * 784, dtype=np.int64).reshape(4, 784).astype(np.uint8)
    return saying(4), Split(images, np.array([4, 1, 9, 4], np.uint8), {"x": "y"})


def test_a_report_has_the_counts_and_the_mistakes(tmp_path: Path) -> None:
    network, data = four_answers()
    report = reports.make_report(network, data, predict(network, data))
    assert (report.tally.right, report.tally.total) == (2, 4)
    assert [(each.number, each.label, each.answer) for each in report.wrong] == [
        (1, 1, 4),
        (2, 9, 4),
    ]
    file = tmp_path / "report.json"
    file.write_bytes(reports.to_bytes(report))
    loaded = reports.load(file, weights.checksum(network))
    assert loaded is not None
    assert loaded.to_json() == report.to_json()
    assert loaded.wrong[1].pixels is not None
    assert loaded.wrong[1].pixels.tolist() == data.images[2].tolist()
    assert reports.load(file, "0" * 64) is None
    assert reports.load(tmp_path / "none", "0" * 64) is None
    bare = reports.make_report(network, data, predict(network, data), pixels=False)
    assert [each.pixels for each in bare.wrong] == [None, None]


def test_a_report_has_the_48_surest_mistakes_surest_first() -> None:
    network = build([["dense", 784, 10]], 1)
    rng = np.random.default_rng(0)
    data = Split(
        rng.integers(0, 256, (200, 784), dtype=np.uint8), rng.integers(0, 10, 200).astype(np.uint8)
    )
    report = reports.make_report(network, data, predict(network, data))
    sure = [each.confidence for each in report.wrong]
    assert len(sure) == 48
    assert sure == sorted(sure, reverse=True)
    assert len(reports.to_bytes(report)) < 100_000


def damaged(change: Callable[[dict[str, Any]], object]) -> bytes:
    network, data = four_answers()
    told = json.loads(reports.to_bytes(reports.make_report(network, data, predict(network, data))))
    change(told)
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"[]",
        b"{" * 100_000,
        b" " * 600_000,
        damaged(lambda told: told.update(format=2)),
        damaged(lambda told: told.pop("bins")),
        damaged(lambda told: told.update(confusion=[[1]])),
        damaged(lambda told: told["confusion"][0].__setitem__(0, -1)),
        damaged(lambda told: told["confusion"][0].__setitem__(0, 0.5)),
        damaged(lambda told: told.update(calibration_error=float("nan"))),
        damaged(lambda told: told["wrong"][0].update(label=10)),
        damaged(lambda told: told["wrong"][0].update(confidence="<script>")),
        damaged(lambda told: told["wrong"][0].update(pixels="AAAA")),
        damaged(lambda told: told["wrong"][0].update(pixels="<script>")),
        damaged(lambda told: told["bins"][0].update(count=True)),
    ],
)
def test_a_damaged_report_is_named_and_the_shipped_one_stands_in(
    client: FlaskClient, tmp_path: Path, told: bytes
) -> None:
    _, card = weights.load(weights.SHIPPED)
    file = tmp_path / "networks" / f"{card['sha256'][:12]}.report.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(told)
    with pytest.raises(ValueError, match="not a whole report: write it again"):
        reports.load(file, card["sha256"])
    page = client.get("/inside").text
    assert f"The report {file} is damaged" in page
    # The one that comes with the network stands in.
    assert client.get("/api/v1/inside").get_json()["report"]["total"] == 10_000


def test_the_report_that_ships_is_the_shipped_networks(client: FlaskClient) -> None:
    _, card = weights.load(weights.SHIPPED)
    report = reports.load(reports.OF_SHIPPED, card["sha256"])
    assert report is not None
    assert abs(report.tally.right - card["test"]["right"]) <= 3
    assert {each.pixels for each in report.wrong} == {None}
    assert report.data == {name: card["data"][name] for name in report.data}
    told = client.get("/api/v1/inside").get_json()
    assert told["report"]["confusion"] == report.confusion.tolist()
    assert [layer["kind"] for layer in told["layers"]] == [kind for kind, *_ in card["layers"]]
    assert len(told["filters"]) == 8
    page = client.get("/inside").text
    assert page.count("<li><b>") == len(report.wrong)
    assert client.get("/inside/wrong.png").status_code == 404
    assert re.search(r"digits evaluate --mnist mnist --report \S+/\w{12}\.report\.json", page)


def test_another_network_has_its_own_report_or_none(
    client: FlaskClient, reader: Reader, tmp_path: Path
) -> None:
    network, data = four_answers()
    before, id = reader.network, weights.checksum(network)
    reader.use(network)
    try:
        assert client.get("/api/v1/inside").get_json()["report"] is None
        page = client.get("/inside").text
        assert "was not measured" in page
        assert "<table" not in page
        file = tmp_path / "networks" / f"{id[:12]}.report.json"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(
            reports.to_bytes(reports.make_report(network, data, predict(network, data)))
        )
        told = client.get("/api/v1/inside").get_json()["report"]
        assert (told["right"], told["total"]) == (2, 4)
        glyph = Image.open(io.BytesIO(base64.b64decode(told["wrong"][1]["glyph"].split(",")[1])))
        assert np.asarray(glyph).ravel().tolist() == data.images[2].tolist()
        page = client.get("/inside").text
        (address,) = set(re.findall(r'<span class="cut"><img src="([^"]+)"', page))
        sent = client.get(address)
        assert "max-age" in sent.headers["Cache-Control"]
        rows = np.asarray(Image.open(io.BytesIO(sent.data)).convert("L"))
        assert rows.shape == (28, 8 * 28)
        assert (rows[:, 28:56].ravel() // 17).tolist() == (data.images[2] >> 4).tolist()
        old = client.get("/inside/wrong.png?of=before")
        assert (old.status_code, old.headers["Cache-Control"]) == (200, "private, no-cache")
        assert 'class="e3"' in page
    finally:
        reader.use(before)


def test_a_networks_report_is_deleted_with_it(tmp_path: Path) -> None:
    from appliance.networks.vault import Vault

    vault = Vault(tmp_path / "networks", keep=1)
    ids = [vault.add(saying(digit), {}) for digit in (1, 2)]
    assert [entry.id for entry in vault.list_networks()][:-1] == ids[1:]
    for id in (*ids, "notes"):
        vault.report_file(id).write_text("{}")
    third = vault.add(saying(3), {})
    vault.report_file(third).write_text("{}")
    vault.add(saying(3), {})
    assert not vault.report_file(ids[1]).exists()
    assert vault.report_file(third).exists()
    assert [entry.id for entry in vault.list_networks()][:-1] == [third]


# ---- the pictures ----


def test_colours_differ_above_zero_below_zero_and_at_zero() -> None:
    maps = np.array([[[-2.0, 0.0, 1.0, 2.0]]], np.float32)
    assert to_palette_indices(maps).ravel().tolist() == [0, 24, 36, 48]
    url = render_sheet(maps).url
    picture = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA")
    low, zero, middle, high = (picture.getpixel((x, 0)) for x in range(4))
    assert low[2] > low[0]
    assert max(zero[:3]) < 30
    assert middle[0] > middle[2]
    assert high[0] > high[2]
    assert {each[3] for each in (low, zero, middle, high)} == {255}
    gap = Image.open(
        io.BytesIO(base64.b64decode(render_sheet(np.ones((4, 2, 2))).url.split(",")[1]))
    )
    assert gap.size == (5, 5)
    assert gap.convert("RGBA").getpixel((2, 0))[3] == 0


def test_a_map_of_zeros_is_black() -> None:
    assert set(to_palette_indices(np.zeros((2, 3, 3), np.float32)).ravel().tolist()) == {24}
    huge = np.array([[[np.inf, -np.inf, 3e38]]], np.float32)
    assert to_palette_indices(huge).ravel().tolist() == [48, 0, 48]


def test_maps_that_a_page_has_no_room_for_are_left_out() -> None:
    assert len(limit_maps(np.zeros((500, 3, 3), np.float32))) == 64
    assert len(limit_maps(np.zeros((200, 28, 28), np.float32))) == 25
    assert len(limit_maps(np.zeros((2, 200, 200), np.float32))) == 1
    assert units_to_map(np.zeros(576, np.float32)).shape == (1, 24, 24)
    assert np.isnan(units_to_map(np.zeros(11, np.float32))).sum() == 1


def test_score_bars_go_either_way_from_zero() -> None:
    chart = render_scores([-1.0, 3.0], ["a", "<b>"], ["-1", "3"], "A & B", "two")
    (low, high) = re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)"', chart)
    assert float(low[0]) + float(low[1]) == pytest.approx(float(high[0]), abs=0.2)
    assert float(high[1]) == pytest.approx(3 * float(low[1]), abs=0.2)
    assert "&lt;b&gt;" in chart
    assert chart.index('class="top"') > chart.index(">a</text>")
    assert "<rect" in render_scores([0.0], ["a"], ["0"], "", "")


def test_the_reliability_diagram_has_a_disc_for_each_bin() -> None:
    bins = [Bin(0.4, 0.5, 10, 0.45, 0.5), Bin(0.9, 1.0, 1000, 0.99, 1.0)]
    chart = render_reliability_diagram(bins, load_texts("en"))
    radii = [float(each) for each in re.findall(r'r="([\d.]+)"', chart)]
    assert radii == [4.5, 8.5]
    assert "10 answers with 45 % on average, 50 % of them right" in chart
    assert "<circle" not in render_reliability_diagram([], load_texts("de"))
