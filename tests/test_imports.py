"""The import table of the house: data flows one way, and hardware is imported where it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import free_port

ROOT = Path(__file__).parent.parent

# What a view, a command or a picture needs is imported there: a Pi Zero takes half a second more of
# each start for Pillow, the doctor's web client and the rest (tests/pi_zero/instructions).
LATER = {
    "PIL", "multiprocessing", "appliance.doctor", "appliance.backup", "appliance.captures_zip",
    "appliance.captures_report", "appliance.commands.train", "appliance.web.openapi",
    "appliance.web.reliability", "model.report", "model.calibration", "segno",
}  # fmt: skip

# module or package: what of this project and of others it may import. The first match counts.
TABLE: dict[str, set[str]] = {
    "model": {"model", "numpy", "scipy"},
    "appliance.vision": {"appliance.vision", "appliance.reading", "numpy", "scipy.ndimage"},
    # What reads is in numpy alone: scipy would be half of the appliance's start.
    **{
        f"appliance.vision.{each}": {"appliance.vision", "appliance.reading", "numpy"}
        for each in ("ink", "marks", "glyph", "rules", "around", "regions", "windows")
    },
    "appliance.reading": {"appliance.errors", "numpy"},
    "appliance.errors": set(),
    "appliance.ownership": {"appliance.errors", "model"},
    "appliance.printable": set(),
    "appliance.settings": {"appliance.errors", "appliance.ownership"},
    "appliance.settings_file": {
        "appliance.errors", "appliance.printable", "appliance.settings", "model",
    },
    "appliance.gpio": {"appliance.errors", "gpiozero"},
    "appliance.button": {"appliance.gpio"},
    "appliance.picture_file": {"appliance.errors", "numpy"},
    "appliance.picture": {
        "appliance.reading", "appliance.errors", "appliance.picture_file", "numpy", "PIL",
    },
    "appliance.decision": {"appliance.vision", "appliance.reading", "numpy"},
    "appliance.reader": {
        "appliance.decision", "appliance.vision", "appliance.reading", "model", "numpy",
    },
    "appliance.rows": {"appliance.database"},
    "appliance.database": {"appliance.errors", "appliance.rows", "model"},
    "appliance.captures_rescue": {
        "appliance.database", "appliance.errors", "appliance.rows", "model",
    },
    "appliance.captures_enough": set(),
    "appliance.captures": {
        "appliance.captures_enough", "appliance.captures_rescue", "appliance.database",
        "appliance.errors", "appliance.reading", "appliance.rows", "model", "numpy",
    },
    "appliance.zips": set(),
    "appliance.captures_zip": {
        "appliance.captures", "appliance.captures_rescue", "appliance.errors", "appliance.reading",
        "appliance.zips", "numpy", "PIL",
    },
    "appliance.backup_files": {
        "appliance.captures_rescue", "appliance.changes", "appliance.database", "appliance.errors",
        "appliance.nights", "appliance.outputs.history", "appliance.settings", "model",
    },
    "appliance.backup": {
        "appliance", "appliance.backup_files", "appliance.changes", "appliance.database",
        "appliance.errors", "appliance.nights", "appliance.ownership", "appliance.rows",
        "appliance.vault", "appliance.zips", "model",
    },
    "appliance.restore": {
        "appliance.backup", "appliance.backup_files", "appliance.changes", "appliance.errors",
        "appliance.nights", "appliance.ownership", "model",
    },
    "appliance.captures_report": {
        "appliance.captures", "appliance.captures_enough", "appliance.reading", "model", "numpy",
    },
    "appliance.promotions": {"model"},
    "appliance.owner": {"appliance.errors", "model", "werkzeug"},
    "appliance.vault": {"appliance.errors", "appliance.promotions", "model"},
    "appliance.networks": {"appliance.reader", "appliance.vault", "model"},
    "appliance.machine": set(),
    "appliance.watchdog": {"model"},
    "appliance.changes": {"appliance.errors", "appliance.settings", "model"},
    "appliance.control": {
        "appliance.changes", "appliance.errors", "appliance.printable", "model",
    },
    "appliance.nights": {"appliance.errors", "model"},
    "appliance.night": {
        "appliance", "appliance.captures", "appliance.errors", "appliance.vision", "model", "numpy",
    },
    "appliance.worth": {"appliance.captures", "appliance.nights", "model", "numpy"},
    "appliance.retrain": {
        "appliance.captures", "appliance.errors", "appliance.machine", "appliance.night",
        "appliance.nights", "appliance.vault", "appliance.worth", "model", "numpy",
    },
    "appliance.due": {
        "appliance.captures", "appliance.machine", "appliance.nights", "appliance.settings",
    },
    "appliance.trainer": {"appliance.errors", "appliance.nights"},
    "appliance.steady": {"appliance.reading"},
    "appliance.still": {"appliance.reading", "numpy"},
    "appliance.camera.folder": {"appliance.errors", "appliance.reading", "appliance.picture"},
    "appliance.camera": {"appliance.errors", "appliance.reading", "picamera2"},
    "appliance.outputs.leds": {
        "appliance.errors", "appliance.reading", "appliance.settings", "appliance.gpio",
    },
    "appliance.outputs.discovery": set(),
    "appliance.outputs.mqtt": {
        "appliance", "appliance.errors", "appliance.outputs.discovery", "appliance.reading",
        "appliance.settings", "paho",
    },
    "appliance.outputs": {
        "appliance.database", "appliance.errors", "appliance.reading", "appliance.rows", "numpy",
    },
    "appliance.loop": {
        "appliance.camera", "appliance.errors", "appliance.machine", "appliance.outputs",
        "appliance.reader",
        "appliance.reading", "appliance.steady", "appliance.still",
    },
    "appliance.web": {
        "appliance", "appliance.web", "appliance.captures", "appliance.captures_enough",
        "appliance.captures_report", "appliance.captures_zip", "appliance.control",
        "appliance.errors", "appliance.machine", "appliance.networks",
        "appliance.nights", "appliance.outputs.history", "appliance.outputs.latest",
        "appliance.outputs.metrics", "appliance.owner", "appliance.picture", "appliance.reader",
        "appliance.reading", "appliance.settings", "appliance.trainer",
        "appliance.vision.glyph", "model", "flask",
        "itsdangerous", "segno", "werkzeug", "waitress", "numpy", "PIL",
    },
    "appliance.web.language": {"flask"},
    "appliance.web.curves": {"appliance.web.language"},
    "appliance.web.reliability": {"appliance.web.language", "model"},
    "appliance.download": {"appliance.errors", "model"},
    "appliance.board": {"appliance.machine"},
    "appliance.doctor": {
        "appliance", "appliance.backup_files", "appliance.board", "appliance.button",
        "appliance.camera", "appliance.database",
        "appliance.decision", "appliance.errors", "appliance.machine", "appliance.nights",
        "appliance.outputs.latest", "appliance.outputs.leds", "appliance.outputs.mqtt",
        "appliance.owner", "appliance.reader", "appliance.reading", "appliance.settings",
        "appliance.vault", "model", "numpy",
    },
    "appliance.report": {
        "appliance.board", "appliance.doctor", "appliance.errors", "appliance.machine",
        "appliance.nights", "appliance.owner", "appliance.ownership", "appliance.printable",
        "appliance.settings",
    },
    "appliance.commands": {"*"},
    "appliance.__main__": {"*"},
    "appliance": set(),
}  # fmt: skip
HARDWARE = {"gpiozero", "picamera2", "libcamera", "lgpio", "paho"}


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted([*ROOT.glob("appliance/**/*.py"), *ROOT.glob("model/**/*.py")]):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found.append((name.removesuffix(".__init__"), path))
    return found


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(name: str, package: str) -> bool:
    # A bare "appliance" allows its version and no module of it.
    if package == "appliance":
        return name == "appliance.__version__"
    return name == package or name.startswith(f"{package}.")


def allowed(module: str) -> set[str]:
    exact_or_parent = [key for key in TABLE if module == key or module.startswith(f"{key}.")]
    return TABLE[max(exact_or_parent, key=len)]


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: str(value))
def test_a_module_imports_only_what_the_table_allows(module: str, path: Path) -> None:
    permitted = allowed(module)
    foreign = {
        name
        for name in imported(ast.parse(path.read_text()))
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(within(name, package) for package in permitted)
    }
    assert "*" in permitted or not foreign


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: str(value))
def test_hardware_is_never_imported_at_the_top_of_a_module(module: str, path: Path) -> None:
    top = ast.Module(
        [node for node in ast.parse(path.read_text()).body if "Import" in type(node).__name__], []
    )
    assert not {name.split(".")[0] for name in imported(top)} & HARDWARE


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    script = (
        "import sys, appliance.__main__ as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'numpy', 'scipy', 'flask', 'PIL', 'gpiozero'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.strip() == "set()"


def test_the_appliance_serves_and_reads_without_scipy() -> None:
    script = (
        "import importlib, sys\n"
        "from pathlib import Path\n"
        "served = [*Path('appliance/web').glob('*.py'), *Path('appliance/outputs').glob('*.py')]\n"
        "for path in [*served, Path('appliance/loop.py'), Path('appliance/commands/run.py')]:\n"
        "    importlib.import_module('.'.join(path.with_suffix('').parts))\n"
        "from appliance.picture import open_picture\n"
        "from appliance.reader import Reader\n"
        "from model import weights\n"
        "path = Path('data/samples/7-shadow.jpg')\n"
        "print(Reader(weights.load(weights.SHIPPED)[0]).read(open_picture(path, 'it')).digit)\n"
        "print({'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["7", "set()"], done.stderr


def test_a_night_that_simulates_nothing_does_without_scipy() -> None:
    modules = "appliance.commands.retrain, appliance.retrain, appliance.due, model.augment"
    script = f"import sys, {modules}\nprint('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "False", done.stderr


def test_a_start_leaves_out_what_is_asked_for_later(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from appliance.loop import Loop\n"
        "from appliance.watchdog import Watchdog\n"
        "from appliance.__main__ import main\n"
        "Loop.run = lambda loop: None\n"
        "def ready(watchdog):\n"
        "    print(*{name.split('.')[0] for name in sys.modules} | set(sys.modules), flush=True)\n"
        "    os._exit(0)\n"
        "Watchdog.ready = ready\n"
        f"main(['run', '--camera', 'folder:data/samples', '--leds', 'none', '--host', '127.0.0.1',"
        f" '--port', '{free_port()}', '--state', {str(tmp_path / 'state')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert "appliance.web" in loaded, done.stderr
    assert not loaded & LATER
