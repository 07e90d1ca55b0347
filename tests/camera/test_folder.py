from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from appliance.camera.folder import FolderCamera
from appliance.errors import CameraError
from appliance.picture import PictureQueue


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for name, grey in (("a", 10), ("b", 20), ("c", 30)):
        Image.fromarray(np.full((8, 8), grey, np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_picture_stays_in_view_for_its_time_and_they_start_over(three: Path) -> None:
    clock = Clock()
    frames = FolderCamera(three, seconds=4, clock=clock).frames()
    seen = []
    for _ in range(8):
        seen.append(int(next(frames).grey[0, 0]))
        clock.now += 2
    assert seen == [10, 10, 20, 20, 30, 30, 10, 10]


def test_without_a_time_every_frame_is_the_next_picture(three: Path) -> None:
    frames = FolderCamera(three, seconds=0).frames()
    assert [int(next(frames).grey[0, 0]) for _ in range(4)] == [10, 20, 30, 10]


def test_a_closed_camera_ends(three: Path) -> None:
    camera = FolderCamera(three, seconds=0)
    frames = camera.frames()
    next(frames)
    camera.close()
    camera.close()
    assert next(frames, None) is None


def test_a_picture_that_cannot_be_read_is_left_out(three: Path) -> None:
    (three / "b.png").write_bytes(b"not a picture")
    frames = FolderCamera(three, seconds=0).frames()
    assert [int(next(frames).grey[0, 0]) for _ in range(4)] == [10, 30, 10, 30]


def test_a_missing_folder_and_an_empty_one_are_errors(three: Path) -> None:
    with pytest.raises(CameraError, match=r"nowhere: the folder cannot be read .*--camera folder:"):
        FolderCamera(three / "nowhere", seconds=1)
    (three / "empty").mkdir()
    with pytest.raises(CameraError, match="no picture in the folder"):
        FolderCamera(three / "empty", seconds=1)


def test_a_folder_of_damaged_pictures_is_an_error(three: Path) -> None:
    for path in three.iterdir():
        path.write_bytes(b"")
    with pytest.raises(CameraError, match="no picture in the folder"):
        next(FolderCamera(three, seconds=0).frames())


def test_the_last_picture_stays_in_view_until_the_next_ones_turn_comes(
    three: Path,
) -> None:
    queue = PictureQueue()
    frames = FolderCamera(three, seconds=0, queue=queue, patience=0).frames()
    assert int(next(frames).grey[0, 0]) == 10
    with queue.turn():
        assert [int(next(frames).grey[0, 0]) for _ in range(3)] == [10, 10, 10]
    assert int(next(frames).grey[0, 0]) in (20, 30)


def test_a_first_picture_whose_turn_does_not_come_is_an_error(
    three: Path,
) -> None:
    queue = PictureQueue()
    with queue.turn(), pytest.raises(CameraError, match="wait for others that were sent"):
        next(FolderCamera(three, seconds=0, queue=queue, patience=0).frames())
