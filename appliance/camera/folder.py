"""The pictures of a folder as a camera: for the demo and the tests."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from appliance.errors import CameraError, PictureError
from appliance.picture import SUFFIXES, PictureQueue, open_picture, pictures_in
from appliance.reading import Frame

log = logging.getLogger(__name__)


class FolderCamera:
    """Shows each picture of a folder for `seconds`, by name, over and over; 0 = for one frame.

    Each is decoded in its turn of `queue`, which uploads share. If that does not come within
    `patience` seconds, the last picture is shown again.

    >>> camera = FolderCamera(Path("data/samples"), seconds=4)
    >>> frame = next(camera.frames())
    >>> camera.close()

    Raises CameraError when the folder is missing or has no picture.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seconds: float,
        queue: PictureQueue | None = None,
        patience: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._queue = queue or PictureQueue()
        self._patience = patience
        self._clock = clock
        self._open = True
        self._folder = folder
        try:
            self._pictures = pictures_in(folder)
        except OSError as error:
            raise CameraError(
                f"{folder}: the folder cannot be read ({error.strerror}): "
                "give one with pictures in it, as in --camera folder:data/samples"
            ) from None
        self._check_pictures()

    def frames(self) -> Iterator[Frame]:
        started = self._clock()
        count, shown = 0, -1
        frame: Frame | None = None
        while self._open:
            elapsed = self._clock() - started
            position = int(elapsed / self._seconds) if self._seconds else count
            if frame is None or position != shown:
                path = self._pictures[position % len(self._pictures)]
                try:
                    with self._queue.turn(self._patience) as granted:
                        if granted:
                            frame, shown = open_picture(path, str(path)), position
                except (PictureError, OSError) as error:
                    log.warning("left out of the folder camera: %s", error)
                    self._pictures.remove(path)
                    self._check_pictures()
                    continue
            if frame is None:
                raise CameraError(
                    "the folder's pictures wait for others that were sent: they are tried again"
                )
            count += 1
            yield replace(frame, at=time.time())

    def close(self) -> None:
        self._open = False

    def _check_pictures(self) -> None:
        if not self._pictures:
            raise CameraError(
                f"{self._folder}: there is no picture in the folder ({', '.join(SUFFIXES)})"
            )
