"""Programs of the tests: each in a process of its own, which it may kill the children of."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.conftest import ROOT


def report_of(module: str, *arguments: str) -> Any:
    """Return what a module of the tests prints as JSON; its errors and warnings fail the test."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return json.loads(done.stdout)
