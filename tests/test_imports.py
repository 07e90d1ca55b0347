"""The import table of the house: data flows one way, and hardware is imported where it is used."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import free_port

ROOT = Path(__file__).parent.parent

# What a view, a command or a picture needs is imported there: a Pi Zero takes half a second more of
# each start for Pillow, the doctor's web client and the rest (tests/proofs/pi_zero/instructions).
LATER = {
    "PIL", "multiprocessing", "appliance.doctor.checks", "appliance.backup.archive",
    "appliance.captures.archive",
    "appliance.captures.audit", "appliance.commands.train", "appliance.web.views.openapi",
    "appliance.web.schemas",
    "appliance.web.inside.reliability", "model.evaluation_report", "model.calibration", "segno",
    "prometheus_client", "tomlkit",
}  # fmt: skip

# The house from top to bottom: a folder or file, and what of the rows below it and of other
# people's libraries it may import. Nobody imports upwards.
TABLE: dict[str, set[str]] = {
    "__main__": {"commands", "console", "errors", "model"},
    "commands": {
        "web", "doctor", "backup", "training", "loop", "networks", "outputs", "camera", "reader",
        "simulator", "vision", "captures", "picture", "device", "settings", "storage", "reading",
        "console", "errors", "model", "numpy", "PIL", "segno", "matplotlib", "paho",
    },
    "web": {
        "training", "networks", "outputs", "reader", "vision.glyph", "captures", "picture",
        "device.control", "device.machine", "device.owner_pin", "settings", "storage.layout",
        "storage.rows", "reading", "errors", "model", "flask", "werkzeug", "itsdangerous",
        "waitress", "segno", "prometheus_client", "numpy", "PIL",
    },
    "doctor": {
        "backup.contents", "training.records", "networks", "outputs", "camera", "reader", "device",
        "settings", "storage", "reading", "console", "errors", "model", "numpy",
    },
    "backup": {
        "training.lock", "training.records", "networks", "outputs.history", "captures", "settings",
        "storage", "errors", "model",
    },
    "training": {
        "networks", "simulator", "vision", "captures", "device.machine", "settings", "storage",
        "console", "errors", "model", "numpy",
    },
    "loop": {"outputs", "camera", "reader", "device.machine", "reading", "errors"},
    "networks": {"reader", "errors", "model"},
    "outputs": {
        "device", "settings", "storage", "reading", "errors", "numpy", "paho", "prometheus_client",
    },
    "camera": {"picture", "reading", "errors", "picamera2"},
    "simulator": {"vision", "reading", "model", "numpy", "scipy.ndimage"},
    "reader": {"vision", "reading", "model", "numpy"},
    "vision": {"reading", "numpy"},
    "captures": {"storage", "reading", "errors", "model", "numpy", "PIL"},
    "picture": {"storage.picture_check", "reading", "errors", "numpy", "PIL"},
    "device": {
        "settings", "storage.layout", "console", "errors", "model", "gpiozero", "lgpio", "werkzeug",
    },
    "settings": {"storage.layout", "storage.ownership", "console", "errors", "model", "tomlkit"},
    "storage": {"errors", "model", "numpy"},
    "reading": {"errors", "numpy"},
    "console": set(),
    "errors": set(),
    "model": {"numpy", "scipy"},
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


def row_of(module: str) -> str:
    """Return the row of the table that a module of the project is in."""
    parts = module.split(".")
    return parts[1] if parts[0] == "appliance" and len(parts) > 1 else parts[0]


def within(name: str, permitted: str) -> bool:
    if permitted.split(".")[0] in TABLE and permitted != "model":
        permitted = f"appliance.{permitted}"
    return name == permitted or name.startswith(f"{permitted}.")


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: str(value))
def test_a_module_imports_only_what_its_row_allows(module: str, path: Path) -> None:
    row = row_of(module)
    foreign = {
        name
        for name in imported(ast.parse(path.read_text()))
        if name.split(".")[0] not in sys.stdlib_module_names
        and row != row_of(name)
        and name != "appliance.__version__"
        and not any(within(name, permitted) for permitted in TABLE.get(row, set()))
    }
    assert not foreign


def test_nobody_imports_upwards() -> None:
    rows = list(TABLE)
    for number, row in enumerate(rows):
        assert not {each.split(".")[0] for each in TABLE[row]} & set(rows[: number + 1]), row


def test_no_module_is_in_a_circle() -> None:
    names = dict(modules())
    arrows: dict[str, set[str]] = {}
    for module, path in names.items():
        targets = {
            name if name in names else name.rpartition(".")[0]
            for name in imported(ast.parse(path.read_text()))
        }
        arrows[module] = targets & set(names) - {module, "appliance", "model"}
    TopologicalSorter(arrows).prepare()


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


@pytest.mark.slow
def test_the_appliance_serves_and_reads_without_scipy() -> None:
    script = (
        "import importlib, sys\n"
        "from pathlib import Path\n"
        "served = [*Path('appliance/web').rglob('*.py'), *Path('appliance/outputs').glob('*.py')]\n"
        "for path in [*served, Path('appliance/loop.py'), Path('appliance/commands/run.py')]:\n"
        "    importlib.import_module('.'.join(path.with_suffix('').parts))\n"
        "from appliance.picture import open_picture\n"
        "from appliance.reader.reader import Reader\n"
        "from model import weights\n"
        "path = Path('data/samples/7-shadow.jpg')\n"
        "print(Reader(weights.load(weights.SHIPPED)[0]).read(open_picture(path, 'it')).digit)\n"
        "print({'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["7", "set()"], done.stderr


def test_a_night_that_simulates_nothing_does_without_scipy() -> None:
    modules = "appliance.commands.retrain, appliance.training.schedule, model.augment"
    script = f"import sys, {modules}\nprint('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "False", done.stderr


def test_a_start_leaves_out_what_is_asked_for_later(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from appliance.loop import Loop\n"
        "from appliance.device.systemd import Watchdog\n"
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
