"""The page in Chromium: live readings, drawings, photographs, networks, captures."""

import os
import time
import zipfile
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from appliance.captures.store import Captures
from appliance.networks.promotions import Promotions
from appliance.networks.vault import Vault
from appliance.storage.layout import StateDirectory
from tests.browser.page import (
    console_errors,
    delete_all_captures,
    draw,
    draw_and_teach,
    fits_the_window,
    label_buttons,
    open_view,
    text,
    wait_until,
)
from tests.captured import add_capture
from tests.conftest import ROOT, SAMPLES
from tests.networks.test_live import saying


@pytest.mark.parametrize("digit", [3, 7])
def test_a_drawn_digit_is_read_after_a_pause(browser: webdriver.Chrome, digit: int) -> None:
    draw(browser, digit)
    wait_until(browser, lambda: text(browser, "#mine .digit") == str(digit))
    assert text(browser, "#mine .bars .top span") == str(digit)
    glyph = browser.find_element(By.CSS_SELECTOR, "#mine .stage-glyph img")
    assert glyph.get_property("naturalWidth") == 28
    # It can be followed through the network.
    inside = browser.find_element(By.CSS_SELECTOR, "#mine .inside a")
    assert "/inside?reading=-" in str(inside.get_property("href"))
    # The list of digits in view is for several.
    assert not browser.find_element(By.CSS_SELECTOR, "#mine .all").is_displayed()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#mine .box")) == 1
    browser.find_element(By.ID, "clear").click()
    assert not browser.find_element(By.ID, "mine").is_displayed()


def test_the_camera_is_live_and_no_request_goes_elsewhere(
    browser: webdriver.Chrome, address: str
) -> None:
    first = wait_until(browser, lambda: text(browser, "#live .digit") not in ("", "–"))
    assert first
    shown = text(browser, "#live .digit")
    wait_until(browser, lambda: text(browser, "#live .digit") not in (shown, "–"))
    wait_until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#history li"))
    frame = browser.find_element(By.CSS_SELECTOR, "#live .stage-frame img")
    assert frame.get_property("naturalWidth") == 320
    assert fits_the_window(browser)
    assert console_errors(browser) == []
    asked = [line["message"] for line in browser.get_log("performance")]
    sent = [line for line in asked if 'Network.requestWillBeSent"' in line]
    assert sent
    assert [line for line in sent if address not in line] == []


def test_the_box_lies_on_the_digit(browser: webdriver.Chrome) -> None:
    script = """
      const box = document.querySelector('#live .box'), frame = box?.parentElement;
      if (!box || box.hidden) return null;
      const [b, f] = [box.getBoundingClientRect(), frame.getBoundingClientRect()];
      return b.left >= f.left && b.right <= f.right && b.top >= f.top && b.bottom <= f.bottom
        && b.width > 10 && b.height > 30;
    """
    assert wait_until(browser, lambda: browser.execute_script(script))


def test_each_of_several_digits_has_a_box_and_an_answer(browser: webdriver.Chrome) -> None:
    draw(browser, 3, middle=-0.25, height=0.7)
    draw(browser, 2, middle=0.27, height=0.4)
    wait_until(browser, lambda: text(browser, "#mine .all") == "in view: 3 2")
    assert text(browser, "#mine .digit") == "3"
    script = """
      return [...document.querySelectorAll('#mine .box')].map((box) => {
        const [b, f] = [box.getBoundingClientRect(), box.parentElement.getBoundingClientRect()];
        const answer = getComputedStyle(box, '::after').content;
        return [answer, box.classList.contains('primary'),
                (b.left - f.left) / f.width, (b.right - f.left) / f.width,
                (b.top - f.top) / f.height, (b.bottom - f.top) / f.height];
      });
    """
    three, two = browser.execute_script(script)
    assert (three[:2], two[:2]) == (['"3"', True], ['"2"', False])
    drawn = (three[2:], 0.25, 0.7), (two[2:], 0.77, 0.4)
    for (left, right, top, bottom), middle, height in drawn:
        assert left < middle < right
        assert 0.4 * height < right - left < height
        assert abs((top + bottom) / 2 - 0.5) < 0.08
        assert abs(bottom - top - height) < 0.15


def test_an_empty_pad_is_not_sent(browser: webdriver.Chrome) -> None:
    browser.find_element(By.ID, "read").click()
    wait_until(browser, lambda: text(browser, "#problem") == "Draw a digit first.")
    assert not browser.find_element(By.ID, "mine").is_displayed()
    draw(browser, 3)
    wait_until(browser, lambda: text(browser, "#mine .digit") == "3")
    assert not browser.find_element(By.ID, "problem").is_displayed()
    browser.find_element(By.ID, "clear").click()
    browser.find_element(By.ID, "read").click()
    wait_until(browser, lambda: text(browser, "#problem") == "Draw a digit first.")
    asked = [line["message"] for line in browser.get_log("performance")]
    assert sum("/api/v1/read?" in line and 'requestWillBeSent"' in line for line in asked) == 1


