"""The view History, which needs no script."""

from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.browser.page import console_errors, fits_the_window, text, wait_until


def test_the_history_is_listed_and_filtered(browser: webdriver.Chrome, address: str) -> None:
    wait_until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "#history li")) > 1)
    browser.find_element(By.LINK_TEXT, "History").click()
    wait_until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".readings tbody tr"))
    assert browser.current_url == f"{address}history"
    assert text(browser, "header nav [aria-current]") == "History"
    digit = text(browser, ".readings tbody b")
    browser.find_element(By.LINK_TEXT, digit if digit != "–" else "none").click()
    wait_until(browser, lambda: "answer=" in browser.current_url)
    rows = browser.find_elements(By.CSS_SELECTOR, ".readings tbody b")
    assert {row.text for row in rows} == {digit}
    assert fits_the_window(browser)
    assert console_errors(browser) == []
    browser.find_element(By.LINK_TEXT, "Now").click()
    wait_until(browser, lambda: text(browser, "#live .digit") not in ("", "–"))
