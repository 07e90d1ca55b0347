"""The loop survives the failure of any part that it is handed."""

import logging
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest

from appliance.camera import Camera
from appliance.errors import CameraError
from appliance.loop import Loop
from appliance.reader.debounce import Debouncer
from appliance.reader.reader import Reader
from appliance.reading import Frame, Reading, make_frame
from model.network import build


class FakeReader(Reader):
    """Answers with the tens of the first pixel's grey, none with 0, and breaks on 99."""

    def __init__(self) -> None:
        super().__init__(build([["dense", 784, 10]]))
        self.read_frames: list[Frame] = []

    def read(self, frame: Frame) -> Reading:
        self.read_frames.append(frame)
        value = int(frame.grey[0, 0])
        if value == 99:
            raise ZeroDivisionError("a defect")
        return Reading(at=frame.at, digit=value // 10 or None, frame=frame, network=self.id)


class FakeCamera:
    """Gives frames of these greys, then calls `after` (which stops the loop or raises).

    The frames' own times are `every` seconds apart.
    """

    def __init__(self, values: list[int], after: Callable[[], None], every: float = 0.125) -> None:
        self.values, self.after, self.every, self.closed = values, after, every, 0

    def frames(self) -> Iterator[Frame]:
        for number, value in enumerate(self.values):
            yield make_frame(np.full((4, 4), value, np.uint8), 1000 + number * self.every)
        self.after()

    def close(self) -> None:
        self.closed += 1


class Recorder:
    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.closed = 0

    def show(self, reading: Reading) -> None:
        self.readings.append(reading)

    def close(self) -> None:
        self.closed += 1

    @property
    def settled(self) -> list[int | None]:
        return [reading.settled for reading in self.readings]


class Broken(Recorder):
    def show(self, reading: Reading) -> None:
        raise OSError("no space left")

    def close(self) -> None:
        raise OSError("no space left")


def run(
    values: list[int],
    *outputs: Recorder,
    cameras: list[FakeCamera | CameraError] | None = None,
    agree: int = 3,
    reader: FakeReader | None = None,
    every: float = 0.125,
) -> list[FakeCamera | CameraError]:
    """Run a loop over a camera's values (or over several cameras) until they are used up."""
    made: list[FakeCamera | CameraError] = cameras or [
        FakeCamera(values, lambda: loop.stop(), every)
    ]
    waiting = list(made)

    def open_camera() -> Camera:
        if not waiting:
            loop.stop()
            raise CameraError("used up")
        camera = waiting.pop(0)
        if isinstance(camera, CameraError):
            raise camera
        return camera

    loop = Loop(
        open_camera=open_camera,
        reader=reader or FakeReader(),
        debouncer=Debouncer(agree),
        outputs=outputs,
        rate=0,
        retry=0,
    )
    loop.run()
    return made


def test_every_frame_is_read_debounced_and_shown() -> None:
    recorder = Recorder()
    # Two greys of one digit, further apart than a camera's noise.
    (camera,) = run([70, 75, 70, 75], recorder)
    assert recorder.settled == [None, None, 7, 7]
    assert isinstance(camera, FakeCamera)
    assert (camera.closed, recorder.closed) == (1, 1)


def test_a_failing_output_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    run([10, 20, 30], Broken(), recorder)
    assert [reading.digit for reading in recorder.readings] == [1, 2, 3]
    assert recorder.closed == 1
    logged = [line for line in caplog.messages if "Broken failed" in line]
    assert len(logged) == 1  # and not with every reading


def test_a_frame_that_cannot_be_read_is_a_fault_and_the_next_is_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder()
    run([10, 99, 20], recorder)
    assert [reading.digit for reading in recorder.readings] == [1, None, 2]
    assert recorder.readings[1].fault == "the frame could not be read (a defect)"
    assert "a defect" in caplog.text


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (CameraError("the cable is loose"), "the cable is loose"),
        (ValueError("oops"), "the camera's driver failed (oops): run 'digits doctor'"),
    ],
)
def test_a_camera_that_fails_is_closed_shown_and_opened_again(error: Exception, fault: str) -> None:
    recorder = Recorder()
    first, second = FakeCamera([50], raising(error)), FakeCamera([60], lambda: None)
    run([], recorder, cameras=[first, second])
    assert [(reading.digit, reading.fault) for reading in recorder.readings[:3]] == [
        (5, None),
        (None, fault),
        (6, None),
    ]
    assert recorder.readings[1].state == "error"
    assert first.closed == second.closed == 1