def test_a_sent_photograph_is_read(browser: webdriver.Chrome) -> None:
    browser.find_element(By.ID, "photo").send_keys(str(SAMPLES / "5-chalk.jpg"))
    wait_until(browser, lambda: text(browser, "#mine .digit") == "5")


def test_a_file_that_is_no_picture_is_refused_on_the_page(browser: webdriver.Chrome) -> None:
    browser.find_element(By.ID, "photo").send_keys(os.fspath(ROOT / "LICENSE"))
    wait_until(
        browser,
        lambda: "BMP, GIF or TIFF picture" in text(browser, "#problem"),
    )
    assert not browser.find_element(By.ID, "mine").is_displayed()


def press(browser: webdriver.Chrome, label: str, question: str | None = None) -> None:
    """Press the button with this label, and confirm its question."""
    script = "return document.querySelector('[aria-label=\"' + arguments[0] + '\"]')"
    button = wait_until(browser, lambda: browser.execute_script(script, label))
    if question:
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
        asked = browser.switch_to.alert
        assert question in asked.text
        asked.accept()
    else:
        browser.execute_script("arguments[0].click()", button)


def test_a_network_is_promoted_compared_and_rolled_back(
    browser: webdriver.Chrome, state: Path
) -> None:
    vault = Vault(StateDirectory(state).networks)
    shipped = vault.list_networks()[-1].id
    eight = vault.add(saying(8), {"preset": "eight", "own": {"right": 3, "total": 4}})
    open_view(browser, "training")
    press(browser, f"Card of network {eight}")
    wait_until(browser, lambda: "75.00 % (3 of 4)" in text(browser, "#network-facts"))
    assert shipped in text(browser, "#network-facts")
    press(browser, f"Promote network {eight}", f"instead of {shipped}?")
    wait_until(browser, lambda: eight in text(browser, '#networks [data-state="current"]'))
    assert vault.load_current().id == eight
    assert fits_the_window(browser)
    open_view(browser, "")
    draw(browser, 3)
    wait_until(browser, lambda: text(browser, "#mine .digit") == "8")
    wait_until(browser, lambda: text(browser, "#live .digit") == "8")
    open_view(browser, "training")
    wait_until(browser, lambda: browser.find_element(By.ID, "roll-back").is_displayed())
    browser.find_element(By.ID, "roll-back").click()
    browser.switch_to.alert.accept()
    wait_until(browser, lambda: shipped in text(browser, '#networks [data-state="current"]'))
    assert not browser.find_element(By.ID, "roll-back").is_displayed()
    assert console_errors(browser) == []


def test_the_page_says_that_a_network_is_damaged(browser: webdriver.Chrome, state: Path) -> None:
    vault = Vault(StateDirectory(state).networks)
    six = vault.add(saying(6), {"preset": "six"})
    file = vault.folder / f"{six}.npz"
    file.write_bytes(file.read_bytes()[:-9])
    Promotions(vault.folder).promote(six)
    browser.refresh()
    wait_until(browser, lambda: "stands in" in text(browser, "#fault"))
    open_view(browser, "training")
    wait_until(browser, lambda: "is damaged" in text(browser, "#networks-problem"))
    assert "damaged" in text(browser, '#networks [data-state="damaged"]')
    browser.find_element(By.ID, "roll-back").click()
    browser.switch_to.alert.accept()
    wait_until(browser, lambda: not text(browser, "#networks-problem"))
    open_view(browser, "device")
    assert "stands in" not in text(browser, "main dl")


def fetch_captures(browser: webdriver.Chrome) -> list[tuple[int, int | None]]:
    """Return (label, answer) of every capture, the newest first."""
    script = """
      fetch("/api/v1/captures").then((answer) => answer.json())
        .then(({captures}) => arguments[0](captures.map(({label, said}) => [label, said])));
    """
    return [tuple(each) for each in browser.execute_async_script(script)]


def row_texts(browser: webdriver.Chrome) -> list[str]:
    """Return the texts of the listed captures; a row itself may be replaced at any time."""
    script = """
      return [...document.querySelectorAll('#captures li[data-id]')].map((row) => row.innerText);
    """
    texts: list[str] = browser.execute_script(script)
    return texts


