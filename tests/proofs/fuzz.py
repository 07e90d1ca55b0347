"""Nonsense over the API: python -m tests.proofs.fuzz --requests 5000.

`digits run` serves; schemathesis makes requests that fit the served OpenAPI document and some that
do not, sent as the owner, and as a stranger every third time. Prints the answers by their status
and the program's memory as JSON; fails for an answer of 5xx that the document does not name, and
for an appliance that does not read any more.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from appliance.device.owner_pin import OwnerPin, owner_file
from tests.proofs.lookers import resident_kb
from tests.proofs.neighbour import get_json, serve_samples


@schemathesis.serializer("application/zip", "image/png", "image/jpeg")
def send_bytes(ctx: Any, value: Any) -> bytes:
    """Send what is no JSON as it was made up."""
    return value if isinstance(value, bytes) else str(value).encode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--requests", type=int, default=5000, help="at least so many")
    args = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="digits-"))
    pin = OwnerPin(owner_file(state)).make_pin()
    with serve_samples(state) as (process, page):
        owner = Session(page, pin)
        codes: Counter[str] = Counter()
        undocumented: list[str] = []
        document = get_json(f"{page}/api/v1/openapi.json")
        operations = [
            each.ok() for each in schemathesis.openapi.from_dict(document).get_all_operations()
        ]
        # An appliance that starts again is away for seconds, which is what was asked for.
        operations = [each for each in operations if not each.path.endswith("start-again")]
        fuzz(operations, 5, owner, codes, undocumented)
        before, since = resident_kb(process.pid), time.monotonic()
        fuzz(operations, -(-args.requests // len(operations)), owner, codes, undocumented)
        seconds = time.monotonic() - since
        readings = get_json(f"{page}/api/v1/health")["readings"]
        time.sleep(5)
        goes_on = get_json(f"{page}/api/v1/health")["readings"] > readings
        told = {
            "requests": codes.total(),
            "seconds": round(seconds, 1),
            "codes": dict(sorted(codes.items())),
            "undocumented_5xx": undocumented,
            "resident_kb_before": before,
            "resident_kb_after": resident_kb(process.pid),
            "reads_on": goes_on,
        }
        print(json.dumps(told))
        return 0 if goes_on and not undocumented else 1


class Session:
    """The owner's, shown anew whenever a request has ended it."""

    def __init__(self, page: str, pin: str) -> None:
        self.page, self._pin, self._count = page, pin, 0
        self._renew()

    def _renew(self) -> None:
        answer = requests.post(f"{self.page}/api/v1/session", json={"pin": self._pin}, timeout=30)
        self._cookies = answer.cookies.get_dict()
        self._token = answer.json()["token"]

    def send(self, case: Any) -> requests.Response:
        self._count += 1
        as_owner = self._count % 3 != 0
        case.headers["X-CSRF-Token"] = self._token if as_owner else ""
        case.cookies.update(self._cookies if as_owner else {"digits-owner": ""})
        answer: requests.Response = case.call(base_url=self.page, timeout=60)
        return answer


def fuzz(
    operations: list[Any],
    count: int,
    owner: Session,
    codes: Counter[str],
    undocumented: list[str],
) -> None:
    """Send `count` requests of each operation, half of them against its description."""

    def answered(case: Any, known: dict[str, Any]) -> None:
        answer = owner.send(case)
        codes[str(answer.status_code)] += 1
        if answer.status_code >= 500 and str(answer.status_code) not in known:
            undocumented.append(f"{case.method} {case.path}: {answer.text[:200]}")

    for operation in operations:
        known = operation.definition.raw["responses"]
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            with suppress(Unsatisfiable):
                # One without parameters cannot be asked against its description.
                cases = operation.as_strategy(generation_mode=mode)
                send_cases(cases, -(-count // 2), partial(answered, known=known))


def send_cases(cases: Any, count: int, send: Callable[[Any], None]) -> None:
    """Send so many cases of a strategy, as they come."""

    @given(case=cases)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def sent(case: Any) -> None:
        send(case)

    sent()


if __name__ == "__main__":
    raise SystemExit(main())
