"""Where frames come from: the Pi's camera or a folder of pictures, by one interface."""

from collections.abc import Iterator
from typing import Protocol

from appliance.reading import Frame


class Camera(Protocol):
    """Yields one frame after another until it is closed."""

    def frames(self) -> Iterator[Frame]:
        """Yield the newest frame, each time anew; raises CameraError when there is none."""

    def close(self) -> None:
        """Release the camera; safe to call twice."""
