"""The device's view: the owner's switches and settings, and the page's language."""

from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.browser.page import complaints, no_wider_than_the_window, text, until, view


def start_again(browser: webdriver.Chrome) -> None:
    browser.find_element(By.CSS_SELECTOR, '[data-post="device/start-again"]').click()
    browser.switch_to.alert.accept()
    until(browser, lambda: "starts again" in text(browser, "#device-says"))


def test_the_owner_changes_a_setting_and_starts_again(browser: webdriver.Chrome) -> None:
    view(browser, "device")
    until(browser, lambda: text(browser, "#owner") == "Lock")
    form = browser.find_element(By.CSS_SELECTOR, 'form[data-key="agree"]')
    field = form.find_element(By.NAME, "value")
    field.clear()
    field.send_keys("99")
    form.find_element(By.CSS_SELECTOR, "button").click()
    until(browser, lambda: "must be from 1 to 50" in str(field.get_property("validationMessage")))
    assert not browser.find_element(By.ID, "settings-waiting").is_displayed()
    field.clear()
    field.send_keys("2")
    form.find_element(By.CSS_SELECTOR, "button").click()
    until(browser, lambda: "next start" in text(browser, "#settings-waiting"))
    assert no_wider_than_the_window(browser)
    start_again(browser)
    origin = "form[data-key='agree'] .back"
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, origin))
    assert not browser.find_element(By.ID, "settings-waiting").is_displayed()
    browser.find_element(By.CSS_SELECTOR, origin).click()
    until(browser, lambda: browser.find_element(By.ID, "settings-waiting").is_displayed())
    start_again(browser)
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, origin))


def test_all_is_checked(browser: webdriver.Chrome) -> None:
    view(browser, "device")
    until(browser, lambda: text(browser, "#owner") == "Lock")
    assert not browser.find_element(By.ID, "findings").is_displayed()
    browser.find_element(By.ID, "check-all").click()
    until(browser, lambda: "✔ version: " in text(browser, "#findings"))
    assert "✔ camera: folder:" in text(browser, "#findings")
    assert "✘ MNIST: " in text(browser, "#findings .warning")
    assert text(browser, "#device-says") == ""
    assert no_wider_than_the_window(browser)


def test_without_leds_and_systemd_the_switches_say_so(browser: webdriver.Chrome) -> None:
    view(browser, "device")
    until(browser, lambda: text(browser, "#owner") == "Lock")
    browser.find_element(By.CSS_SELECTOR, '[data-post="leds/test"]').click()
    until(browser, lambda: "has no LEDs" in text(browser, "#device-says"))
    browser.find_element(By.CSS_SELECTOR, '[data-post="device/power-off"]').click()
    browser.switch_to.alert.accept()
    until(browser, lambda: "where it was started" in text(browser, "#device-says"))


def test_a_stranger_sees_the_settings_and_no_fields(strangers: webdriver.Chrome) -> None:
    view(strangers, "device")
    until(strangers, lambda: text(strangers, "#owner") == "Unlock")
    assert not strangers.find_element(By.CSS_SELECTOR, "form.setting").is_displayed()
    assert "agree" in text(strangers, "main")
    strangers.find_element(By.CSS_SELECTOR, '[data-post="leds/test"]').click()
    until(strangers, lambda: strangers.find_element(By.ID, "pin").is_displayed())


def test_the_language_is_switched_and_stays(browser: webdriver.Chrome) -> None:
    for language, now, device, waits in (
        ("Deutsch", "Jetzt", "Gerät", "Was ist es wirklich?"),
        ("Français", "Maintenant", "Appareil", "Qu'est-ce vraiment ?"),
    ):
        browser.find_element(By.LINK_TEXT, language).click()
        until(browser, lambda now=now: text(browser, "nav [aria-current]") == now)
        # What the scripts say is in the language as well.
        until(browser, lambda w=waits: w in text(browser, "#live .teach .of"))
        browser.find_element(By.LINK_TEXT, device).click()
        until(browser, lambda device=device: text(browser, "nav [aria-current]") == device)
        assert no_wider_than_the_window(browser)
        browser.find_element(By.LINK_TEXT, now).click()
    browser.find_element(By.LINK_TEXT, "English").click()
    until(browser, lambda: text(browser, "nav [aria-current]") == "Now")
    assert complaints(browser) == []
