"""digits run: the appliance. The only place that chooses real or stand-in parts."""

import argparse
import dataclasses
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, enter_state, log_to_stderr
from appliance.commands.stop_signals import StopSignals

if TYPE_CHECKING:
    from appliance.camera import Camera
    from appliance.networks.vault import LoadedNetwork, Vault
    from appliance.outputs.leds import Leds
    from appliance.outputs.mqtt import Mqtt
    from appliance.picture import PictureQueue
    from appliance.settings.schema import (
        CameraSettings,
        LedSettings,
        LoadedSettings,
        MqttSettings,
        Settings,
    )

log = logging.getLogger("appliance")

_LOOP_SECONDS = 1.2
"""Seconds that a stop waits for the loop: of two, the rest is for what is closed after it."""


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "run",
        "read what the camera sees; show it on the LEDs and on a page",
        "digits run --camera folder:data/samples --leds none --host 127.0.0.1",
    )
    parser.add_argument("--camera", metavar="SOURCE", help="picamera, or folder:PATH for pictures")
    parser.add_argument("--host", metavar="H", help="address the page listens on")
    parser.add_argument("--port", type=int, metavar="N", help="port of the page (default: 8080)")
    parser.add_argument(
        "--leds",
        metavar="SPEC",
        help="none, ten, four or seven-segment; other BCM pins after a colon: four:5,6,13,19",
    )
    parser.add_argument("--state", metavar="DIR", help="where it writes: history and the like")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    log_to_stderr()
    with StopSignals() as signals:
        signals.end_at_once()
        again = _run_on_state(args, signals)
    # From here on a signal ends the process by itself: nothing is open.
    if again and not signals.came:
        # The same process, so that systemd and the terminal see the same one.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return 0


def _run_on_state(args: argparse.Namespace, signals: StopSignals) -> bool:
    """Take the state directory and run; return whether it is to begin again."""
    from appliance.settings.schema import read, state_folder
    from appliance.storage.state_lock import hold_run_lock, hold_shared_lock

    loaded = read(args.config)
    state = _make_state_folder(state_folder(args.state, loaded.settings))
    page = _page_address(_settings(args, loaded.settings))
    # All that a start makes stays: to look for what does not, again and again, takes a while.
    gc.disable()
    try:
        with hold_shared_lock(state, or_read_on=True) as problem, hold_run_lock(state, page):
            return _run(args, loaded, state, problem, signals)
    finally:
        gc.enable()


