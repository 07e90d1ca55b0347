"""What the camera's libraries load of others: what is never used stays out of the memory."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from appliance.camera.picamera import _put_off
from tests.camera import versions
from tests.camera.absent import Others

ROOT = Path(__file__).parents[2]
# Whatever is used of av or a module of its own is there: see absent.py.
LOADS = """
import sys
from tests.camera import libcamera
from tests.camera.absent import Others
from appliance.camera.picamera import PiCamera
from appliance.errors import CameraError
sys.path.insert(0, sys.argv[1])
sys.meta_path.append(Others)
sys.modules["libcamera"] = libcamera
try:
    PiCamera(640, 480)
except CameraError as error:
    print(str(error).partition(":")[0])
print("av" in sys.modules)
for module in [*sys.modules.values()]:
    if module.__name__.startswith("picamera2.") and "av" in vars(module):
        module.av.open
print("av" in sys.modules)
"""


@pytest.mark.parametrize("version", versions.VERSIONS)
def test_the_library_of_video_encoders_is_loaded_by_who_uses_it_alone(version: str) -> None:
    folder = versions.FOLDER / version
    if not folder.is_dir():
        pytest.skip(f"picamera2 {version} is not there: ./setup.sh test fetches it from PyPI")
    words = [sys.executable, "-c", LOADS, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    # Older and newer versions name it in no module, or in a function.
    used = str(version == "0.3.31")
    assert done.stdout.splitlines() == ["no camera found", "False", used], done.stderr


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    package = tmp_path / "put_off"
    package.mkdir()
    (package / "__init__.py").write_text("answer = 42\n")
    (package / "part.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("put_off", "put_off.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "put_off"


def test_a_library_that_is_put_off_is_all_there_when_it_is_used(library: str) -> None:
    with _put_off(library):
        import put_off  # type: ignore[import-not-found]
    assert library not in sys.modules
    assert put_off.answer == 42
    assert sys.modules[library].answer == 42


def test_a_part_of_a_library_that_is_put_off_can_be_imported(library: str) -> None:
    with _put_off(library):
        importlib.import_module(f"{library}.part")
    assert sys.modules[library].answer == 42


def test_a_library_that_was_there_before_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ModuleType("put_off")
    monkeypatch.setitem(sys.modules, "put_off", there)
    with _put_off("put_off"):
        assert sys.modules["put_off"] is there
    assert sys.modules["put_off"] is there


def test_nothing_stands_in_for_a_part_of_a_library_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "av").mkdir()
    (tmp_path / "av/__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Others])
    before = set(sys.modules)
    try:
        assert importlib.import_module("simplejpeg.encode").anything
        assert importlib.import_module("av").__file__
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("av.anything")
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]
