"""The view Inside, which needs no script: step by step through the network."""

from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.browser.page import console_errors, fits_the_window, open_view, text, wait_until


def test_a_digit_is_followed_from_the_picture_to_the_answer(
    browser: webdriver.Chrome, address: str
) -> None:
    wait_until(browser, lambda: text(browser, "#live .digit") not in ("", "–"))
    browser.find_element(By.LINK_TEXT, "Inside").click()
    wait_until(browser, lambda: "1 of 14: Picture" in text(browser, "#step-title"))
    assert browser.current_url == f"{address}inside"
    assert text(browser, "header nav [aria-current]") == "Inside"
    browser.find_element(By.LINK_TEXT, "7").click()
    wait_until(browser, lambda: "digit=7" in browser.current_url)
    for step in range(2, 15):
        browser.find_element(By.CSS_SELECTOR, "[rel=next]").click()
        wait_until(browser, lambda step=step: f"Step {step} of 14" in text(browser, "#step-title"))
        assert text(browser, ".layers [aria-current]").startswith(("–", "7", f"{step}. "))
        assert fits_the_window(browser)
        assert fits(browser, "#step img, #step svg")
    assert text(browser, ".outcome").startswith("The answer: 7, with ")
    browser.find_element(By.CSS_SELECTOR, "[rel=prev]").click()
    wait_until(browser, lambda: "Step 13 of 14: Dense" in text(browser, "#step-title"))
    browser.find_element(By.PARTIAL_LINK_TEXT, "4. ReLU").click()
    wait_until(browser, lambda: "Step 4 of 14: ReLU" in text(browser, "#step-title"))
    assert console_errors(browser) == []


def test_all_pictures_load_and_stay_within_their_cards(browser: webdriver.Chrome) -> None:
    open_view(browser, "inside?layer=8&digit=3")
    broken = browser.execute_script(
        "return [...document.images].filter((image) => !image.naturalWidth).length"
    )
    assert broken == 0
    assert len(browser.find_elements(By.CSS_SELECTOR, ".backwards img")) == 10
    assert fits(browser, ".card img, .card svg, .card table, .card code")
    assert fits_the_window(browser)
    assert console_errors(browser) == []


def fits(browser: webdriver.Chrome, selector: str) -> bool:
    """Tell whether no such element reaches out of its card on the right."""
    return bool(
        browser.execute_script(
            """
            const right = (it) => it.getBoundingClientRect().right;
            return [...document.querySelectorAll(arguments[0])]
              .every((it) => right(it) <= right(it.closest(".card")));
            """,
            selector,
        )
    )