def _run(
    args: argparse.Namespace,
    loaded: "LoadedSettings",
    state: Path,
    problem: str | None,
    signals: StopSignals,
) -> bool:
    from appliance.captures.store import Captures
    from appliance.device.control import POWER, Control, LogTail
    from appliance.device.owner_pin import OwnerPin, owner_file
    from appliance.device.systemd import Watchdog
    from appliance.errors import StateError
    from appliance.loop import Loop
    from appliance.networks.live import LiveNetwork
    from appliance.networks.vault import Vault
    from appliance.outputs.history import History
    from appliance.outputs.journal import Journal
    from appliance.outputs.latest import Latest
    from appliance.outputs.metrics import Metrics
    from appliance.picture import PictureQueue
    from appliance.reader.debounce import Debouncer
    from appliance.reader.reader import Reader
    from appliance.settings import schema as known
    from appliance.settings.overrides import Changes
    from appliance.storage.layout import StateDirectory
    from appliance.training.lock import is_training
    from appliance.training.process import TrainingProcess
    from appliance.web.app import create_app
    from appliance.web.server import Server

    places = StateDirectory(state)
    changes = Changes(state)
    settings = _settings(args, changes.apply_to(loaded.settings))
    vault = Vault(places.networks)
    held = _load_network(vault, settings.reader.network)
    least, sha256 = settings.reader.least_confidence, held.card["sha256"]
    reader = Reader(held.network, least_confidence=least, sha256=sha256)
    networks = LiveNetwork(vault, reader, held, configured_file=settings.reader.network)
    latest, queue = Latest(), PictureQueue()
    history = History(places.history, limit=settings.history.limit)
    captures = Captures(places.captures, limit=settings.captures.limit, stand_in=True)
    metrics = Metrics()
    owner = OwnerPin(owner_file(state))
    if not owner.exists and not owner.problem:
        try:
            pin = owner.make_pin()
            log.info("the owner's PIN is %s; it is shown this once: write it down", pin)
        except StateError as error:
            log.warning("%s; until then nobody can change anything", error)
    # From here on: the PIN is not for whoever looks at the page.
    lines = LogTail()
    logging.getLogger().addHandler(lines)
    pin_faults: dict[str, str] = {}
    leds = _make_leds(settings.leds, partial(is_training, state), pin_faults)
    again = threading.Event()

    def begin_again() -> None:
        again.set()
        stop()

    def examine() -> list[dict[str, Any]]:
        from appliance.doctor import checks

        # Told what the camera gives: asked over its page it could be busy, and taken for not there.
        said = checks.describe_running(settings.camera.source, *latest.newest(), pin_faults)
        found = checks.examine(
            settings, state, open_camera=partial(open_camera, queue=queue), running=said
        )
        return [each.to_json() for each in found]

    app = create_app(
        latest=latest,
        history=history,
        captures=captures,
        reader=reader,
        networks=networks,
        training=TrainingProcess(state, config=args.config),
        owner=owner,
        metrics=metrics,
        control=Control(
            changes=changes,
            again=begin_again,
            leds=leds,
            pin_faults=pin_faults,
            power=Path(os.environ[POWER]) if POWER in os.environ else None,
            lines=lines,
            examine=examine,
        ),
        camera=settings.camera.source,
        state=state,
        in_force=known.list_settings(settings, loaded, changes.tables),
        upload_megabytes=settings.web.upload_megabytes,
        problem=problem,
        queue=queue,
        names=(*_own_names(), *settings.web.names),
        look=settings.web.look,
    )
    server = Server(app, settings.web.host, settings.web.port)
    page = _page_address(settings)
    mqtt = _make_mqtt(settings.mqtt, page)

    watchdog = Watchdog()

    def look() -> None:
        watchdog.alive()
        for light in leds:
            light.look()
        for each in mqtt:
            each.look()
        networks.refresh()
        history.look()

    loop = Loop(
        open_camera=lambda: _watched_camera(settings.camera, queue),
        reader=reader,
        debouncer=Debouncer(settings.reader.agree),
        outputs=[latest, history, metrics, *leds, *mqtt, Journal()],
        rate=settings.camera.rate,
        before_frame=look,
    )
    # Where there are no pins for LEDs there are none for a button, and it was said already.
    button = settings.leds if leds else dataclasses.replace(settings.leds, button=-1)
    close_button = _make_button(button, loop.read_now, pin_faults)
    for each in mqtt:
        each.start(loop.read_now)

    def stop() -> None:
        loop.stop()
        server.stop()
        # At once: the loop, which closes it, may hang or be slow.
        try:
            history.commit()
        except Exception as error:
            log.warning("the history's newest rows are lost (%s): run 'digits doctor'", error)

    signals.end_in_order(stop)
    # A daemon, since the interpreter's end waits for every other thread: a driver may hang in it.
    thread = threading.Thread(target=loop.run, name="loop", daemon=True)
    log.info("the page is at %s", page)
    gc.freeze()
    gc.enable()
    thread.start()
    watchdog.ready()
    try:
        server.run()
    finally:
        if not again.is_set():
            watchdog.stopping()
        loop.stop()
        thread.join(_LOOP_SECONDS)
        if thread.is_alive():
            log.warning(
                "the loop did not end within %.1f seconds and is left behind: if this comes again, "
                "check the camera's ribbon cable and the power supply",
                _LOOP_SECONDS,
            )
            loop.close()
        close_button()
        server.close()
        captures.close()
    log.info("stopped")
    if thread.is_alive() and signals.came:
        # The interpreter's end would pull its own ground away from under the driver.
        os._exit(0)
    return again.is_set()


def _watched_camera(settings: "CameraSettings", queue: "PictureQueue") -> "Camera":
    """Return the camera, but not one that has hung the whole appliance again and again."""
    from appliance.device.systemd import MOST_STALLS, count_stalls
    from appliance.errors import CameraError

    if count_stalls() >= MOST_STALLS:
        raise CameraError(
            f"the camera's driver stood still {MOST_STALLS} times in ten minutes: check the "
            "ribbon cable and the power supply; it is tried again in ten minutes"
        )
    return open_camera(settings, queue)


