"""What is true of every view: no request to other hosts, no error, nothing too wide."""

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from appliance.web.language import LANGUAGES
from tests.browser.page import (
    console_errors,
    fits_the_window,
    open_view,
    text,
    view_urls,
    wait_until_filled,
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_view_works_in_every_language(
    browser: webdriver.Chrome, address: str, language: str
) -> None:
    for url in view_urls(browser):
        browser.get(f"{url}?language={language}")
        wait_until_filled(browser)
        assert browser.execute_script("return document.documentElement.lang") == language
        assert fits_the_window(browser), url
        assert len(browser.find_elements(By.TAG_NAME, "h1")) == 1
        assert text(browser, "header nav [aria-current]")
        # A missing text would show as "undefined", a missing value as its braces.
        shown = text(browser, "body")
        assert "undefined" not in shown
        assert "{" not in text(browser, "header") + text(browser, "main h2")
        assert console_errors(browser) == [], url
    log = [line["message"] for line in browser.get_log("performance")]
    sent = [line for line in log if 'Network.requestWillBeSent"' in line]
    assert len(sent) > 20
    assert [line for line in sent if address not in line and '"url":"data:' not in line] == []
    open_view(browser, "?language=en")