def test_a_missing_camera_is_logged_once_and_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    missing = CameraError("no camera found")
    run([], recorder, cameras=[missing, missing, FakeCamera([40], lambda: None)])
    assert [reading.fault for reading in recorder.readings[:2]] == ["no camera found"] * 2
    assert recorder.readings[2].digit == 4
    assert caplog.messages.count("no camera found") == 1


def test_a_defect_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    cameras: list[FakeCamera | CameraError] = [FakeCamera([], raising(ValueError("oops")))] * 3
    run([], Recorder(), cameras=cameras)
    assert caplog.text.count("Traceback") == 1
    assert sum("oops" in message for message in caplog.messages) == 1


class Clock:
    """Stands still but for `wait`, which takes the place of the loop's Event."""

    def __init__(self) -> None:
        self.now, self.woken = 0.0, False

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.woken

    def set(self) -> None:
        self.woken = True

    def clear(self) -> None:
        self.woken = False


def test_a_camera_that_fails_on_and_on_is_tried_less_often() -> None:
    clock, tries, calls = Clock(), list[float](), list[float]()

    def open_camera() -> Camera:
        tries.append(clock.now)
        if len(tries) == 6:
            # Frames for longer than the longest wait: it starts anew.
            return FakeCamera([10] * 200, raising(CameraError("it stalled")))
        if len(tries) == 7:
            loop.read_now()
        if len(tries) == 9:
            loop.stop()
        raise CameraError("busy")

    loop = Loop(
        open_camera=open_camera,
        reader=FakeReader(),
        debouncer=Debouncer(3),
        outputs=[],
        rate=1,
        before_frame=lambda: calls.append(clock.now),
        clock=clock,
    )
    loop._wake = clock  # type: ignore[assignment]
    loop.run()
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps[:5] == [10, 20, 40, 60, 60]
    # After its 200 seconds of frames; at once where somebody asked for a reading; then as before.
    assert gaps[5:] == [200 + 10, 10, 40]
    # The watchdog hears of the loop meanwhile.
    assert max(later - earlier for earlier, later in pairwise(calls)) <= 10


def test_readings_from_before_a_fault_do_not_count_after_it() -> None:
    recorder = Recorder()
    first = FakeCamera([80, 85], raising(CameraError("gone")))
    run([], recorder, cameras=[first, FakeCamera([80, 85], lambda: None)])
    assert set(recorder.settled) == {None}


def test_the_button_shows_the_next_reading_at_once() -> None:
    recorder = Recorder()
    camera = FakeCamera([30, 35], lambda: loop.stop())
    loop = Loop(
        open_camera=lambda: camera,
        reader=FakeReader(),
        debouncer=Debouncer(3),
        outputs=[recorder],
        rate=0,
    )
    loop.read_now()
    loop.run()
    assert recorder.settled == [3, 3]


def greys(reader: FakeReader) -> list[int]:
    return [int(frame.grey[0, 0]) for frame in reader.read_frames]


def test_an_unchanged_frame_is_not_read_again() -> None:
    reader = FakeReader()
    run([70, 70, 71, 70, 72, 50, 50, 51, 70], Recorder(), reader=reader)
    assert greys(reader) == [70, 50, 70]


def test_a_digit_settles_while_nothing_moves() -> None:
    reader, recorder = FakeReader(), Recorder()
    run([70] * 6, recorder, reader=reader)
    assert len(reader.read_frames) == 1
    # Shown when it was read and when what is settled changed: idle, the outputs have no work.
    assert recorder.settled == [None, 7]
    assert recorder.readings[1].at == 1000 + 2 * 0.125
    assert recorder.readings[1].frame is recorder.readings[0].frame


def test_a_digit_goes_within_a_second_of_its_sheet_although_nothing_moves_then() -> None:
    for every in (0.125, 0.5, 1.0):
        reader, recorder = FakeReader(), Recorder()
        run([70] * 4 + [0] * 9, recorder, reader=reader, every=every)
        assert greys(reader) == [70, 0]
        assert recorder.settled[-1] is None
        assert recorder.readings[-1].at - (1000 + 3 * every) <= max(1.0, every)


