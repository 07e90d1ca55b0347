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


def test_settings_and_log_are_there_for_the_owner_alone(
    strangers: webdriver.Chrome, pin: str
) -> None:
    view(strangers, "device")
    until(strangers, lambda: text(strangers, "#owner") == "Unlock")
    assert "Only the owner sees the log" in text(strangers, "main")
    assert not strangers.find_elements(By.CSS_SELECTOR, "form.setting, table.settings, .log")
    assert no_wider_than_the_window(strangers)
    strangers.find_element(By.ID, "device-unlock").click()
    until(strangers, lambda: strangers.find_element(By.ID, "pin").is_displayed())
    strangers.find_element(By.ID, "pin-input").send_keys(pin + "\n")
    until(strangers, lambda: strangers.find_elements(By.CSS_SELECTOR, "form.setting"))
    assert "the page is at" in text(strangers, ".log")
    assert no_wider_than_the_window(strangers)
    strangers.find_element(By.ID, "owner").click()
    until(strangers, lambda: not strangers.find_elements(By.CSS_SELECTOR, "form.setting, .log"))
    # The badge shows them as well.
    until(strangers, lambda: text(strangers, "#owner") == "Unlock")
    strangers.find_element(By.ID, "owner").click()
    until(strangers, lambda: strangers.find_element(By.ID, "pin").is_displayed())
    strangers.find_element(By.ID, "pin-input").send_keys(pin + "\n")
    until(strangers, lambda: strangers.find_elements(By.CSS_SELECTOR, "form.setting"))
    assert complaints(strangers) == []


def test_a_strangers_press_on_a_switch_asks_for_the_pin_and_then_does_it(
    strangers: webdriver.Chrome, pin: str
) -> None:
    view(strangers, "device")
    until(strangers, lambda: text(strangers, "#owner") == "Unlock")
    strangers.find_element(By.CSS_SELECTOR, '[data-post="leds/test"]').click()
    until(strangers, lambda: strangers.find_element(By.ID, "pin").is_displayed())
    strangers.find_element(By.ID, "pin-input").send_keys(pin + "\n")
    until(strangers, lambda: "has no LEDs" in text(strangers, "#device-says"))


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
