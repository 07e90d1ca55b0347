"""The history's view, which needs no script."""

from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.browser.page import complaints, no_wider_than_the_window, text, until


def test_the_history_is_a_view_of_its_own(browser: webdriver.Chrome, address: str) -> None:
    until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "#history li")) > 1)
    browser.find_element(By.LINK_TEXT, "History").click()
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".readings tbody tr"))
    assert browser.current_url == f"{address}history"
    assert text(browser, "header nav [aria-current]") == "History"
    digit = text(browser, ".readings tbody b")
    browser.find_element(By.LINK_TEXT, digit if digit != "–" else "none").click()
    until(browser, lambda: "answer=" in browser.current_url)
    rows = browser.find_elements(By.CSS_SELECTOR, ".readings tbody b")
    assert {row.text for row in rows} == {digit}
    assert no_wider_than_the_window(browser)
    assert complaints(browser) == []
    browser.find_element(By.LINK_TEXT, "Now").click()
    until(browser, lambda: text(browser, "#live .digit") not in ("", "–"))