def test_a_drawing_is_corrected_with_one_tap_and_undone(browser: webdriver.Chrome) -> None:
    delete_all_captures(browser)
    draw_and_teach(browser, 3, "8")
    assert label_buttons(browser, "#mine")["8"].get_attribute("aria-pressed") == "true"
    assert fetch_captures(browser) == [(8, 3)]
    browser.find_element(By.CSS_SELECTOR, "#mine .taught button").click()
    wait_until(browser, lambda: text(browser, "#mine .taught") == "Undone.")
    assert fetch_captures(browser) == []
    label_buttons(browser, "#mine")["Right, 3"].click()
    wait_until(browser, lambda: fetch_captures(browser) == [(3, 3)])
    open_view(browser, "teach")
    wait_until(browser, lambda: len(row_texts(browser)) == 1)
    assert "Confirmed, read as 3" in row_texts(browser)[0]


def test_the_cameras_reading_is_labelled_with_the_keyboard(browser: webdriver.Chrome) -> None:
    delete_all_captures(browser)
    wait_until(browser, lambda: label_buttons(browser, "#live")["5"].is_enabled())
    browser.execute_script("arguments[0].focus()", label_buttons(browser, "#live")["5"])
    browser.switch_to.active_element.send_keys(" ")
    wait_until(browser, lambda: text(browser, "#live .taught").startswith("Kept as 5."))
    assert [label for label, _ in fetch_captures(browser)] == [5]
    assert fits_the_window(browser)


def test_captures_are_filtered_relabelled_deleted_and_restored(browser: webdriver.Chrome) -> None:
    delete_all_captures(browser)
    for digit, label in ((3, "3"), (7, "1"), (2, "not a digit")):
        draw_and_teach(browser, digit, label)
    open_view(browser, "teach")
    wait_until(browser, lambda: len(row_texts(browser)) == 3)
    wait_until(browser, lambda: "not enough captures" in text(browser, "#captures-report"))
    wait_until(browser, lambda: "The network is sure" in row_texts(browser)[1])

    everything = browser.find_element(By.CSS_SELECTOR, "#captures-filter button")

    def choose(start: str) -> None:
        chips = browser.find_elements(By.CSS_SELECTOR, "#captures-filter button")
        next(each for each in chips if each.text.startswith(start)).click()

    choose("1")
    wait_until(browser, lambda: len(row_texts(browser)) == 1)
    Select(browser.find_element(By.CSS_SELECTOR, "#captures select")).select_by_visible_text("7")
    wait_until(browser, lambda: row_texts(browser) == [])
    choose("7")
    wait_until(browser, lambda: len(row_texts(browser)) == 1)
    assert "Confirmed, read as 7" in row_texts(browser)[0]
    browser.find_element(By.CSS_SELECTOR, "#captures .change button").click()
    wait_until(browser, lambda: text(browser, "#captures-done").startswith("Deleted;"))
    choose("all")
    wait_until(browser, lambda: len(row_texts(browser)) == 2)
    browser.find_element(By.CSS_SELECTOR, "#captures-done button").click()
    wait_until(browser, lambda: len(row_texts(browser)) == 3)
    # The filter's buttons are never replaced: one may be pressed just now.
    assert everything.get_attribute("aria-pressed") == "true"
    assert console_errors(browser) == []


def test_an_export_asks_for_the_pin_and_is_downloaded(
    stranger: webdriver.Chrome, state: Path, pin: str, tmp_path: Path
) -> None:
    captures = Captures(StateDirectory(state).captures)
    add_capture(captures, at=time.time())
    captures.close()
    folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
    stranger.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
    open_view(stranger, "teach")
    wait_until(stranger, lambda: stranger.find_element(By.ID, "captures-export").is_displayed())
    stranger.find_element(By.ID, "captures-export").click()
    wait_until(stranger, lambda: stranger.find_element(By.ID, "pin").is_displayed())
    stranger.find_element(By.ID, "pin-cancel").click()
    stranger.find_element(By.ID, "captures-export").click()
    wait_until(stranger, lambda: stranger.find_element(By.ID, "pin").is_displayed())
    assert list(tmp_path.iterdir()) == []
    stranger.find_element(By.ID, "pin-input").send_keys(pin + "\n")
    wait_until(stranger, lambda: (tmp_path / "captures.zip").exists())
    with zipfile.ZipFile(tmp_path / "captures.zip") as archive:
        assert "captures.jsonl" in archive.namelist()
    # The PIN is asked for once.
    (tmp_path / "captures.zip").unlink()
    stranger.find_element(By.ID, "captures-export").click()
    wait_until(stranger, lambda: (tmp_path / "captures.zip").exists())


def test_a_file_that_is_no_export_is_refused_in_the_list(browser: webdriver.Chrome) -> None:
    open_view(browser, "teach")
    browser.find_element(By.ID, "captures-import").send_keys(os.fspath(ROOT / "LICENSE"))
    wait_until(browser, lambda: "nothing was imported" in text(browser, "#captures-done"))
