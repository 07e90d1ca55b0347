"""The page in headless Chromium: live readings, a drawn digit, a sent photograph."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from appliance.vision.strokes import PLAIN
from tests.conftest import ROOT, SAMPLES, free_port

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromium-driver are not installed"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The appliance on the samples, in a process of its own."""
    port = free_port()
    state = tmp_path_factory.mktemp("state")
    config = state / "digits.toml"
    config.write_text("[camera]\nrate = 8\npicture_seconds = 1.5\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "run", "--camera", f"folder:{SAMPLES}"]
        + ["--leds", "none", "--host", "127.0.0.1", "--port", str(port)]
        + ["--state", str(state), "--config", str(config)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    # A page that does not come up fails the tests and does not hold them up.
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    next(line for line in process.stderr if "the page is at" in line)
    watchdog.cancel()
    yield f"http://127.0.0.1:{port}/"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)


@pytest.fixture(scope="module", params=[(1280, 900), (390, 844)], ids=["desktop", "phone"])
def chromium(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    for flag in ("--disable-background-networking", "--disable-component-update", "--no-first-run"):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(options, Service(DRIVER))
    # A window cannot be as narrow as a telephone: the device is emulated.
    width, height = request.param
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    yield chromium
    chromium.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome, address: str) -> webdriver.Chrome:
    """The page loaded anew, with the logs of the test before gone."""
    chromium.get("about:blank")
    for log in ("browser", "performance"):
        chromium.get_log(log)
    chromium.get(address)
    return chromium


def until(browser: webdriver.Chrome, condition: Callable[[], Any]) -> Any:
    return WebDriverWait(browser, 15, poll_frequency=0.1).until(lambda _: condition())


def text(browser: webdriver.Chrome, selector: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def draw(
    browser: webdriver.Chrome, digit: int, *, middle: float = 0.0, height: float = 0.6
) -> None:
    """Draw a digit on the canvas with the mouse, stroke by stroke.

    It stands `middle` right of the canvas's own, both in shares of the canvas's side.
    """
    pad = browser.find_element(By.ID, "pad")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", pad)
    side = pad.size["width"]

    def place(point: tuple[float, float]) -> tuple[int, int]:
        # From the middle of the canvas; the strokes' box is 0.6 wide and 1 high.
        x, y = (point[0] - 0.3) * height + middle, (point[1] - 0.5) * height
        return round(x * side), round(y * side)

    actions = ActionChains(browser, duration=20)
    for stroke in PLAIN[digit]:
        actions.move_to_element_with_offset(pad, *place(stroke[0])).click_and_hold()
        for point in stroke[1:]:
            actions.move_to_element_with_offset(pad, *place(point))
        actions.release()
    actions.perform()


@pytest.mark.parametrize("digit", [3, 7])
def test_a_drawn_digit_is_read_by_itself(browser: webdriver.Chrome, digit: int) -> None:
    draw(browser, digit)
    until(browser, lambda: text(browser, "#mine .digit") == str(digit))
    assert text(browser, "#mine .bars .top span") == str(digit)
    glyph = browser.find_element(By.CSS_SELECTOR, "#mine .stage-glyph img")
    assert glyph.get_property("naturalWidth") == 28
    # One digit alone needs no list of what is in view.
    assert not browser.find_element(By.CSS_SELECTOR, "#mine .all").is_displayed()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#mine .box")) == 1
    browser.find_element(By.ID, "clear").click()
    assert not browser.find_element(By.ID, "mine").is_displayed()


def test_the_camera_is_live_and_nothing_comes_from_elsewhere(
    browser: webdriver.Chrome, address: str
) -> None:
    first = until(browser, lambda: text(browser, "#live .digit") not in ("", "–"))
    assert first
    shown = text(browser, "#live .digit")
    until(browser, lambda: text(browser, "#live .digit") not in (shown, "–"))
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#history li"))
    until(browser, lambda: "MNIST" in text(browser, "#device-network"))
    frame = browser.find_element(By.CSS_SELECTOR, "#live .stage-frame img")
    assert frame.get_property("naturalWidth") == 640
    width = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
    errors = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert errors == []
    asked = [line["message"] for line in browser.get_log("performance")]
    sent = [line for line in asked if "Network.requestWillBeSent" in line and '"http' in line]
    assert sent
    assert all(address in line for line in sent)


def test_the_box_lies_on_the_digit(browser: webdriver.Chrome) -> None:
    script = """
      const box = document.querySelector('#live .box'), frame = box.parentElement;
      if (box.hidden) return null;
      const [b, f] = [box.getBoundingClientRect(), frame.getBoundingClientRect()];
      return b.left >= f.left && b.right <= f.right && b.top >= f.top && b.bottom <= f.bottom
        && b.width > 10 && b.height > 30;
    """
    assert until(browser, lambda: browser.execute_script(script))


def test_several_digits_have_their_boxes_and_answers(browser: webdriver.Chrome) -> None:
    draw(browser, 3, middle=-0.25, height=0.7)
    draw(browser, 2, middle=0.27, height=0.4)
    until(browser, lambda: text(browser, "#mine .all") == "in view: 3 2")
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
    until(browser, lambda: text(browser, "#problem") == "Draw a digit first.")
    assert not browser.find_element(By.ID, "mine").is_displayed()
    draw(browser, 3)
    until(browser, lambda: text(browser, "#mine .digit") == "3")
    assert not browser.find_element(By.ID, "problem").is_displayed()
    browser.find_element(By.ID, "clear").click()
    browser.find_element(By.ID, "read").click()
    until(browser, lambda: text(browser, "#problem") == "Draw a digit first.")
    asked = [line["message"] for line in browser.get_log("performance")]
    assert sum("/api/v1/read?" in line and 'requestWillBeSent"' in line for line in asked) == 1


def test_a_sent_photograph_is_read(browser: webdriver.Chrome) -> None:
    browser.find_element(By.ID, "photo").send_keys(str(SAMPLES / "5-chalk.jpg"))
    until(browser, lambda: text(browser, "#mine .digit") == "5")


def test_a_file_that_is_no_picture_is_a_sentence_on_the_page(browser: webdriver.Chrome) -> None:
    browser.find_element(By.ID, "photo").send_keys(os.fspath(ROOT / "LICENSE"))
    until(browser, lambda: "not a JPEG or PNG picture" in text(browser, "#problem"))
    assert not browser.find_element(By.ID, "mine").is_displayed()
