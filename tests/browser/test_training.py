"""The training on the page, and the order of the sections, in Chromium."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from appliance.training import records
from appliance.training.lock import hold_training_lock, is_training
from model.datasets import load_split
from tests.browser.page import (
    console_errors,
    delete_all_captures,
    draw_and_teach,
    fits_the_window,
    import_captures,
    open_view,
    text,
    wait_until,
)
from tests.conftest import write_idx
from tests.owner import hand


def test_a_training_is_shown_while_it_runs(browser: webdriver.Chrome, state: Path) -> None:
    delete_all_captures(browser)
    open_view(browser, "training")
    wait_until(browser, lambda: "not enough captures" in text(browser, "#training-enough"))
    assert not browser.find_element(By.ID, "training-start").is_enabled()
    assert not browser.find_element(By.ID, "training-stop").is_displayed()
    progress = records.Progress(
        state / "retrain.json",
        state="training",
        sentence="epoch 2 of 5",
        progress=0.3,
        epoch=2,
        of=5,
        pictures_per_second=1234.4,
        seconds_left=5400,
        temperature=61.3,
        curve=[(0.1, 0.2), (0.3, 0.1)],
        epochs=[{"number": 1, "of": 5, "loss": 0.2, "validation": 0.99, "camera": None}],
    )
    with hold_training_lock(state):
        progress.save()
        browser.refresh()
        wait_until(browser, lambda: text(browser, "#training-says") == "It trains: epoch 2 of 5.")
        said = text(browser, "#training-facts")
        for fact in ("2 of 5", "1,234", "about 1 h 30 min", "61 °C", "99.00 % right"):
            assert fact in said
        bar = browser.find_element(By.ID, "training-bar")
        assert float(bar.get_attribute("value") or 0) == 0.3
        curve = wait_until(
            browser, lambda: browser.find_element(By.CSS_SELECTOR, "#training-curve svg")
        )
        assert curve.size["width"] > 200
        assert fits_the_window(browser)
        # The page follows without a reload.
        progress.sentence = "epoch 3 of 5"
        progress.save()
        wait_until(browser, lambda: text(browser, "#training-says") == "It trains: epoch 3 of 5.")
        assert console_errors(browser) == []
        # The process that holds the lock is this one, which is no retraining.
        browser.find_element(By.ID, "training-stop").send_keys(" ")
        wait_until(
            browser, lambda: "end it where it was started" in text(browser, "#training-refused")
        )
    wait_until(browser, lambda: "interrupted at 30%" in text(browser, "#training-says"))
    assert not browser.find_element(By.ID, "training-stop").is_displayed()


def test_a_training_started_on_the_page_draws_its_curve_and_ends(
    browser: webdriver.Chrome, state: Path, tiny_mnist: Path, tmp_path: Path
) -> None:
    if browser.execute_script("return innerWidth") < 500:
        pytest.skip("a training takes long: the wide page is enough")
    # 600 digits again and again: enough to look at, and seconds of work instead of a night.
    small = state / "mnist"
    if not small.exists():
        small.mkdir()
        digits = load_split(tiny_mnist, "train")
        write_idx(
            small / "train-images-idx3-ubyte",
            np.tile(digits.images.reshape(-1, 28, 28), (40, 1, 1)),
        )
        write_idx(small / "train-labels-idx1-ubyte", np.tile(digits.labels, 40))
        for test in tiny_mnist.glob("t10k*"):
            (small / test.name).symlink_to(test)
    (state / "retrain.json").unlink(missing_ok=True)
    delete_all_captures(browser)
    import_captures(browser, tmp_path, hand())
    open_view(browser, "training")
    start = browser.find_element(By.ID, "training-start")
    wait_until(browser, start.is_enabled)
    before = len(records.load_nights(state, 99))
    start.click()
    wait_until(browser, lambda: browser.find_element(By.ID, "training-stop").is_displayed())
    wait_until(browser, lambda: "epoch" in text(browser, "#training-says"), seconds=300)
    script = "return document.querySelector('#training-curve svg .loss path')?.getAttribute('d')"
    curves = set()

    def ended() -> bool:
        curves.add(browser.execute_script(script))
        return len(records.load_nights(state, 99)) > before

    wait_until(browser, ended, seconds=300)
    # The curve grew on the open page.
    assert len(curves - {None}) > 1
    wait_until(browser, lambda: text(browser, "#training-says").startswith("The last candidate"))
    assert len(browser.find_elements(By.CSS_SELECTOR, "#nights tr")) > 0
    assert console_errors(browser) == []


def test_recent_trainings_are_listed_and_too_few_captures_need_a_confirmation(
    browser: webdriver.Chrome, state: Path, tmp_path: Path
) -> None:
    own = {"total": 20, "before": 12, "after": 17, "won": 5, "lost": 0}
    base = {"total": 6000, "before": 5972, "after": 5974, "won": 3, "lost": 1}
    night = {"at": 1e9, "outcome": "promoted", "why": "17 of 20 right", "candidate": "0a3be1d2ffaa"}
    night |= {"outcomes": {"your digits": own, "MNIST": base}, "curve": [], "epochs": []}
    records.append_night(state, night)
    records.append_night(
        state, {**night, "outcome": "kept", "why": "worse on MNIST", "outcomes": {}}
    )
    (state / "retrain.json").unlink(missing_ok=True)
    delete_all_captures(browser)
    images, labels = hand()
    # Five of each digit, and none of them corrected.
    import_captures(browser, tmp_path, (images[labels != 4], labels[labels != 4]))
    open_view(browser, "training")
    wait_until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "#nights tr")) >= 2)
    newest, before = browser.find_elements(By.CSS_SELECTOR, "#nights tr")[:2]
    for words in ("promoted", "12 → 17 of 20", "99.53 → 99.57 %", "0a3be1d2ffaa", "17 of 20 right"):
        assert words in before.text
    assert "not promoted" in newest.text
    assert text(browser, "#training-says").startswith("The last candidate was not promoted: worse")
    start = browser.find_element(By.ID, "training-start")
    wait_until(browser, start.is_enabled)
    start.send_keys(" ")
    asked = browser.switch_to.alert
    assert "not enough captures" in asked.text
    asked.dismiss()
    assert not is_training(state)
    assert fits_the_window(browser)


def test_the_sections_are_in_order(browser: webdriver.Chrome) -> None:
    script = """
      return arguments[0].map((id) => {
        const box = document.getElementById(id).closest(".card").getBoundingClientRect();
        return [box.left, box.top, box.bottom];
      });
    """
    boxes = browser.execute_script(script, [f"{name}-title" for name in ("live", "yours", "past")])
    wide = browser.execute_script("return innerWidth") > 1000
    assert all((left > boxes[0][0]) == wide for left, _, _ in boxes[1:])
    column = boxes[1:] if wide else boxes
    assert all(a[2] <= b[1] for a, b in itertools.pairwise(column))


def test_what_is_taught_counts_for_the_night(browser: webdriver.Chrome) -> None:
    delete_all_captures(browser)
    open_view(browser, "training")
    wait_until(browser, lambda: "0 captures to learn from" in text(browser, "#training-enough"))
    none = text(browser, "#training-enough")
    open_view(browser, "")
    draw_and_teach(browser, 3, "8")
    open_view(browser, "training")
    wait_until(browser, lambda: text(browser, "#training-enough") not in ("", none))
