"""What the tests do on the page: wait, read, draw, teach."""

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
from tests.captured import added


def until(browser: webdriver.Chrome, condition: Callable[[], Any], seconds: float = 45) -> Any:
    # What the page has just replaced is looked at again, and so is a page that is just replaced.
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


def view(browser: webdriver.Chrome, name: str) -> None:
    """Go to another view, by its path."""
    there = browser.current_url.split("/", 3)
    browser.get("/".join([*there[:3], name]))


def no_wider_than_the_window(browser: webdriver.Chrome) -> bool:
    width = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    return bool(width[0] <= width[1])


def complaints(browser: webdriver.Chrome) -> list[str]:
    """Return the console's errors since the page was loaded first."""
    return [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]


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


def all_deleted(browser: webdriver.Chrome) -> None:
    """Delete what the other tests kept, and load the view anew."""
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


def imported(browser: webdriver.Chrome, folder: Path, captures: Any) -> None:
    """Send captures, glyphs and labels, to the view that lists them, as another's export."""
    others = Captures(folder / "others.db")
    try:
        for place, (image, label) in enumerate(zip(*captures, strict=True)):
            said, at = 7 if label == 4 else int(label), 1000.0 + place
            added(others, int(label), said, glyph=image.reshape(28, 28), at=at)
        with open(folder / "captures.zip", "wb") as file:
            export_zip(others, file)
    finally:
        others.close()
    view(browser, "teach")
    browser.find_element(By.ID, "captures-import").send_keys(str(folder / "captures.zip"))
    until(browser, lambda: "captures were added" in text(browser, "#captures-done"))


def labels(browser: webdriver.Chrome, place: str) -> dict[str, Any]:
    """Return the buttons under a reading by their text."""
    found = browser.find_elements(By.CSS_SELECTOR, f"{place} .labels button")
    return {each.text: each for each in found}


def drawn_and_taught(browser: webdriver.Chrome, digit: int, label: str) -> None:
    browser.find_element(By.ID, "clear").click()
    draw(browser, digit)
    until(browser, lambda: text(browser, "#mine .digit") == str(digit))
    labels(browser, "#mine")[label].click()
    until(browser, lambda: "Kept as" in text(browser, "#mine .taught"))
