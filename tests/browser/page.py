"""What the tests do on the page: open a view, wait, draw, teach."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from appliance.captures.archive import export_zip
from appliance.captures.store import Captures
from appliance.simulator.handwriting import PLAIN
from tests.captured import add_capture


def wait_until(browser: webdriver.Chrome, condition: Callable[[], Any], seconds: float = 45) -> Any:
    # An element or a page that is replaced at this moment is looked at again.
    wait = WebDriverWait(browser, seconds, 0.1, [StaleElementReferenceException])

    def met(_: webdriver.Chrome) -> Any:
        try:
            return condition()
        except WebDriverException as error:
            if "inspector error" not in str(error.msg):
                raise
            return False

    return wait.until(met)


def text(browser: webdriver.Chrome, selector: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def open_view(browser: webdriver.Chrome, path: str) -> None:
    """Go to another view and wait until its scripts have filled it."""
    origin = browser.current_url.split("/", 3)[:3]
    browser.get("/".join([*origin, path]))
    wait_until_filled(browser)


def wait_until_filled(browser: webdriver.Chrome) -> None:
    """Wait until the scripts know who looks: each view asks for the session."""
    script = "return document.readyState === 'complete' && document.getElementById('owner').title"
    wait_until(browser, lambda: browser.execute_script(script))


def view_urls(browser: webdriver.Chrome) -> list[str]:
    """Return the URLs of all views, from the page's own navigation."""
    links = browser.find_elements(By.CSS_SELECTOR, "header nav a")
    urls = [str(link.get_property("href")) for link in links]
    assert len(urls) >= 6
    return urls


def fits_the_window(browser: webdriver.Chrome) -> bool:
    width = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    return bool(width[0] <= width[1])


def console_errors(browser: webdriver.Chrome) -> list[str]:
    """Return the errors on the console since the browser came to the page."""
    return [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def draw(
    browser: webdriver.Chrome, digit: int, *, middle: float = 0.0, height: float = 0.6
) -> None:
    """Draw a digit on the canvas with the mouse, stroke by stroke.

    Its middle is `middle` to the right of the canvas's; both are shares of the canvas's side.
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


def delete_all_captures(browser: webdriver.Chrome) -> None:
    """Delete the captures of the tests before, and reload the view."""
    browser.execute_async_script("""
      const done = arguments[0];
      (async () => {
        const {captures} = await (await fetch("/api/v1/captures?limit=200")).json();
        for (const {id} of captures)
          await owner.send(`/api/v1/captures/${id}`, {method: "DELETE"});
        done();
      })();
    """)
    browser.refresh()


def import_captures(browser: webdriver.Chrome, folder: Path, captures: Any) -> None:
    """Import captures, as glyphs and labels, from a zip that another appliance exported."""
    others = Captures(folder / "others.db")
    try:
        for place, (image, label) in enumerate(zip(*captures, strict=True)):
            said, at = 7 if label == 4 else int(label), 1000.0 + place
            add_capture(others, int(label), said, glyph=image.reshape(28, 28), at=at)
        with open(folder / "captures.zip", "wb") as file:
            export_zip(others, file)
    finally:
        others.close()
    open_view(browser, "teach")
    browser.find_element(By.ID, "captures-import").send_keys(str(folder / "captures.zip"))
    wait_until(browser, lambda: "captures were added" in text(browser, "#captures-done"))


def label_buttons(browser: webdriver.Chrome, reading: str) -> dict[str, Any]:
    """Return the buttons under a reading, "#live" or "#mine", by their text."""
    buttons = browser.find_elements(By.CSS_SELECTOR, f"{reading} .labels button")
    return {each.text: each for each in buttons}


def draw_and_teach(browser: webdriver.Chrome, digit: int, label: str) -> None:
    browser.find_element(By.ID, "clear").click()
    draw(browser, digit)
    wait_until(browser, lambda: text(browser, "#mine .digit") == str(digit))
    label_buttons(browser, "#mine")[label].click()
    wait_until(browser, lambda: "Kept as" in text(browser, "#mine .taught"))
