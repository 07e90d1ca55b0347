"""What a first look at each view costs: python -m tests.proofs.first_look.

`digits run` serves the samples; headless Chromium, as a telephone without anything in its cache,
loads each view. Prints for each the requests, the bytes over the wire, and the milliseconds until
what it is there for is shown (on Now the first digit), as JSON. For a slow processor,
`--slower 10` has the browser compute ten times slower.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.proofs.neighbour import serve_samples

SHOWN = {
    "": "return !['', '–'].includes(document.querySelector('#live .digit')?.textContent)",
    "history": "return Boolean(document.querySelector('.readings tbody tr'))",
    "teach": "return Boolean(document.querySelector('#teach'))",
    "training": "return document.querySelector('#training-says').textContent !== '–'",
    "inside": "return Boolean(document.querySelector('main img')?.complete)",
    "device": "return Boolean(document.querySelector('main dl'))",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--slower", type=float, default=1, help="how much slower the browser is")
    args = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="digits-"))
    with serve_samples(state) as (_, page):
        time.sleep(10)
        print(json.dumps({f"/{view}": look(f"{page}/{view}", SHOWN[view], args) for view in SHOWN}))
        return 0


def look(address: str, shown: str, args: argparse.Namespace) -> dict[str, float]:
    """Load one view with a browser that has never seen it."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    options.page_load_strategy = "none"
    browser = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        browser.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": args.slower})
        since = time.monotonic()
        browser.get(address)
        while not browser.execute_script(f"try {{ {shown} }} catch {{ return false }}"):
            if time.monotonic() - since > 60:
                raise SystemExit(f"{address} shows nothing after a minute")
            time.sleep(0.01)
        seconds = time.monotonic() - since
        time.sleep(1)
        entries: list[Any] = [
            json.loads(line["message"]) for line in browser.get_log("performance")
        ]
        seen = [entry["message"] for entry in entries]
        sent = {
            each["params"]["requestId"]
            for each in seen
            if each["method"] == "Network.requestWillBeSent"
            and each["params"]["timestamp"] - seen_first(seen) <= seconds
        }
        size = sum(
            each["params"]["encodedDataLength"]
            for each in seen
            if each["method"] == "Network.loadingFinished" and each["params"]["requestId"] in sent
        )
        return {"requests": len(sent), "bytes": round(size), "milliseconds": round(1000 * seconds)}
    finally:
        browser.quit()


def seen_first(seen: list[Any]) -> float:
    """Return when the first request was sent, in the browser's seconds."""
    return min(
        float(each["params"]["timestamp"])
        for each in seen
        if each["method"] == "Network.requestWillBeSent"
    )


if __name__ == "__main__":
    raise SystemExit(main())