def open_camera(settings: "CameraSettings", queue: "PictureQueue | None" = None) -> "Camera":
    """Return the camera that the setting names; raises CameraError in a sentence.

    The pictures of a folder are decoded in their turn of `queue`, which uploads share.
    """
    if settings.source == "picamera":
        from appliance.camera.picamera import PiCamera

        return PiCamera(
            settings.width, settings.height, view=settings.view, exposure=settings.exposure
        )
    from appliance.camera.folder import FolderCamera

    folder = Path(settings.source.removeprefix("folder:"))
    return FolderCamera(folder, seconds=settings.picture_seconds, queue=queue)


def _settings(args: argparse.Namespace, settings: "Settings") -> "Settings":
    """Return settings with the command line's put in."""
    from appliance.settings import schema as known

    web = {"host": args.host, "port": args.port}
    web = {name: value for name, value in web.items() if value is not None}
    return dataclasses.replace(
        settings,
        camera=dataclasses.replace(settings.camera, source=args.camera or settings.camera.source),
        web=dataclasses.replace(settings.web, **web),
        leds=known.parse_leds(args.leds, settings.leds) if args.leds else settings.leds,
    )


def _make_state_folder(state: Path) -> Path:
    from appliance.errors import StateError

    enter_state(state, there=False)
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"{state}: the state directory cannot be made ({error.strerror}): "
            "choose another with --state DIR"
        ) from None
    return state


def _load_network(vault: "Vault", file: str) -> "LoadedNetwork":
    """Return the network to begin with: of the file if one is chosen, else the vault's current.

    A damaged one gives way to another, and says so: a box without a screen that does not start
    would tell its owner less than one that reads.
    """
    from appliance.networks.vault import LoadedNetwork
    from model import weights
    from model.errors import WeightsError

    if not file:
        held = vault.load_current()
        if held.problem:
            log.warning("%s", held.problem)
        return held
    problem = None
    try:
        network, card = weights.load(Path(file).resolve())
    except WeightsError as error:
        problem = str(error)
        log.warning("%s; the network that ships reads instead", problem)
        network, card = weights.load(weights.SHIPPED)
    return LoadedNetwork(network, card, str(card["sha256"])[:12], problem)


def _make_leds(
    settings: "LedSettings", training: Callable[[], bool], faults: dict[str, str]
) -> "list[Leds]":
    """Return the LEDs; without them, why goes into `faults`."""
    from appliance.errors import PinError

    if settings.layout == "none":
        return []
    try:
        from appliance.outputs.leds import Leds

        return [Leds(settings, training)]
    except PinError as error:
        faults["leds"] = str(error)
        log.warning("%s: the answer shows on the page only", error)
        return []


def _make_button(
    settings: "LedSettings", pressed: Callable[[], None], faults: dict[str, str]
) -> Callable[[], None]:
    """Return what lets go of the button; without one, why goes into `faults`."""
    from appliance.errors import PinError

    if settings.button >= 0:
        try:
            from appliance.device.button import ReadButton

            return ReadButton(settings.button, pressed).close
        except PinError as error:
            faults["button"] = str(error)
            log.warning("no button: %s", error)
    return lambda: None


def _make_mqtt(settings: "MqttSettings", page: str) -> "list[Mqtt]":
    from appliance.errors import MqttError

    if not settings.host:
        return []
    from appliance.outputs.mqtt import Mqtt

    try:
        return [Mqtt(settings, _own_names()[0], page)]
    except MqttError as error:
        log.warning("%s; the appliance runs without", error)
        return []


def _own_names() -> tuple[str, str]:
    """Return what this machine calls itself, and what the LAN does (multicast DNS)."""
    import socket

    name = socket.gethostname().split(".")[0]
    return name, f"{name}.local"


def _page_address(settings: "Settings") -> str:
    host = settings.web.host
    if host in ("0.0.0.0", "::"):
        host = _own_names()[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.web.port}"
