"""Markup in texts that a stranger chose is shown as text, and no script in it runs."""

from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By

from appliance.networks.vault import Vault
from appliance.storage.layout import StateDirectory
from appliance.training import records
from tests.browser.page import open_view, text, wait_until
from tests.networks.test_live import saying

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


def is_harmless(browser: webdriver.Chrome) -> bool:
    return browser.title != "taken" and not browser.find_elements(By.CSS_SELECTOR, "img[src=x]")


def test_a_promoted_networks_card_is_text(browser: webdriver.Chrome, state: Path) -> None:
    vault = Vault(StateDirectory(state).networks)
    card = {"preset": HOSTILE, "command": HOSTILE, "data": {HOSTILE: HOSTILE}, "report": HOSTILE}
    vault.promote(vault.add(saying(8), card))
    open_view(browser, "training")
    rows = "#networks tr[data-state=current] button"
    wait_until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, rows))
    browser.execute_script("document.querySelector(arguments[0]).click()", rows)
    wait_until(browser, lambda: "onerror" in text(browser, "#network-facts"))
    assert is_harmless(browser)
    open_view(browser, "device")
    assert "onerror" in text(browser, "main dl")
    assert is_harmless(browser)


def test_the_words_of_a_training_are_text(browser: webdriver.Chrome, state: Path) -> None:
    own = {"total": 3, "before": 1, "after": 2}
    night = {"at": 1e9, "outcome": HOSTILE, "why": HOSTILE, "candidate": HOSTILE}
    records.append_night(state, {**night, "outcomes": {HOSTILE: own}, "curve": [], "epochs": []})
    open_view(browser, "training")
    wait_until(browser, lambda: "onerror" in text(browser, "#nights"))
    assert "onerror" in text(browser, "#training-says")
    assert is_harmless(browser)


def test_the_name_of_a_file_that_is_sent_is_text(browser: webdriver.Chrome, tmp_path: Path) -> None:
    file = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    file.write_bytes(b"no picture")
    browser.find_element(By.ID, "photo").send_keys(str(file))
    wait_until(
        browser,
        lambda: "BMP, GIF or TIFF picture" in text(browser, "#problem"),
    )
    assert is_harmless(browser)


def test_the_policy_stops_a_script_that_got_onto_the_page(
    browser: webdriver.Chrome,
) -> None:
    browser.execute_script("document.querySelector('main').innerHTML = arguments[0]", HOSTILE)
    wait_until(browser, lambda: "script-src" in str(browser.get_log("browser")))
    assert browser.title != "taken"
