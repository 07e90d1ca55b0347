"""What is true of every view: nothing from elsewhere, no complaint, nothing too wide."""

import time

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from appliance.web.language import LANGUAGES
from tests.browser.page import complaints, no_wider_than_the_window, text, until, view


def views(browser: webdriver.Chrome) -> list[str]:
    """Return the paths that the page itself leads to."""
    links = browser.find_elements(By.CSS_SELECTOR, "header nav a")
    return [str(link.get_property("pathname")).lstrip("/") for link in links]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_view_stands_by_itself(
    browser: webdriver.Chrome, address: str, language: str
) -> None:
    found = views(browser)
    assert len(found) >= 6
    for name in found:
        view(browser, f"{name}?language={language}")
        assert browser.execute_script("return document.documentElement.lang") == language
        # Until the scripts have asked and shown what they do.
        until(browser, lambda: browser.execute_script("return document.readyState") == "complete")
        time.sleep(0.7)
        assert no_wider_than_the_window(browser), name
        assert len(browser.find_elements(By.TAG_NAME, "h1")) == 1
        assert text(browser, "header nav [aria-current]")
        # A text that is missing would stand there as its key, or as its braces.
        shown = text(browser, "body")
        assert "undefined" not in shown
        assert "{" not in text(browser, "header") + text(browser, "main h2")
        assert complaints(browser) == [], name
    log = [line["message"] for line in browser.get_log("performance")]
    sent = [line for line in log if 'Network.requestWillBeSent"' in line]
    assert len(sent) > 20
    assert [line for line in sent if address not in line and '"url":"data:' not in line] == []
    view(browser, "?language=en")
