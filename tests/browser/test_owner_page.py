"""The page of somebody who has not shown the PIN, and what changes when it is shown."""

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.page import draw, labels, text, until


def tap(browser: webdriver.Chrome, digit: int) -> None:
    """Draw a digit and say that it is one."""
    draw(browser, digit)
    until(browser, lambda: text(browser, "#mine .digit") == str(digit))
    labels(browser, "#mine")[str(digit)].click()
    until(browser, lambda: browser.find_element(By.ID, "pin").is_displayed())


def pin_shown(browser: webdriver.Chrome, pin: str) -> None:
    field = browser.find_element(By.ID, "pin-input")
    field.clear()
    field.send_keys(pin, Keys.ENTER)


def kept(browser: webdriver.Chrome) -> int:
    script = "fetch('/api/v1/captures').then((a) => a.json()).then((a) => arguments[0](a.total))"
    return int(browser.execute_async_script(script))


def severe(browser: webdriver.Chrome) -> list[str]:
    """Return the console's errors, but for the refusals that a stranger is to get."""
    lines = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    return [line for line in lines if not any(f"status of {code}" in line for code in (401, 403))]


def test_a_change_asks_for_the_pin_and_goes_on_when_it_is_shown(
    strangers: webdriver.Chrome, pin: str
) -> None:
    before = kept(strangers)
    assert text(strangers, "#owner") == "Unlock"
    tap(strangers, 3)
    pin_shown(strangers, f"{(int(pin) + 1) % 10**6:06}")
    until(strangers, lambda: "that is not the PIN" in text(strangers, "#pin-problem"))
    assert kept(strangers) == before
    pin_shown(strangers, pin)
    until(strangers, lambda: "Kept as 3" in text(strangers, "#mine .taught"))
    assert kept(strangers) == before + 1
    assert not strangers.find_element(By.ID, "pin").is_displayed()
    assert text(strangers, "#owner") == "Lock"
    assert severe(strangers) == []


@pytest.mark.parametrize("leave", ["button", "escape"])
def test_who_leaves_the_pin_changes_nothing(strangers: webdriver.Chrome, leave: str) -> None:
    before = kept(strangers)
    tap(strangers, 7)
    if leave == "button":
        strangers.find_element(By.ID, "pin-cancel").click()
    else:
        strangers.find_element(By.ID, "pin-input").send_keys(Keys.ESCAPE)
    until(strangers, lambda: "only the owner may" in text(strangers, "#mine .taught"))
    assert kept(strangers) == before
    # It can be asked for again.
    labels(strangers, "#mine")["7"].click()
    until(strangers, lambda: strangers.find_element(By.ID, "pin").is_displayed())


def test_the_owner_leaves(browser: webdriver.Chrome) -> None:
    until(browser, lambda: text(browser, "#owner") == "Lock")
    browser.find_element(By.ID, "owner").click()
    until(browser, lambda: text(browser, "#owner") == "Unlock")
    browser.refresh()
    until(browser, lambda: text(browser, "#live .digit") not in ("", "–"))
    assert text(browser, "#owner") == "Unlock"
    browser.find_element(By.ID, "owner").click()
    until(browser, lambda: browser.find_element(By.ID, "pin").is_displayed())
