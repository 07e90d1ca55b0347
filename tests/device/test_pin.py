"""Anyone may look; changing anything needs the owner's PIN, shown in this browser."""

import json
import logging
import re
import stat
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from appliance.__main__ import main
from appliance.device.control import Control
from appliance.device.owner_pin import FREE_TRIES, MOST_TRIES, OwnerPin, PinRefused, owner_file
from appliance.errors import StateError
from appliance.outputs.latest import Latest
from appliance.reading import Reading
from appliance.web.access.session import HOURS
from appliance.web.app import create_app
from tests.conftest import signed_in

SESSION = "/api/v1/session"
ANYONES = {"api.read", "session.begin", "session.end"}
"""What anybody may send: a picture to be read, a PIN to be looked at."""


OWNERS = {"teach.export", "control.log", "device.settings"}
"""What only the owner may look at."""


def detail(answer: Any) -> str:
    assert answer.content_type == "application/problem+json"
    return str(json.loads(answer.data)["detail"])


def changes(app: Flask) -> list[tuple[str, str]]:
    """Return (method, path) of every route that is not there to look."""
    found: list[tuple[str, str]] = []
    for each in app.url_map.iter_rules():
        path = re.sub("<number>", "1", each.rule)
        path = re.sub(r"<id>", "0123456789ab", path)
        methods = sorted((each.methods or set()) - {"GET", "HEAD", "OPTIONS"})
        assert "<" not in path or not methods
        found += [(method, path) for method in methods if each.endpoint not in ANYONES]
    return found


def another_pin(pin: str) -> str:
    return f"{(int(pin) + 1) % 10**6:06}"


# ---- the PIN ----


def test_a_pin_is_six_digits_kept_as_a_hash_that_only_its_user_reads(tmp_path: Path) -> None:
    owner = OwnerPin(owner_file(tmp_path))
    assert not owner.exists
    pin = owner.make_pin()
    assert re.fullmatch(r"\d{6}", pin)
    kept = owner_file(tmp_path)
    assert pin not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert owner.exists
    assert owner.check(pin, "a") is None
    refused = owner.check(another_pin(pin), "a")
    assert refused is not None
    assert refused.sentence == "that is not the PIN: 4 more tries"


def test_a_pin_that_the_command_makes_is_the_running_appliances_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = OwnerPin(owner_file(tmp_path))
    first = running.make_pin()
    assert main(["pin", "--state", str(tmp_path)]) == 0
    assert "nobody can read it back" in capsys.readouterr().out
    assert main(["pin", "--state", str(tmp_path), "--new"]) == 0
    told = re.search(r"PIN is (\d{6})", capsys.readouterr().out)
    assert told
    assert running.check(told[1], "a") is None
    assert told[1] == first or running.check(first, "a") is not None


def test_wrong_pins_make_an_address_wait_ever_longer(tmp_path: Path) -> None:
    now = 0.0
    owner = OwnerPin(owner_file(tmp_path), clock=lambda: now)
    pin = owner.make_pin()
    for left in ("4 more tries", "3 more tries", "2 more tries", "one more try",
                 "wait 30 s, then try again"):  # fmt: skip
        refused = owner.check(another_pin(pin), "child")
        assert refused is not None
        assert refused.sentence.endswith(left)
    # Not even the PIN itself is looked at now; from elsewhere it is.
    refused = owner.check(pin, "child")
    assert refused is not None
    assert (refused.waiting, refused.seconds) == (True, 30)
    assert owner.check(pin, "teacher") is None
    waits = []
    for _ in range(9):
        refused = owner.check(pin, "child")
        assert refused is not None
        now += refused.seconds
        waits.append(refused.seconds)
        owner.check(another_pin(pin), "child")
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


@pytest.mark.slow
def test_wrong_pins_from_ever_other_addresses_come_to_an_end_too(tmp_path: Path) -> None:
    now = 0.0
    owner = OwnerPin(owner_file(tmp_path), clock=lambda: now)
    pin = owner.make_pin()
    looked_at = 0
    for address in range(MOST_TRIES + 20):
        refused = owner.check(another_pin(pin), str(address))
        assert refused is not None
        looked_at += not refused.waiting
    assert looked_at == MOST_TRIES
    refused = owner.check(pin, "teacher")
    assert refused is not None
    assert "'digits pin --new'" in refused.sentence
    now = 3601.0
    assert owner.check(pin, "teacher") is None


