"""The view Device: the owner's switches and settings, and the page's language."""

from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.browser.page import console_errors, fits_the_window, open_view, text, wait_until


def restart_program(browser: webdriver.Chrome) -> None:
    browser.find_element(By.CSS_SELECTOR, '[data-post="device/start-again"]').click()
    browser.switch_to.alert.accept()
    wait_until(browser, lambda: "starts again" in text(browser, "#device-says"))


def test_the_owner_changes_a_setting_and_restarts_the_program(browser: webdriver.Chrome) -> None:
    open_view(browser, "device")
    wait_until(browser, lambda: text(browser, "#owner") == "Lock")
    form = browser.find_element(By.CSS_SELECTOR, 'form[data-key="agree"]')
    field = form.find_element(By.NAME, "value")
    field.clear()
    field.send_keys("99")
    form.find_element(By.CSS_SELECTOR, "button").click()
    wait_until(
        browser, lambda: "must be from 1 to 50" in str(field.get_property("validationMessage"))
    )
    assert not browser.find_element(By.ID, "settings-waiting").is_displayed()
    field.clear()
    field.send_keys("2")
    form.find_element(By.CSS_SELECTOR, "button").click()
    wait_until(browser, lambda: "next start" in text(browser, "#settings-waiting"))
    assert fits_the_window(browser)
    restart_program(browser)
    origin = "form[data-key='agree'] .back"
    wait_until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, origin))
    assert not browser.find_element(By.ID, "settings-waiting").is_displayed()
    browser.find_element(By.CSS_SELECTOR, origin).click()
    wait_until(browser, lambda: browser.find_element(By.ID, "settings-waiting").is_displayed())
    restart_program(browser)
    wait_until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, origin))


def test_all_checks_are_run(browser: webdriver.Chrome) -> None:
    open_view(browser, "device")
    wait_until(browser, lambda: text(browser, "#owner") == "Lock")
    assert not browser.find_element(By.ID, "findings").is_displayed()
    browser.find_element(By.ID, "check-all").click()
    wait_until(browser, lambda: "✔ version: " in text(browser, "#findings"))
    assert "✔ camera: folder:" in text(browser, "#findings")
    assert "✘ MNIST: " in text(browser, "#findings .warning")
    assert text(browser, "#device-says") == ""
    assert fits_the_window(browser)


def test_switches_say_that_there_are_no_leds_and_no_systemd(browser: webdriver.Chrome) -> None:
    open_view(browser, "device")
    wait_until(browser, lambda: text(browser, "#owner") == "Lock")
    browser.find_element(By.CSS_SELECTOR, '[data-post="leds/test"]').click()
    wait_until(browser, lambda: "has no LEDs" in text(browser, "#device-says"))
    browser.find_element(By.CSS_SELECTOR, '[data-post="device/power-off"]').click()
    browser.switch_to.alert.accept()
    wait_until(browser, lambda: "where it was started" in text(browser, "#device-says"))


def test_settings_and_log_are_there_for_the_owner_alone(
    stranger: webdriver.Chrome, pin: str
) -> None:
    open_view(stranger, "device")
    wait_until(stranger, lambda: text(stranger, "#owner") == "Unlock")
    assert "Only the owner sees the log" in text(stranger, "main")
    assert not stranger.find_elements(By.CSS_SELECTOR, "form.setting, table.settings, .log")
    assert fits_the_window(stranger)
    stranger.find_element(By.ID, "device-unlock").click()
    wait_until(stranger, lambda: stranger.find_element(By.ID, "pin").is_displayed())
    stranger.find_element(By.ID, "pin-input").send_keys(pin + "\n")
    wait_until(stranger, lambda: stranger.find_elements(By.CSS_SELECTOR, "form.setting"))
    assert "the page is at" in text(stranger, ".log")
    assert fits_the_window(stranger)
    stranger.find_element(By.ID, "owner").click()
    wait_until(stranger, lambda: not stranger.find_elements(By.CSS_SELECTOR, "form.setting, .log"))
    # Unlocking shows them again.
    wait_until(stranger, lambda: text(stranger, "#owner") == "Unlock")
    stranger.find_element(By.ID, "owner").click()
    wait_until(stranger, lambda: stranger.find_element(By.ID, "pin").is_displayed())
    stranger.find_element(By.ID, "pin-input").send_keys(pin + "\n")
    wait_until(stranger, lambda: stranger.find_elements(By.CSS_SELECTOR, "form.setting"))
    assert console_errors(stranger) == []


def test_a_strangers_switch_asks_for_the_pin_and_then_works(
    stranger: webdriver.Chrome, pin: str
) -> None:
    open_view(stranger, "device")
    wait_until(stranger, lambda: text(stranger, "#owner") == "Unlock")
    stranger.find_element(By.CSS_SELECTOR, '[data-post="leds/test"]').click()
    wait_until(stranger, lambda: stranger.find_element(By.ID, "pin").is_displayed())
    stranger.find_element(By.ID, "pin-input").send_keys(pin + "\n")
    wait_until(stranger, lambda: "has no LEDs" in text(stranger, "#device-says"))


def test_a_chosen_language_is_kept_from_view_to_view(browser: webdriver.Chrome) -> None:
    for language, now, device, waits in (
        ("Deutsch", "Jetzt", "Gerät", "Was ist es wirklich?"),
        ("Français", "Maintenant", "Appareil", "Qu'est-ce vraiment ?"),
    ):
        browser.find_element(By.LINK_TEXT, language).click()
        wait_until(browser, lambda now=now: text(browser, "nav [aria-current]") == now)
        # The scripts' texts are in the language as well.
        wait_until(browser, lambda w=waits: w in text(browser, "#live .teach .of"))
        browser.find_element(By.LINK_TEXT, device).click()
        wait_until(browser, lambda device=device: text(browser, "nav [aria-current]") == device)
        assert fits_the_window(browser)
        browser.find_element(By.LINK_TEXT, now).click()
    browser.find_element(By.LINK_TEXT, "English").click()
    wait_until(browser, lambda: text(browser, "nav [aria-current]") == "Now")
    assert console_errors(browser) == []
