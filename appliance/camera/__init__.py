"""Where frames come from; the rest of the appliance does not know which one it is."""

from collections.abc import Iterator
from typing import Protocol

from appliance.reading import Frame


class Camera(Protocol):
    """Gives one frame after another until it is closed."""

    def frames(self) -> Iterator[Frame]:
        """Yield what is in view each time it is asked; raises CameraError when that fails."""

    def close(self) -> None:
        """Let go of the camera; safe to call twice."""
