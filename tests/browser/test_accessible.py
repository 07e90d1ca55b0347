"""Every view for those who see little, use the keyboard alone, or want nothing to move."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from appliance.networks.vault import Vault
from appliance.storage.layout import StateDirectory
from appliance.training import records
from appliance.training.lock import hold_training_lock
from tests.browser.page import (
    draw,
    draw_and_teach,
    label_buttons,
    open_view,
    text,
    view_urls,
    wait_until,
    wait_until_filled,
)
from tests.conftest import ROOT, SAMPLES
from tests.networks.test_live import saying

AXE = ROOT / ".axe" / "node_modules" / "axe-core" / "axe.min.js"
"""Where `.ci/run` installs it."""


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: .ci/run installs it with npm")
    return AXE.read_text()


@pytest.fixture
def used(browser: webdriver.Chrome, state: Path) -> Iterator[webdriver.Chrome]:
    """The owner's page of an appliance with captures, a second network and a past training."""
    captures = "fetch('/api/v1/captures').then((a) => a.json()).then((a) => arguments[0](a.total))"
    if browser.execute_async_script(captures) < 2:
        draw_and_teach(browser, 3, "3")
        draw_and_teach(browser, 7, "1")
    vault = Vault(StateDirectory(state).networks)
    if len(vault.list_networks()) < 2:
        vault.add(saying(8), {"preset": "eight", "own": {"right": 3, "total": 4}})
    own = {"total": 20, "before": 12, "after": 17, "won": 5, "lost": 0}
    night = {"at": 1e9, "outcome": "promoted", "why": "17 of 20 right", "candidate": "0a3be1d2ffaa"}
    night |= {"outcomes": {"your digits": own}, "curve": [], "epochs": []}
    if not records.load_nights(state, 1):
        records.append_night(state, night)
    yield browser
    prefer(browser)


@contextmanager
def training(state: Path) -> Iterator[None]:
    """Pretend that a training runs."""
    progress = records.Progress(
        state / "retrain.json", state="training", sentence="epoch 2 of 5", progress=0.3, epoch=2,
        of=5, pictures_per_second=1234.4, seconds_left=5400, temperature=61.3,
        curve=[(0.1, 0.2), (0.3, 0.1)],
        epochs=[{"number": 1, "of": 5, "loss": 0.2, "validation": 0.99, "camera": None}],
    )  # fmt: skip
    with hold_training_lock(state):
        progress.save()
        yield


def open_url(browser: webdriver.Chrome, address: str) -> None:
    """Open a view and wait for what its scripts fill in."""
    browser.get(address)
    wait_until_filled(browser)
    filled = {"/": "#history li", "/teach": "#captures li", "/training": "#training-curve svg"}
    selector = filled.get("/" + address.split("/", 3)[3])
    if selector:
        wait_until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, selector))