@pytest.mark.slow
def test_another_pin_that_the_command_makes_ends_the_waiting(tmp_path: Path) -> None:
    running = OwnerPin(owner_file(tmp_path), clock=lambda: 0.0)
    pin = running.make_pin()
    for address in range(MOST_TRIES):
        running.check(another_pin(pin), str(address % 50))
    refused = running.check(pin, "teacher")
    assert refused is not None
    assert refused.waiting
    new = OwnerPin(owner_file(tmp_path)).make_pin()
    assert running.check(new, "teacher") is None
    assert running.check(new, "0") is None


def test_the_right_pin_forgets_the_wrong_ones(tmp_path: Path) -> None:
    owner = OwnerPin(owner_file(tmp_path))
    pin = owner.make_pin()
    for _ in range(3):
        for _ in range(FREE_TRIES - 1):
            assert owner.check(another_pin(pin), "a") is not None
        assert owner.check(pin, "a") is None


@pytest.mark.parametrize("held", ["", "{", "[]", "null"])
def test_a_damaged_file_is_a_sentence_and_another_pin_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], held: str
) -> None:
    owner_file(tmp_path).write_text(held)
    owner = OwnerPin(owner_file(tmp_path))
    assert "digits pin --new" in str(owner.problem)
    assert (owner.exists, owner.obstacle) == (False, owner.problem)
    assert main(["pin", "--state", str(tmp_path)]) == 1
    assert main(["pin", "--state", str(tmp_path), "--new"]) == 0
    assert owner.exists
    assert owner.obstacle is None


def test_a_folder_that_is_missing_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pin", "--state", str(tmp_path / "missing")]) == 1
    assert "missing: there is no such state directory: name the" in capsys.readouterr().err
    with pytest.raises(StateError, match=r"cannot be kept \(No such file or directory\)"):
        OwnerPin(owner_file(tmp_path / "missing")).make_pin()


def test_a_file_that_is_damaged_while_it_runs_is_a_sentence(
    client: FlaskClient, owner: OwnerPin, tmp_path: Path
) -> None:
    owner_file(tmp_path).write_text("{")
    answer = client.post("/api/v1/training", json={})
    assert answer.status_code == 503
    assert "'digits pin --new'" in detail(answer)
    # Looking goes on.
    assert client.get("/api/v1/reading").status_code == 200
    owner.make_pin()
    assert client.post("/api/v1/training", json={}).status_code == 401


class Guessing(RuleBasedStateMachine):
    """Wrong PINs and right ones over days, from a few addresses."""

    addresses = st.sampled_from(["child", "teacher", "somebody"])
    after_the_wait = st.sampled_from(["no PIN", "right PIN", "wrong PIN"])

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1000.0
        self.owner = OwnerPin(owner_file(Path(self.folder.name)), clock=lambda: self.now)
        with mock.patch("appliance.device.owner_pin._METHOD", "pbkdf2:sha256:1"):
            self.pin = self.owner.make_pin()

    def teardown(self) -> None:
        # Two hours later everything is forgotten.
        self.now += 7200
        for address in ("child", "teacher", "somebody"):
            refused = self.owner.check(another_pin(self.pin), address)
            assert refused is not None
            assert refused.sentence.endswith("4 more tries")
        self.folder.cleanup()

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 29.0, 31.0, 599.9, 3600.0, 7200.0, 90_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(address=addresses, after=after_the_wait)
    def try_right_pin(self, address: str, after: str) -> None:
        refused = self.owner.check(self.pin, address)
        if refused is not None:
            assert refused.waiting
            self.wait_as_told(refused, address, after)

    @rule(address=addresses, times=st.integers(1, 12), after=after_the_wait)
    def try_wrong_pins(self, address: str, times: int, after: str) -> None:
        left = None
        for _ in range(times):
            refused = self.owner.check(another_pin(self.pin), address)
            assert refused is not None
            if left is not None:
                # Exactly as many PINs as announced were checked before the wait.
                assert (refused.waiting, left) == (left == 0, left)
            match = re.search(r"PIN: (\d+|one) more tr", refused.sentence)
            left = 0 if match is None else int(match[1].replace("one", "1"))
            assert (left == 0) == (refused.seconds > 0), refused
        assert refused is not None
        self.wait_as_told(refused, address, after)

    def wait_as_told(self, refused: PinRefused, address: str, after: str) -> None:
        """Check that a sentence names the wait, and that a PIN is checked when it is over."""
        match = re.search(r"wait (\d+) s", refused.sentence)
        assert (match is None) == (refused.seconds == 0), refused
        if match is None or after == "no PIN":
            return
        assert 0 < int(match[1]) == refused.seconds <= 3600
        self.now += refused.seconds - 1.1
        early = self.owner.check(self.pin, address)
        assert early is not None
        assert early.waiting
        self.now += 1.1
        if after == "right PIN":
            assert self.owner.check(self.pin, address) is None
        else:
            late = self.owner.check(another_pin(self.pin), address)
            assert late is not None
            assert not late.waiting


