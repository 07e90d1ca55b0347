"""Texts that a stranger chose, on the page: they are read, and nothing runs."""

from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By

from appliance.networks.vault import Vault
from appliance.storage.layout import StateDirectory
from appliance.training import records
from tests.browser.page import text, until, view
from tests.networks.test_live import saying

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


def untaken(browser: webdriver.Chrome) -> bool:
    return browser.title != "taken" and not browser.find_elements(By.CSS_SELECTOR, "img[src=x]")


def test_a_promoted_networks_card_is_text(browser: webdriver.Chrome, state: Path) -> None:
    vault = Vault(StateDirectory(state).networks)
    card = {"preset": HOSTILE, "command": HOSTILE, "data": {HOSTILE: HOSTILE}, "report": HOSTILE}
    vault.promote(vault.add(saying(8), card))
    view(browser, "training")
    rows = "#networks tr[data-state=current] button"
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, rows))
    browser.execute_script("document.querySelector(arguments[0]).click()", rows)
    until(browser, lambda: "onerror" in text(browser, "#network-facts"))
    assert untaken(browser)
    view(browser, "device")
    assert "onerror" in text(browser, "main dl")
    assert untaken(browser)


def test_a_nights_words_are_text(browser: webdriver.Chrome, state: Path) -> None:
    own = {"total": 3, "before": 1, "after": 2}
    night = {"at": 1e9, "outcome": HOSTILE, "why": HOSTILE, "candidate": HOSTILE}
    records.append_night(state, {**night, "outcomes": {HOSTILE: own}, "curve": [], "epochs": []})
    view(browser, "training")
    until(browser, lambda: "onerror" in text(browser, "#nights"))
    assert "onerror" in text(browser, "#training-says")
    assert untaken(browser)


def test_the_name_of_a_file_that_is_sent_is_text(browser: webdriver.Chrome, tmp_path: Path) -> None:
    file = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    file.write_bytes(b"no picture")
    browser.find_element(By.ID, "photo").send_keys(str(file))
    until(browser, lambda: "not a JPEG or PNG picture" in text(browser, "#problem"))
    assert untaken(browser)


def test_the_policy_stops_what_would_be_on_the_page_all_the_same(
    browser: webdriver.Chrome,
) -> None:
    browser.execute_script("document.querySelector('main').innerHTML = arguments[0]", HOSTILE)
    until(browser, lambda: "script-src" in str(browser.get_log("browser")))
    assert browser.title != "taken"
