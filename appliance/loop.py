"""One thread: camera → reader → debouncer → outputs; it survives the failure of any of them."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from appliance.camera import Camera
from appliance.device.machine import trim_heap
from appliance.errors import CameraError
from appliance.outputs import Output
from appliance.outputs.fault_log import FaultLog
from appliance.reader.change_detector import ChangeDetector
from appliance.reader.debounce import Debouncer
from appliance.reader.reader import Reader
from appliance.reading import Frame, Reading

log = logging.getLogger(__name__)

_TRIM_AFTER = 1000
"""Free memory goes back to the system after this many readings."""
LONGEST_RETRY = 60.0
"""Seconds between tries of a camera that fails on and on; so long it must work to start anew."""


class Loop:
    """Reads `rate` frames a second (0 = as many as possible) and shows each to every output.

    `before_frame` is called before each frame: it picks up what changed elsewhere. An unchanged
    frame is not read again: the last reading counts for it, and is shown again only if that changes
    the settled digit. A camera that fails is closed, shown as a fault, and opened again: after
    `retry` seconds, then after twice as long each time, at most a minute; `read_now` tries at once.
    An output that fails is called again for the next reading. What fails is logged by `FaultLog`.
    """

    def __init__(
        self,
        *,
        open_camera: Callable[[], Camera],
        reader: Reader,
        debouncer: Debouncer,
        outputs: Sequence[Output],
        rate: float,
        before_frame: Callable[[], None] = lambda: None,
        retry: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_camera = open_camera
        self._reader = reader
        self._debouncer = debouncer
        self._outputs, self._closing = outputs, threading.Lock()
        self._before_frame = before_frame
        self._interval = 1 / rate if rate else 0.0
        self._retry = self._next_retry = retry
        self._clock = clock
        self._wake = threading.Event()
        self._stopping = False
        self._at_once = False
        self._detector = ChangeDetector()
        self._last: Reading | None = None
        self._faults = FaultLog(log, clock)
        self._readings = 0

    def run(self) -> None:
        """Go on until `stop`, then close the outputs."""
        try:
            while not self._stopping:
                try:
                    with closing(self._open_camera()) as camera:
                        self._read_all(camera)
                except CameraError as error:
                    self._show_fault(str(error))
                except Exception as error:
                    fault = f"the camera's driver failed ({error}): run 'digits doctor'"
                    self._show_fault(fault, defect=error)
                else:
                    continue
                # Not in the handler: the error would keep all that it came from in memory.
                self._wait_to_retry()
        finally:
            self.close()

    def close(self) -> None:
        """Close the outputs, as `run` does at its end: for one that does not come to it."""
        with self._closing:
            outputs, self._outputs = self._outputs, ()
        for output in outputs:
            self._call(output, output.close)

    def stop(self) -> None:
        """End `run` after the frame it is on; may be called from any thread, but no handler."""
        self._stopping = True
        self._wake.set()

    def read_now(self) -> None:
        """Take a reading at once and show it without a vote; what the button does."""
        self._at_once = True
        self._wake.set()

    def _read_all(self, camera: Camera) -> None:
        due = began = self._clock()
        for frame in camera.frames():
            if self._stopping:
                return
            self._faults.clear("camera", "the camera gives frames again")
            if self._clock() - began >= LONGEST_RETRY:
                self._next_retry = self._retry
            self._call_before_frame()
            self._process(frame)
            # A slow frame does not make the next ones hurry.
            due = max(due + self._interval, self._clock())
            self._wait(due - self._clock())
            if self._stopping:
                return
        if not self._stopping:
            raise CameraError("the camera gives no more frames: run 'digits doctor'")

    def _process(self, frame: Frame) -> None:
        """Read and show a changed frame; count the last reading once more for an unchanged one."""
        last = self._last
        if last is not None and last.network != self._reader.id:
            # Another network may read the same frame otherwise.
            last = None
        if not self._detector.detect_change(frame) and last is not None and not self._at_once:
            again = self._debouncer.update(last._replace(at=frame.at))
            if again.settled == last.settled:
                return
            self._last = again
        else:
            self._last = self._read(frame)
        self._show(self._last)
        if self._last.fault is not None:
            self._last = None

    def _read(self, frame: Frame) -> Reading:
        at_once, self._at_once = self._at_once, False
        self._readings += 1
        if self._readings % _TRIM_AFTER == 0:
            trim_heap()
        try:
            reading = self._debouncer.update(self._reader.read(frame), at_once=at_once)
            self._faults.clear("reader", "frames are read again")
            return reading
        except Exception as error:
            sentence = f"a frame could not be read ({type(error).__name__}: {error})"
            self._faults.report("reader", sentence, defect=error)
            self._debouncer.reset()
            return Reading(at=frame.at, frame=frame, fault=f"the frame could not be read ({error})")

    def _show(self, reading: Reading) -> None:
        for output in self._outputs:
            self._call(output, partial(output.show, reading))

    def _show_fault(self, sentence: str, defect: Exception | None = None) -> None:
        self._debouncer.reset()
        self._last = None
        self._show(Reading(at=time.time(), fault=sentence))
        self._faults.report("camera", sentence, defect)

    def _wait_to_retry(self) -> None:
        """Wait before the next try of the camera, but for no longer than `read_now` lets it."""
        left, self._next_retry = self._next_retry, min(2 * self._next_retry, LONGEST_RETRY)
        self._call_before_frame()
        while left > 0 and not self._stopping and not self._wait(min(left, self._retry)):
            left -= self._retry
            self._call_before_frame()

    def _call_before_frame(self) -> None:
        try:
            self._before_frame()
            self._faults.clear("before_frame", "what changes elsewhere is noticed again")
        except Exception as error:
            sentence = f"what changed elsewhere was not noticed ({type(error).__name__}: {error})"
            self._faults.report("before_frame", sentence, defect=error)

    def _wait(self, seconds: float) -> bool:
        """Wait so long, or until `stop` or `read_now`; return whether one of these ended it."""
        woken = seconds > 0 and not self._stopping and self._wake.wait(seconds)
        if not self._stopping:
            self._wake.clear()
        return woken

    def _call(self, output: Output, call: Callable[[], None]) -> None:
        name = type(output).__name__
        try:
            call()
            self._faults.clear(name, f"{name} works again")
        except Exception as error:
            sentence = f"{name} failed and is left out of this reading ({error})"
            self._faults.report(name, sentence)
