"""What the documents name is there."""

import json
import re
import tomllib

import pytest

from tests.conftest import ROOT


def test_every_attack_in_the_table_is_tried_by_a_test_that_is_there() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "safety.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| attack |", "| damage |"))
    ]
    assert len(rows) > 40
    for row in rows:
        found = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        programs = re.findall(r"`python -m (tests[\w.]+)`", row)
        assert found or programs, row
        for file, name in found:
            assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"
        for program in programs:
            assert (ROOT / f"{program.replace('.', '/')}.py").is_file()


def test_the_costs_that_were_counted_last_are_within_their_budgets() -> None:
    budgets = tomllib.loads((ROOT / "tests/proofs/pi_zero/budgets.toml").read_text())
    counts = json.loads((ROOT / "docs/measured/cost.json").read_text())["counts"]
    held = {name: budget["most"] for name, budget in budgets.items() if "most" in budget}
    over = {name: counts[name] for name in held if counts.get(name, 0) > held[name]}
    assert not over
    assert {"start", "read_one", "still", "glyph", "training"} <= set(counts)
    days = json.loads((ROOT / "docs/measured/cost-soak.json").read_text())["days"]
    assert max(day["written"] for day in days[1:]) <= 1e6 * held["written"]
    board = json.loads((ROOT / "docs/measured/cost-board.json").read_text())["peak_bytes"]
    assert board["digits run"] <= 1e6 * held["serving_memory"]


@pytest.mark.xfail(reason="106.5 MB: the first night simulates photographs", strict=True)
def test_a_night_is_within_its_memory_too() -> None:
    budgets = tomllib.loads((ROOT / "tests/proofs/pi_zero/budgets.toml").read_text())
    board = json.loads((ROOT / "docs/measured/cost-board.json").read_text())["peak_bytes"]
    assert board["digits retrain, all of it"] <= 1e6 * budgets["retraining_memory"]["most"]
