"""Stands in for the library of a screen, which picamera2 imports and does not use here."""

from typing import Any


class _Nothing:
    def __getattr__(self, _name: str) -> Any:
        return self


PixelFormat = _Nothing()