@pytest.mark.slow
def test_a_refusal_says_when_the_next_attempt_is_checked() -> None:
    often = settings(max_examples=60, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(Guessing, settings=often)


def test_after_an_hour_in_which_it_might_have_tried_an_address_begins_anew(tmp_path: Path) -> None:
    now = 0.0
    owner = OwnerPin(owner_file(tmp_path), clock=lambda: now)
    pin = owner.make_pin()
    for _ in range(FREE_TRIES + 3):
        refused = owner.check(another_pin(pin), "child")
        assert refused is not None
        now += refused.seconds
    # One more try, and it waits for longer still.
    refused = owner.check(another_pin(pin), "child")
    assert refused is not None
    assert refused.sentence == "that is not the PIN: wait 480 s, then try again"
    now += 480 + 3600
    refused = owner.check(another_pin(pin), "child")
    assert refused is not None
    assert refused.sentence == "that is not the PIN: 4 more tries"


# ---- who may change anything ----


def test_a_stranger_changes_nothing(app: Flask, stranger: FlaskClient, owner: OwnerPin) -> None:
    owner.make_pin()
    found = changes(app)
    assert len(found) >= 9
    for method, path in found:
        for sent in ({}, {"json": {}}, {"data": {"a": "b"}}, {"data": "PK"}):
            answer = stranger.open(path, method=method, **sent)  # type: ignore[arg-type]
            assert (answer.status_code, path) == (401, path)
            assert "only the owner may change this" in detail(answer)


def test_without_the_sessions_token_nothing_is_changed(app: Flask, client: FlaskClient) -> None:
    for token in ("", "x", "ü", "0" * 5000):
        client.environ_base["HTTP_X_CSRF_TOKEN"] = token
        for method, path in changes(app):
            answer = client.open(path, method=method, json={})
            assert (answer.status_code, path) == (403, path)
            assert "X-CSRF-Token" in detail(answer)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_another_sites_page_changes_nothing_even_with_the_owners_session(
    app: Flask, client: FlaskClient, headers: dict[str, str]
) -> None:
    for method, path in [*changes(app), ("POST", SESSION), ("POST", "/api/v1/read")]:
        answer = client.open(path, method=method, json={"pin": "1"}, headers=headers)
        assert (answer.status_code, path) == (403, path)
        assert "another site's page" in detail(answer)


def test_the_pages_own_requests_are_not_another_sites(client: FlaskClient) -> None:
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/v1/training", json={}, headers=own).status_code == 202


def test_everything_that_may_be_looked_at_needs_no_pin(stranger: FlaskClient) -> None:
    for path in ("/", "/api/v1/reading", "/api/v1/history", "/api/v1/health", "/api/v1/captures",
                 "/api/v1/training", "/api/v1/networks", SESSION):  # fmt: skip
        assert stranger.get(path).status_code == 200


def test_pictures_log_and_settings_are_shown_to_the_owner_alone(
    app: Flask, client: FlaskClient
) -> None:
    stranger = app.test_client()
    paths = {each.endpoint: each.rule for each in app.url_map.iter_rules()}
    for endpoint in OWNERS:
        for method in ("GET", "HEAD"):
            answer = stranger.open(paths[endpoint], method=method)
            assert (answer.status_code, endpoint) == (401, endpoint)
        assert detail(stranger.get(paths[endpoint])) == (
            "only the owner may see this: show the PIN first"
        )
        # A link is enough: the session's cookie comes with it, and no token.
        del client.environ_base["HTTP_X_CSRF_TOKEN"]
        with client.get(paths[endpoint]) as answer:
            assert (answer.status_code, endpoint) == (200, endpoint)
            assert answer.headers["Cache-Control"] == "no-store"
        client.environ_base["HTTP_X_CSRF_TOKEN"] = ""


def test_the_devices_view_shows_log_and_settings_to_the_owner_alone(
    app: Flask, client: FlaskClient, control: Control
) -> None:
    log = logging.getLogger("appliance.shown")
    log.setLevel(logging.INFO)
    log.addHandler(control.lines)
    try:
        log.info("a line of the log")
    finally:
        log.removeHandler(control.lines)
    shown = "a line of the log", "<caption>[camera]</caption>", "frames read a second"
    page = app.test_client().get("/device").text
    assert not any(each in page for each in shown)
    assert "Only the owner sees the log" in page
    assert "Memory of this program" in page
    page = client.get("/device").text
    assert all(each in page for each in shown)
    assert "Only the owner sees the log" not in page


# ---- the session ----


def test_the_pin_begins_a_session_and_leaving_ends_it(
    app: Flask, stranger: FlaskClient, owner: OwnerPin
) -> None:
    assert stranger.get(SESSION).get_json() == {"owner": False, "token": None, "pin": False}
    pin = owner.make_pin()
    assert stranger.get(SESSION).get_json() == {"owner": False, "token": None, "pin": True}
    begun = stranger.post(SESSION, json={"pin": f" {pin} "})
    told = begun.get_json()
    assert told["owner"]
    cookie = begun.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert begun.headers["Cache-Control"] == "no-store"
    assert stranger.get(SESSION).get_json() == told
    assert not stranger.delete(SESSION).get_json()["owner"]
    assert not stranger.get(SESSION).get_json()["owner"]


def test_another_pin_ends_every_session(client: FlaskClient, owner: OwnerPin) -> None:
    assert client.get(SESSION).get_json()["owner"]
    owner.make_pin()
    assert not client.get(SESSION).get_json()["owner"]
    assert client.post("/api/v1/training", json={}).status_code == 401


def test_a_session_ends_by_itself(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import itsdangerous.timed

    now = itsdangerous.timed.time.time()
    monkeypatch.setattr(itsdangerous.timed.time, "time", lambda: now + HOURS * 3600 + 60)
    assert not client.get(SESSION).get_json()["owner"]


@pytest.mark.parametrize("forged", ["x", "e30.aaaa.bbbb", "A" * 4000, "ü", '"', "W10.Zw.Zw"])
def test_a_forged_cookie_is_a_strangers(app: Flask, owner: OwnerPin, forged: str) -> None:
    owner.make_pin()
    answer = app.test_client(use_cookies=False).post(
        "/api/v1/training", json={}, headers={"Cookie": f"digits-owner={forged}"}
    )
    assert answer.status_code == 401


def test_a_cookie_of_another_appliance_is_a_strangers(app: Flask, owner: OwnerPin) -> None:
    from itsdangerous import URLSafeTimedSerializer

    owner.make_pin()
    sender = app.test_client(use_cookies=False)
    told = {"owner": owner.id, "token": "t"}
    forged = URLSafeTimedSerializer("another secret", salt="owner").dumps(told)
    headers = {"Cookie": f"digits-owner={forged}", "X-CSRF-Token": "t"}
    assert sender.post("/api/v1/training", json={}, headers=headers).status_code == 401
    # The same with the appliance's own secret is taken: it is the secret that is lacking.
    signed = URLSafeTimedSerializer(owner.secret, salt="owner").dumps(told)
    headers["Cookie"] = f"digits-owner={signed}"
    assert sender.post("/api/v1/training", json={}, headers=headers).status_code == 202


@pytest.mark.parametrize("body", [None, [], {}, {"pin": 123456}, {"pin": "1" * 65}, "123456"])
def test_what_is_no_pin_is_a_sentence(stranger: FlaskClient, owner: OwnerPin, body: Any) -> None:
    owner.make_pin()
    answer = stranger.post(SESSION, json=body)
    assert answer.status_code == 400
    assert '{"pin": "123456"}' in detail(answer)


def test_guessing_over_the_api_ends_in_waiting(stranger: FlaskClient, owner: OwnerPin) -> None:
    wrong = another_pin(owner.make_pin())
    codes = [stranger.post(SESSION, json={"pin": wrong}).status_code for _ in range(8)]
    assert codes == [403] * 5 + [429] * 3
    answer = stranger.post(SESSION, json={"pin": wrong})
    assert 0 < int(answer.headers["Retry-After"]) <= 30
    assert "too many wrong PINs" in detail(answer)


def test_before_there_is_a_pin_nobody_is_the_owner(stranger: FlaskClient) -> None:
    for pin in ("", "000000"):
        answer = stranger.post(SESSION, json={"pin": pin})
        assert answer.status_code == 403
        assert "there is no PIN yet" in detail(answer)


# ---- whose name it answers to, and who may look ----


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost:8080", 200),
        ("192.168.1.7:8080", 200),
        ("[fe80::1]:8080", 200),
        ("digits.local", 200),
        ("Digits.Local.:8080", 200),
        ("evil.example", 421),
        ("192.168.1.7.evil.example", 421),
        ("localhost.evil.example:8080", 421),
        ("evil.example#localhost", 421),
    ],
)
def test_it_answers_to_its_own_names_alone(named: FlaskClient, host: str, code: int) -> None:
    for path in ("/", "/api/v1/reading", "/static/now.js"):
        with named.get(path, headers={"Host": host}) as answer:
            assert answer.status_code == code
            assert code == 200 or "[web] names" in detail(answer)


