"""One thread: camera → reader → steady → outputs; it survives any one of them failing."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from appliance.camera import Camera
from appliance.device.machine import give_back
from appliance.errors import CameraError
from appliance.outputs import Output
from appliance.reader.change_detector import Still
from appliance.reader.debounce import Steady
from appliance.reader.reader import Reader
from appliance.reading import Frame, Reading

log = logging.getLogger(__name__)

_TIDIED = 1000
"""After so many readings memory that is free is given back."""


class Loop:
    """Reads `rate` frames a second (0 = as many as can be) and shows each to every output.

    `look` is called before each frame: what may have changed elsewhere is looked at there.
    A frame like the last one is not read again: the last reading stands for it, and is shown again
    only if what is settled changes by it.
    A camera that fails is closed, its sentence is shown as a fault, and it is opened again after
    `retry` seconds. An output that fails is named in the log once and asked again next time.
    """

    def __init__(
        self,
        *,
        open_camera: Callable[[], Camera],
        reader: Reader,
        steady: Steady,
        outputs: Sequence[Output],
        rate: float,
        look: Callable[[], None] = lambda: None,
        retry: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_camera = open_camera
        self._reader = reader
        self._steady = steady
        self._outputs = outputs
        self._look = look
        self._interval = 1 / rate if rate else 0.0
        self._retry = retry
        self._clock = clock
        self._wake = threading.Event()
        self._stopping = False
        self._at_once = False
        self._still = Still()
        self._newest: Reading | None = None
        self._said: set[str] = set()
        self._readings = 0

    def run(self) -> None:
        """Go on until `stop`, then close the outputs."""
        try:
            while not self._stopping:
                try:
                    with closing(self._open_camera()) as camera:
                        self._read_all(camera)
                except CameraError as error:
                    self._fault(str(error))
                except Exception as error:
                    said = f"the camera's driver failed ({error}): run 'digits doctor'"
                    self._fault(said, defect=error)
        finally:
            for output in self._outputs:
                self._guarded(output, output.close)

    def stop(self) -> None:
        """End `run` after the frame it is on; may be called from any thread and from a signal."""
        self._stopping = True
        self._wake.set()

    def read_now(self) -> None:
        """Take a reading at once and show it without a vote; what the button does."""
        self._at_once = True
        self._wake.set()

    def _read_all(self, camera: Camera) -> None:
        due = self._clock()
        for frame in camera.frames():
            if self._stopping:
                return
            self._recovered("camera", "the camera gives frames")
            self._look_around()
            self._show_if_new(frame)
            # A slow frame does not make the next ones hurry.
            due = max(due + self._interval, self._clock())
            self._wait(due - self._clock())
            if self._stopping:
                return
        if not self._stopping:
            raise CameraError("the camera gives no more frames: run 'digits doctor'")

    def _show_if_new(self, frame: Frame) -> None:
        """Read and show a frame, or vote again with the last reading if the frame is like its."""
        # What another network has read does not stand for a frame of this one's.
        last = self._newest
        if last is not None and last.network != self._reader.id:
            last = None
        if self._still.same(frame) and last is not None and not self._at_once:
            again = self._steady.update(last._replace(at=frame.at))
            if again.settled == last.settled:
                return
            self._newest = again
        else:
            self._newest = self._read(frame)
        self._show(self._newest)
        if self._newest.fault is not None:
            self._newest = None

    def _read(self, frame: Frame) -> Reading:
        at_once, self._at_once = self._at_once, False
        self._readings += 1
        if self._readings % _TIDIED == 0:
            give_back()
        try:
            return self._steady.update(self._reader.read(frame), at_once=at_once)
        except Exception as error:
            said = f"a frame could not be read ({type(error).__name__}: {error})"
            self._say("reader", said, defect=error)
            self._steady.forget()
            return Reading(at=frame.at, frame=frame, fault=f"the frame could not be read ({error})")

    def _show(self, reading: Reading) -> None:
        for output in self._outputs:
            self._guarded(output, partial(output.show, reading))

    def _fault(self, sentence: str, defect: Exception | None = None) -> None:
        self._steady.forget()
        self._newest = None
        self._show(Reading(at=time.time(), fault=sentence))
        self._say("camera", sentence, defect)
        self._look_around()
        self._wait(self._retry)

    def _look_around(self) -> None:
        try:
            self._look()
        except Exception as error:
            said = f"what changed elsewhere was not noticed ({type(error).__name__}: {error})"
            self._say("look", said, defect=error)

    def _wait(self, seconds: float) -> None:
        if seconds > 0 and not self._stopping:
            self._wake.wait(seconds)
        if not self._stopping:
            self._wake.clear()

    def _guarded(self, output: Output, call: Callable[[], None]) -> None:
        name = type(output).__name__
        try:
            call()
        except Exception as error:
            self._say(name, f"{name} failed and is left out of this reading ({error})")

    def _recovered(self, who: str, sentence: str) -> None:
        """Log that a part works again, if it was said that it does not."""
        if any(each.startswith(f"{who}: ") for each in self._said):
            self._said = {each for each in self._said if not each.startswith(f"{who}: ")}
            log.info("%s again", sentence)

    def _say(self, who: str, sentence: str, defect: Exception | None = None) -> None:
        """Log a sentence, but not again and again while nothing else happened to the same part.

        What is a `defect` of the program is logged with its traceback.
        """
        if f"{who}: {sentence}" not in self._said:
            self._said = {each for each in self._said if not each.startswith(f"{who}: ")}
            self._said.add(f"{who}: {sentence}")
            log.warning("%s", sentence, exc_info=defect)
