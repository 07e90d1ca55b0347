"""The page for somebody who has not shown the PIN, and what the PIN changes."""

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.page import draw, label_buttons, text, wait_until


def tap(browser: webdriver.Chrome, digit: int) -> None:
    """Draw a digit, label it as what it is, and wait for the question for the PIN."""
    draw(browser, digit)
    wait_until(browser, lambda: text(browser, "#mine .digit") == str(digit))
    label_buttons(browser, "#mine")[str(digit)].click()
    wait_until(browser, lambda: browser.find_element(By.ID, "pin").is_displayed())


def enter_pin(browser: webdriver.Chrome, pin: str) -> None:
    field = browser.find_element(By.ID, "pin-input")
    field.clear()
    field.send_keys(pin, Keys.ENTER)


def count_captures(browser: webdriver.Chrome) -> int:
    script = "fetch('/api/v1/captures').then((a) => a.json()).then((a) => arguments[0](a.total))"
    return int(browser.execute_async_script(script))


def unexpected_errors(browser: webdriver.Chrome) -> list[str]:
    """Return the errors on the console, but for the refusals that a stranger should get."""
    lines = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    return [line for line in lines if not any(f"status of {code}" in line for code in (401, 403))]


def test_a_change_asks_for_the_pin_and_is_then_made(stranger: webdriver.Chrome, pin: str) -> None:
    before = count_captures(stranger)
    assert text(stranger, "#owner") == "Unlock"
    tap(stranger, 3)
    enter_pin(stranger, f"{(int(pin) + 1) % 10**6:06}")
    wait_until(stranger, lambda: "that is not the PIN" in text(stranger, "#pin-problem"))
    assert count_captures(stranger) == before
    enter_pin(stranger, pin)
    wait_until(stranger, lambda: "Kept as 3" in text(stranger, "#mine .taught"))
    assert count_captures(stranger) == before + 1
    assert not stranger.find_element(By.ID, "pin").is_displayed()
    assert text(stranger, "#owner") == "Lock"
    assert unexpected_errors(stranger) == []


@pytest.mark.parametrize("leave", ["button", "escape"])
def test_nothing_changes_where_the_pin_is_cancelled(stranger: webdriver.Chrome, leave: str) -> None:
    before = count_captures(stranger)
    tap(stranger, 7)
    if leave == "button":
        stranger.find_element(By.ID, "pin-cancel").click()
    else:
        stranger.find_element(By.ID, "pin-input").send_keys(Keys.ESCAPE)
    wait_until(stranger, lambda: "only the owner may" in text(stranger, "#mine .taught"))
    assert count_captures(stranger) == before
    # It can be asked for again.
    label_buttons(stranger, "#mine")["7"].click()
    wait_until(stranger, lambda: stranger.find_element(By.ID, "pin").is_displayed())


def test_the_owner_locks_the_page(browser: webdriver.Chrome) -> None:
    wait_until(browser, lambda: text(browser, "#owner") == "Lock")
    browser.find_element(By.ID, "owner").click()
    wait_until(browser, lambda: text(browser, "#owner") == "Unlock")
    browser.refresh()
    wait_until(browser, lambda: text(browser, "#live .digit") not in ("", "–"))
    assert text(browser, "#owner") == "Unlock"
    browser.find_element(By.ID, "owner").click()
    wait_until(browser, lambda: browser.find_element(By.ID, "pin").is_displayed())
