"""The appliance in a process of its own, and headless Chromium on its page."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from appliance.device.owner_pin import OwnerPin, owner_file
from tests.conftest import ROOT, SAMPLES, free_port

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not (CHROMIUM and DRIVER):
        skip = pytest.mark.skip(reason="chromium and chromium-driver are not installed")
        for item in items:
            if item.path.parent == Path(__file__).parent:
                item.add_marker(skip)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of the appliance."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def pin(state: Path) -> str:
    """The owner's PIN."""
    return OwnerPin(owner_file(state)).make_pin()


@pytest.fixture(scope="module")
def address(state: Path, pin: str) -> Iterator[str]:
    """The appliance on the samples, in a process of its own."""
    port = free_port()
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
    # A page that does not come up fails the tests instead of blocking them.
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
    # A window cannot be as narrow as a phone: the device is emulated.
    width, height = request.param
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    yield chromium
    chromium.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome, address: str, pin: str) -> webdriver.Chrome:
    """The owner's page, loaded anew, with the logs of the test before cleared."""
    chromium.get(f"{address}api/v1/session")
    show_pin = """
      const [pin, done] = arguments, headers = {"Content-Type": "application/json"};
      fetch("/api/v1/session", {method: "POST", headers, body: JSON.stringify({pin})})
        .then((answer) => done(answer.status));
    """
    assert chromium.execute_async_script(show_pin, pin) == 200
    return load_page(chromium, address)


@pytest.fixture
def stranger(chromium: webdriver.Chrome, address: str) -> webdriver.Chrome:
    """The page of somebody who has not shown the PIN, loaded in the same way."""
    chromium.get(f"{address}api/v1/session")
    chromium.delete_all_cookies()
    return load_page(chromium, address)


def load_page(chromium: webdriver.Chrome, address: str) -> webdriver.Chrome:
    chromium.get("about:blank")
    for log in ("browser", "performance"):
        chromium.get_log(log)
    chromium.get(address)
    return chromium
