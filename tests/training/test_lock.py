"""Only one process trains on a state directory."""

import threading
from pathlib import Path

import pytest

from appliance.errors import TrainingRefused
from appliance.training.lock import hold_training_lock, is_training


def test_only_one_holds_the_lock_and_it_ends_with_it(tmp_path: Path) -> None:
    assert not is_training(tmp_path)
    with hold_training_lock(tmp_path):
        assert is_training(tmp_path)
        with (
            pytest.raises(TrainingRefused, match="is running already: see the page"),
            hold_training_lock(tmp_path),
        ):
            pass
        assert is_training(tmp_path)
    assert not is_training(tmp_path)
    with hold_training_lock(tmp_path):
        pass


def test_a_page_that_looks_whether_one_runs_keeps_none_from_beginning(tmp_path: Path) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            is_training(tmp_path)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(100):
            with hold_training_lock(tmp_path):
                pass
    finally:
        over.set()
        looking.join()