@pytest.fixture
def named(parts: dict[str, Any]) -> FlaskClient:
    return create_app(**parts, names=["digits", "digits.local"]).test_client()


def test_where_the_owner_alone_may_look_the_page_shows_no_reading_to_others(
    parts: dict[str, Any], owner: OwnerPin, latest: Latest, a_seven: Reading
) -> None:
    client = create_app(**parts, look="owner").test_client()
    latest.show(a_seven)
    page = client.get("/").text
    assert "7 with" not in page
    assert 'src="/api/v1/reading/frame"' not in page
    assert "here looking needs the PIN as well" in page
    signed_in(client, owner.make_pin())
    page = client.get("/").text
    assert "7 with" in page
    assert 'src="/api/v1/reading/frame"' in page


def test_looking_can_be_the_owners_too(parts: dict[str, Any], owner: OwnerPin) -> None:
    client = create_app(**parts, look="owner").test_client()
    for path in ("/", "/static/now.js", "/api/v1/health", SESSION):
        with client.get(path) as answer:
            assert answer.status_code == 200
    looks = ["/api/v1/reading", "/api/v1/history", "/api/v1/captures", "/api/v1/networks",
             "/api/v1/training", "/api/v1/inside", "/api/v1/captures/export"]  # fmt: skip
    for path in looks:
        answer = client.get(path)
        assert answer.status_code == 401
        assert "looking needs the PIN" in detail(answer)
    # Whoever opens another page is led to the one that asks for the PIN.
    for path in ("/history", "/inside"):
        assert client.get(path).headers["Location"] == "/"
    assert 'data-look="owner"' in client.get("/").text
    signed_in(client, owner.make_pin())
    for path in [*looks[:-1], "/history", "/inside"]:
        assert client.get(path).status_code == 200