def violations(browser: webdriver.Chrome, axe: str) -> list[str]:
    """Return what axe finds wrong on the page, a line each."""
    browser.execute_script(axe)
    run = "axe.run().then((all) => arguments[0]([all.violations, all.passes.length]))"
    found, passes = browser.execute_async_script(run)
    assert passes > 10
    return [
        f"{each['impact']} {each['id']} at {node['target']}: {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


def prefer(browser: webdriver.Chrome, **features: str) -> None:
    """Set the browser's `prefers-…` features; without any, clear them."""
    settings = [
        {"name": f"prefers-{name.replace('_', '-')}", "value": features[name]} for name in features
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": settings})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_view(
    used: webdriver.Chrome, state: Path, axe: str, scheme: str
) -> None:
    prefer(used, color_scheme=scheme)
    found: dict[str, list[str]] = {}
    with training(state):
        for address in view_urls(used):
            open_url(used, address)
            if used.find_elements(By.ID, "pad"):
                draw(used, 3)
                wait_until(used, lambda: text(used, "#mine .digit") == "3")
            found[address] = violations(used, axe)
    open_view(used, "training")
    wait_until(used, lambda: used.find_element(By.ID, "training-scratch").is_displayed())
    found["no training"] = violations(used, axe)
    used.delete_all_cookies()
    used.refresh()
    wait_until(used, lambda: text(used, "#owner") == "Unlock")
    used.find_element(By.ID, "owner").click()
    wait_until(used, lambda: used.find_element(By.ID, "pin").is_displayed())
    found["the PIN"] = violations(used, axe)
    assert {address: each for address, each in found.items() if each} == {}


def test_the_tab_key_reaches_everything_in_order_with_a_visible_focus(
    used: webdriver.Chrome, state: Path
) -> None:
    begin = """
      const kinds = 'a[href], button, input, select, textarea, summary, [tabindex="0"]';
      const seen = (each) => each.getClientRects().length;
      window.found = [...document.querySelectorAll(kinds)].filter(seen);
      window.reached = [];
      document.addEventListener("focusin", ({target}) => {
        const ring = getComputedStyle(target.matches(".away") ? target.nextElementSibling : target);
        const drawn = ring.outlineStyle !== "none" && parseFloat(ring.outlineWidth) >= 2;
        reached.push([found.indexOf(target), drawn]);
      });
      return found.length;
    """
    # Buttons under the camera's reading come and go with what is in view.
    missed = """
      const there = new Set(reached.map(([place]) => place));
      const comes = (each) => each.disabled || each.closest("#live");
      return found.filter((each, place) => !there.has(place) && !comes(each))
        .map((each) => each.outerHTML);
    """
    with training(state):
        for address in view_urls(used):
            open_url(used, address)
            many = used.execute_script(begin)
            assert many > 5
            # More than there are: what comes meanwhile takes a key too, and then they come round.
            ActionChains(used).send_keys(Keys.TAB * (many + 10)).perform()
            reached = used.execute_script("return reached")
            places = [place for place, _ in reached if place >= 0]
            if places[0] in places[1:]:
                places = places[: places.index(places[0], 1)]
            assert used.execute_script(missed) == [], address
            assert places == sorted(places), address
            assert all(ring for _, ring in reached), address


def test_the_pin_and_a_label_can_be_given_with_the_keyboard_alone(
    stranger: webdriver.Chrome, pin: str
) -> None:
    stranger.find_element(By.ID, "photo").send_keys(str(SAMPLES / "5-chalk.jpg"))
    wait_until(stranger, lambda: text(stranger, "#mine .digit") == "5")
    focus = "const each = arguments[0]; each.focus(); return document.activeElement === each"
    assert stranger.execute_script(focus, label_buttons(stranger, "#mine")["5"])
    ActionChains(stranger).send_keys(Keys.SPACE).perform()
    wait_until(stranger, lambda: stranger.find_element(By.ID, "pin").is_displayed())
    # The focus stays in the dialog.
    inside = "return document.activeElement.closest('dialog') !== null"
    for _ in range(6):
        assert stranger.execute_script(inside) or stranger.execute_script(
            "return document.activeElement === document.body"
        )
        ActionChains(stranger).send_keys(Keys.TAB).perform()
    stranger.find_element(By.ID, "pin-input").send_keys(pin, Keys.ENTER)
    wait_until(stranger, lambda: "Kept as 5" in text(stranger, "#mine .taught"))
    # The focus is back where it was.
    assert stranger.execute_script("return document.activeElement.textContent") == "5"


def test_what_changes_by_itself_is_in_a_live_region(browser: webdriver.Chrome) -> None:
    live = """
      const regions = "[aria-live], [role=status], [role=alert]";
      return document.querySelector(arguments[0]).closest(regions) !== null;
    """
    for selector in (
        "#live .digit",
        "#mine .digit",
        "#mine .taught",
        "#problem",
        "#fault",
        "#state",
    ):
        assert browser.execute_script(live, selector), selector


def test_nothing_moves_where_reduced_motion_is_preferred(
    used: webdriver.Chrome, state: Path
) -> None:
    prefer(used, reduced_motion="reduce")
    moving = """
      return [...document.querySelectorAll("*")].filter((each) => {
        const style = getComputedStyle(each);
        return style.animationName !== "none" || style.scrollBehavior === "smooth"
          || style.transitionDuration.split(", ").some((time) => parseFloat(time) > 0);
      }).map((each) => each.outerHTML.slice(0, 99));
    """
    with training(state):
        for address in view_urls(used):
            open_url(used, address)
            assert used.execute_script(moving) == [], address
