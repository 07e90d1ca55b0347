"""What the documents name is there."""

import re

from tests.conftest import ROOT


def test_every_attack_in_the_table_is_tried_by_a_test_that_is_there() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "safety.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| attack |")
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