def test_ten_seconds_later_the_same_frame_is_read_again() -> None:
    reader, recorder = FakeReader(), Recorder()
    run([70] * 25, recorder, reader=reader, every=1.0)
    assert [frame.at - 1000 for frame in reader.read_frames] == [0, 10, 20]
    assert recorder.settled == [None, 7, 7, 7]


def test_another_network_reads_the_same_frame_again() -> None:
    reader, recorder, calls = FakeReader(), Recorder(), 0

    def before_frame() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            reader.use(build([["dense", 784, 10]], seed=1))

    loop = Loop(
        open_camera=lambda: FakeCamera([70] * 6, lambda: loop.stop()),
        reader=reader,
        debouncer=Debouncer(3),
        outputs=[recorder],
        rate=0,
        before_frame=before_frame,
    )
    loop.run()
    assert [frame.at for frame in reader.read_frames] == [1000, 1000.25]
    assert recorder.settled == [None, 7]


def test_a_before_frame_that_fails_is_logged_once_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def before_frame() -> None:
        raise OSError("the card is gone")

    recorder = Recorder()
    loop = Loop(
        open_camera=lambda: FakeCamera([10, 20], lambda: loop.stop()),
        reader=FakeReader(),
        debouncer=Debouncer(3),
        outputs=[recorder],
        rate=0,
        before_frame=before_frame,
    )
    loop.run()
    assert [reading.digit for reading in recorder.readings] == [1, 2]
    assert sum("the card is gone" in message for message in caplog.messages) == 1


def test_the_button_reads_although_nothing_moved() -> None:
    reader, recorder = FakeReader(), Recorder()

    class Pressed(FakeCamera):
        def frames(self) -> Iterator[Frame]:
            for number, given in enumerate(super().frames()):
                if number == 2:
                    loop.read_now()
                yield given

    loop = Loop(
        open_camera=lambda: Pressed([70, 70, 70, 70], lambda: loop.stop()),
        reader=reader,
        debouncer=Debouncer(5),
        outputs=[recorder],
        rate=0,
    )
    loop.run()
    assert [frame.at for frame in reader.read_frames] == [1000, 1000.25]
    assert recorder.settled == [None, 7]


def test_after_a_frame_that_could_not_be_read_the_same_one_is_tried_again() -> None:
    reader, recorder = FakeReader(), Recorder()
    run([99, 99, 99], recorder, reader=reader)
    assert greys(reader) == [99, 99, 99]
    assert all(reading.fault for reading in recorder.readings)


def test_after_a_cameras_fault_the_same_frame_is_read_anew() -> None:
    reader, recorder = FakeReader(), Recorder()
    first = FakeCamera([80, 80, 80], raising(CameraError("gone")))
    run([], recorder, cameras=[first, FakeCamera([80, 80], lambda: None)], reader=reader)
    assert len(reader.read_frames) == 2
    shown = [(reading.settled, reading.fault) for reading in recorder.readings[:4]]
    assert shown == [(None, None), (8, None), (None, "gone"), (None, None)]


def test_stop_ends_a_loop_that_waits_for_its_next_frame(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shown = threading.Event()

    class Signal(Recorder):
        def show(self, reading: Reading) -> None:
            super().show(reading)
            shown.set()

    recorder = Signal()
    camera = FakeCamera([10] * 100, lambda: None)
    loop = Loop(
        open_camera=lambda: camera,
        reader=FakeReader(),
        debouncer=Debouncer(3),
        outputs=[recorder],
        rate=0.001,
    )
    thread = threading.Thread(target=loop.run)
    thread.start()
    assert shown.wait(5)
    loop.stop()
    thread.join(2)
    assert not thread.is_alive()
    assert len(recorder.readings) == 1
    assert camera.closed == recorder.closed == 1


def test_free_memory_goes_back_to_the_system_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []
    monkeypatch.setattr("appliance.loop.trim_heap", lambda: times.append(1))
    run([10, 20] * 1100)
    assert len(times) == 2
