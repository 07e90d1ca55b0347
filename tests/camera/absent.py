"""Lets picamera2 be imported without the libraries that it names and the appliance needs not.

What is asked of such a library is there and does nothing: video encoders, raw pictures, screens.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

OTHERS = ("av", "piexif", "pidng", "prctl", "pykms", "simplejpeg", "v4l2", "videodev2")


class Nothing:
    """Whatever is asked of it is nothing either."""

    def __getattr__(self, name: str) -> "Nothing":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> "Nothing":
        return self

    def __mro_entries__(self, _bases: Any) -> tuple[type, ...]:
        return ()


def is_stand_in(name: str) -> bool:
    """Tell whether a module that was imported stands in for one that is not installed."""
    return getattr(getattr(sys.modules[name], "__spec__", None), "loader", None) is Others


class Others:
    """Finds the modules of libraries that are not installed here."""

    @staticmethod
    def find_spec(name: str, _path: Any, _target: Any = None) -> ModuleSpec | None:
        library, _, part = name.partition(".")
        # A part that one which is installed looks for is not there.
        absent = library in OTHERS and (not part or is_stand_in(library))
        return ModuleSpec(name, Others, is_package=True) if absent else None  # type: ignore

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name)

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        module.__getattr__ = Nothing().__getattr__  # type: ignore
