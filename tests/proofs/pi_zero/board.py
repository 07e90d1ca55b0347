"""An emulated Raspberry Pi Zero: QEMU's raspi0 with Debian's ARMv6 kernel and an armel userland.

Debian armel is the only one of Debian's ARM systems that an ARM1176 can run, and its floats are
soft: nothing that is measured here tells how fast a Pi Zero is. Memory and answers are its own.
"""

import argparse
import fcntl
import hashlib
import json
import lzma
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "digits-pi-zero"
RELEASES = ("trixie", "bookworm")
RIGHT, WRONG = "✔", "✘"
TALK = "@digits "
"""What the board tells this side is on lines of the console that begin so, as JSON."""
UP_SECONDS, SILENT_SECONDS = 240, 1800
NEEDED = {
    "qemu-system-arm": "qemu-system-arm",
    "qemu-arm-static": "qemu-user-static",
    "mmdebstrap": "mmdebstrap",
    "cpio": "cpio",
    "fdtput": "device-tree-compiler",
    "mke2fs": "e2fsprogs",
    "pip3": "python3-pip",
}
"""Programs, each with its package."""

_CHECKOUT = ("appliance", "data", "model", "systemd", "tests", "setup.sh", "pyproject.toml")
_MODULES = ("crc16", "crc32c_generic", "libcrc32c", "mbcache", "jbd2", "ext4")
"""The kernel's modules that a card's file system needs, in the order of their needs."""
_USELESS = ("boot", "lib/modules", "usr/lib/modules", "usr/lib/linux-image-*", "usr/share/doc",
            "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists")  # fmt: skip
_BUSYBOX = "#!/usr/bin/busybox sh\n"
# With its power driver this kernel waits for what QEMU's board has not.
_COMMAND_LINE = (
    "console=ttyAMA0,115200 rootwait rw quiet loglevel=3 panic=1 "
    "initcall_blacklist=bcm2835_power_driver_init"
)
_INIT = f"""#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /mnt
$b mount -t proc p /proc; $b mount -t sysfs s /sys; $b mount -t devtmpfs d /dev
for m in {" ".join(_MODULES)}; do [ ! -f /modules/$m.ko ] || $b insmod /modules/$m.ko; done
while ! [ -b /dev/mmcblk0 ]; do $b sleep 1; done
$b mount -t ext4 -o noatime /dev/mmcblk0 /mnt
# A Pi has no battery clock either; without a network nothing else sets it.
$b date -s @$($b sed 's/.*digits.now=\\([0-9]*\\).*/\\1/' /proc/cmdline) >/dev/null
$b cp -a /payload /mnt/
for d in proc sys dev; do $b mount --move /$d /mnt/$d; done
exec $b switch_root /mnt /payload/start
"""


class BoardError(Exception):
    """What kept the board from being made or from running, in a sentence with the next step."""


# ---- what is told


@dataclass
class Checks:
    """The lines of a run, told at once, and what is known at its end."""

    release: str
    right: int = 0
    wrong: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)
    tests: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    _lock: Any = field(default_factory=threading.Lock)

    def tell(self, good: bool, what: str, why: str = "") -> bool:
        seconds = time.monotonic() - self.began
        with self._lock:
            self.right += good
            self.wrong += not good
        self.lines.append({"good": good, "what": what, "seconds": round(seconds)})
        print(f"{RIGHT if good else WRONG} {seconds:4.0f} s  {what}", flush=True)
        if not good and why.strip():
            print("    " + why.strip().replace("\n", "\n    "), flush=True)
        return good

    def table(self, budgets: dict[str, float]) -> None:
        """Print the peaks in MB (10⁶ bytes), those with a budget beside it."""
        if not self.peaks:
            return
        wide = max(map(len, self.peaks))
        print(f"\npeak memory on the board (VmHWM)\n{'':{wide}}     MB  budget")
        for step, size in self.peaks.items():
            allowed = budgets.get(step)
            told = f"{allowed:8.0f}" if allowed else ""
            print(f"{step:{wide}} {size / 1e6:6.1f}{told}")

    def end(self, file: Path | None, budgets: dict[str, float]) -> int:
        """Print the table and the last line, write the JSON, and return the exit status."""
        for step, allowed in budgets.items():
            if step in self.peaks:
                size = self.peaks[step] / 1e6
                self.tell(size <= allowed, f"{step} needs {size:.1f} of {allowed:.0f} MB")
        self.table(budgets)
        print(f"Debian {self.release}, armel: {self.right} passed, {self.wrong} failed")
        if file:
            told = {
                "release": self.release,
                "checks": self.lines,
                "peak_bytes": self.peaks,
                "budget_mb": budgets,
            }
            file.write_text(json.dumps({**told, **self.facts}, indent=1) + "\n")
        return 1 if self.wrong else 0


def budget(name: str) -> float:
    """Return what a budget of budgets.toml allows, in its own unit."""
    return float(tomllib.loads((HERE / "budgets.toml").read_text())[name]["most"])


# ---- making the card


def command(*words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    options = {"capture_output": True, "text": True, "check": True, "timeout": 3600, **options}
    try:
        return subprocess.run(words, **options)
    except subprocess.CalledProcessError as error:
        said = f"{error.stdout or ''}{error.stderr or ''}".strip().splitlines()[-12:]
        raise BoardError(f"{words[0]} failed:\n" + "\n".join(said)) from None
    except subprocess.TimeoutExpired as error:
        raise BoardError(f"{words[0]} did not end within {error.timeout:.0f} s") from None


def need_root(what: str) -> None:
    """Raise BoardError where this is not root."""
    if os.geteuid() != 0:
        raise BoardError(f"{what} needs root: run it with sudo")


def need_programs(needed: dict[str, str]) -> None:
    """Get the programs that are not there from apt, each by its package."""
    if lacking := sorted(needed[each] for each in needed if not shutil.which(each)):
        packages = " ".join(lacking)
        need_root(f"installing {packages}")
        print(f"installing from apt: {packages}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command("apt-get", "update", "-qq")
        command("apt-get", "install", "-o", "DPkg::Lock::Timeout=300", "-y", "-qq",
                "--no-install-recommends", *packages.split(), env=environment)  # fmt: skip


def mirror() -> str:
    """Return the Debian archive that this machine's apt has."""
    told = command("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)",
                   "Created-By: Packages").stdout  # fmt: skip
    for line in told.splitlines():
        label, _, address = line.partition(" ")
        if label == "Debian":
            return address
    raise BoardError("apt knows no Debian archive here: name one with --mirror URL")


def apts_own_ways() -> list[str]:
    """Return the host's apt settings without which the archive cannot be reached from here."""
    told = command("apt-config", "dump").stdout.splitlines()
    wanted = re.compile(r"Acquire::(\S*Proxy|Check-)", re.IGNORECASE)
    return [f"--aptopt={line}" for line in told if wanted.match(line)]


def debian(release: str, archive: str, target: Path, variant: str, packages: str) -> None:
    """Have mmdebstrap make an armel system in a folder or a tarball."""
    words = ["mmdebstrap", f"--variant={variant}", "--arch=armel", *apts_own_ways()]
    words += [f"--dpkgopt=path-exclude=/{each}/*" for each in _USELESS if "share" in each]
    words += [f"--include={packages}", release, str(target), archive]
    if "-backports" in packages:
        words.append(f"deb {archive} {release}-backports main")
    try:
        command(*words, env={**os.environ, "QEMU_CPU": "arm1176"})
    except BoardError as error:
        absent = sorted(set(re.findall(r"/([^/ ]+)_[^/ ]+\.deb\s+404", str(error))))
        if absent:
            raise BoardError(
                f"the archive lacks files of {release}'s armel packages that its own index "
                f"names ({', '.join(absent[:4])} …): try again when it is whole"
            ) from None
        raise


def filled(folder: Path, card: Path) -> None:
    """Make a card of 2 GB, as QEMU wants a power of two, with a folder's files."""
    command("mke2fs", "-q", "-t", "ext4", "-L", "card", "-d", str(folder), str(card), "2G")


def _put(file: Path, text: str, mode: int = 0o755) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)


def without_what_is_useless(root: Path) -> None:
    for pattern in _USELESS:
        for path in root.glob(pattern):
            shutil.rmtree(path)
        if pattern.startswith("var"):
            (root / pattern).mkdir(parents=True)


def boot_files(root: Path, folder: Path) -> None:
    """Take kernel, device tree and what the first program needs from a system with the kernel."""
    (kernel,) = root.glob("boot/vmlinuz-*")
    (tree,) = root.glob("usr/lib/linux-image-*/bcm2835-rpi-zero-w.dtb")
    shutil.copy(kernel, folder / "vmlinuz")
    shutil.copy(tree, folder / "zero.dtb")
    # What the firmware would add; gpiozero knows the board by it.
    command("fdtput", "-c", str(folder / "zero.dtb"), "/system")
    command("fdtput", "-t", "x", str(folder / "zero.dtb"), "/system", "linux,revision", "0x9000c1")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        first = Path(scratch)
        _put(first / "init", _INIT)
        (first / "bin").mkdir()
        (busybox,) = [each for each in root.glob("**/bin/busybox") if not each.is_symlink()]
        shutil.copy(busybox, first / "bin/busybox")
        (first / "modules").mkdir()
        for name in _MODULES:
            for file in root.glob(f"**/modules/*/kernel/**/{name}.ko*"):
                raw = file.read_bytes()
                if file.suffix == ".xz":
                    raw = lzma.decompress(raw)
                (first / f"modules/{name}.ko").write_bytes(raw)
        (folder / "initrd").write_bytes(packed(first))


def packed(folder: Path) -> bytes:
    """Return a folder as the kernel takes it into memory at its start."""
    names = "\n".join(str(each.relative_to(folder)) for each in sorted(folder.rglob("*")))
    done = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=folder, check=True,
                          input=names.encode(), capture_output=True)  # fmt: skip
    # Unpacking would take the board longer than the bytes take to be loaded.
    return done.stdout


PLAIN = (
    "busybox-static,python3,python3-numpy,python3-scipy,python3-pil,python3-flask,python3-waitress,"
    "python3-gpiozero,python3-segno,python3-prometheus-client,python3-tomlkit,python3-pytest,"
    "python3-hypothesis,linux-image-rpi"
)
CAMERA = {
    # Its python3-libcamera is in its backports alone.
    "bookworm": "python3-libcamera/bookworm-backports,libcamera-ipa/bookworm-backports",
    "trixie": "python3-libcamera,libcamera-ipa",
}
"""What picamera2 stands on, as far as Debian has it for armel; the rest is of PICAMERA2."""
PICAMERA2_NEEDS = (
    "python3-av,python3-piexif,python3-prctl,python3-libarchive-c,python3-jsonschema,python3-tqdm"
)
PICAMERA2 = ("0.3.31", "0.3.38")
"""Of PyPI: one that imports the library of video encoders at its top, and the newest."""
_VIDEODEV2 = "0.0.4"


def picamera2(version: str) -> Path:
    """Return a folder of the cache with picamera2 from PyPI, got the first time."""

    def get(folder: Path) -> None:
        command("pip3", "install", "--quiet", "--root-user-action=ignore", "--no-deps",
                "--no-compile", "--target", str(folder), f"picamera2=={version}",
                f"videodev2=={_VIDEODEV2}")  # fmt: skip

    return cached(f"picamera2-{version}", get)


def packages(kind: str, release: str) -> str:
    """Return the packages of a card."""
    if kind == "systemd":
        return SYSTEMD
    return ",".join((PLAIN, CAMERA[release], PICAMERA2_NEEDS))


def card_name(kind: str, release: str) -> str:
    """Return a card's name in the cache, which is another one when its packages are others."""
    listed = packages(kind, release).encode()
    return f"{release}-{kind}-{hashlib.sha256(listed).hexdigest()[:8]}"


def plain(release: str, archive: str, folder: Path) -> None:
    """Make a system of packages that are unpacked alone: none of their scripts has to run."""
    root = folder / "root"
    debian(release, archive, root, "extract", packages("plain", release))
    boot_files(root, folder)
    without_what_is_useless(root)
    for name in ("bin", "sbin", "lib"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for name in ("proc", "sys", "dev", "run", "tmp", "root", "mnt", "payload"):
        (root / name).mkdir(exist_ok=True)
    (libraries,) = root.glob("usr/lib/arm-linux-gnueabi")
    for name in ("blas/libblas.so.3", "lapack/liblapack.so.3"):
        (libraries / Path(name).name).symlink_to(name)
    if not (root / "usr/bin/busybox").exists():
        (root / "usr/bin/busybox").symlink_to("/bin/busybox")
    if not (root / "bin/sh").exists():
        (root / "bin/sh").symlink_to("/usr/bin/busybox")
    _put(root / "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)
    _put(root / "etc/group", "root:x:0:\n", 0o644)
    _put(root / "etc/hosts", "127.0.0.1 localhost\n", 0o644)
    # As the packages' scripts would: compiling is not to count as what a command needs. This QEMU
    # runs one program, for which the machine needs no setting.
    shutil.copy(shutil.which("qemu-arm-static") or "", root / "qemu")
    (python,) = root.glob("usr/bin/python3.[0-9]*[0-9]")
    library = f"usr/lib/{python.name}"
    command("chroot", str(root), "/qemu", "-cpu", "arm1176", f"/usr/bin/{python.name}", "-m",
            "compileall", "-q", library, "usr/lib/python3/dist-packages", check=False)  # fmt: skip
    (root / "qemu").unlink()
    filled(root, folder / "card")
    shutil.rmtree(root)


SYSTEMD = (
    "systemd,systemd-sysv,dbus,udev,busybox-static,python3,python3-numpy,python3-scipy,python3-pil,"
    "python3-flask,python3-waitress,avahi-daemon,avahi-utils,python3-gpiozero,python3-segno,"
    "python3-paho-mqtt,python3-prometheus-client,python3-tomlkit"
)
"""With what setup.sh asks for, as far as armel has it: without a network it installs nothing."""


def whole(release: str, archive: str, folder: Path) -> None:
    """Make a system with systemd: its packages' scripts run, emulated, which takes some minutes."""
    from_plain = cached(card_name("plain", release), lambda to: plain(release, archive, to))
    for name in ("vmlinuz", "zero.dtb", "initrd"):
        shutil.copy(from_plain / name, folder / name)
    root = folder / "root"
    with emulated():
        debian(release, archive, root, "apt", packages("systemd", release))
    without_what_is_useless(root)
    (root / "payload").mkdir()
    _put(root / "etc/hosts", "127.0.0.1 localhost digits\n", 0o644)
    _put(root / "etc/hostname", "digits\n", 0o644)
    # Each start is a first one else, and there is nobody to ask.
    _put(root / "etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444)
    filled(root, folder / "card")
    shutil.rmtree(root)


@contextmanager
def emulated() -> Iterator[None]:
    """Have this machine's kernel run ARM programs by qemu-user for as long as the block lasts."""
    place = Path("/proc/sys/fs/binfmt_misc")
    if not (place / "register").exists():
        command("mount", "-t", "binfmt_misc", "binfmt_misc", str(place))
    if any((place / name).exists() for name in ("qemu-arm", "qemu-arm-static")):
        yield
        return
    (place / "register").write_text(Path("/usr/lib/binfmt.d/qemu-arm.conf").read_text().strip())
    try:
        yield
    finally:
        (place / "qemu-arm").write_text("-1")


@contextmanager
def alone(name: str, cache: Path = CACHE) -> Iterator[None]:
    """Wait until no other run makes the same card."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cached(name: str, make: Callable[[Path], None], cache: Path = CACHE) -> Path:
    """Return a folder of the cache, made the first time; for a board kernel, tree and card."""
    folder = cache / name
    with alone(name, cache):
        if not folder.exists():
            print(f"making {folder}", flush=True)
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache) as scratch:
                made = Path(scratch) / "made"
                made.mkdir()
                make(made)
                os.replace(made, folder)
    return folder


def card(kind: str, args: argparse.Namespace) -> tuple[str, Path]:
    """Return a release and its folder in the cache: the one asked for, else the first to be had."""
    make = {"plain": plain, "systemd": whole}[kind]
    # What is in the cache needs no archive.
    known = [each for each in RELEASES if (CACHE / card_name(kind, each)).exists()]
    releases = [args.release] if args.release else known or list(RELEASES)
    said = ""
    for release in releases:
        try:
            told = cached(card_name(kind, release), partial(make, release, args.mirror or mirror()))
            return release, told
        except BoardError as error:
            said = str(error)
            print(f"– {said}", flush=True)
    raise BoardError(f"no card could be made: {said.splitlines()[0]}")


def options(doc: str) -> argparse.ArgumentParser:
    """Return the options that both commands have."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--release", choices=RELEASES, help="Debian's (default: the newest that "
                        "the archive has whole for armel)")  # fmt: skip
    parser.add_argument("--mirror", metavar="URL", help="a Debian archive (default: apt's own)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what was found")
    return parser


def ended(*_: Any) -> None:
    """End the boards that run, so that nothing waits for them, and then this program."""
    print("ended by a signal: the boards that ran are ended too", file=sys.stderr, flush=True)
    for process in list(Board.running):
        process.kill()
    raise KeyboardInterrupt


# ---- running it


def checkout(folder: Path) -> None:
    """Copy what git knows of the checkout, as it is now, into a folder."""
    told = command("git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-coz",
                   "--exclude-standard", "--",
                   *_CHECKOUT).stdout  # fmt: skip
    for name in filter(None, told.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


class NotUp(BoardError):
    """The board did not boot."""


class Board:
    """One emulated Pi Zero with a fresh copy of a card; `start` is the first program on it."""

    running: ClassVar[list["subprocess.Popen[str]"]] = []

    def __init__(self, cards: Path, start: str, payload: Callable[[Path], None]) -> None:
        self._cards, self._start, self._payload = cards, start, payload
        self.console: list[str] = []

    def told(self, seconds: float) -> Iterator[dict[str, Any]]:
        """Boot it and yield what it tells, to its end; raises BoardError where it says nothing."""
        try:
            yield from self._booted(seconds)
        except NotUp as error:
            # QEMU's board stands still in the kernel now and then, before there is a console.
            print(f"– {str(error).splitlines()[0]}: once more", flush=True)
            yield from self._booted(seconds)

    def _booted(self, seconds: float) -> Iterator[dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="digits-pi-zero-", dir="/var/tmp") as folder:
            scratch = Path(folder)
            payload = scratch / "payload/payload"
            payload.mkdir(parents=True)
            self._payload(payload)
            _put(payload / "start", _BUSYBOX + self._start)
            initrd = scratch / "initrd"
            # One archive after the other is one to the kernel, if each begins at a multiple of 4.
            first = (self._cards / "initrd").read_bytes()
            initrd.write_bytes(first + bytes(-len(first) % 4) + packed(payload.parent))
            shutil.rmtree(payload.parent)
            with self._running(initrd) as lines:
                yield from self._talk(lines, seconds)

    @contextmanager
    def _running(self, initrd: Path) -> "Iterator[queue.Queue[str | None]]":
        # What is written goes to a copy that is gone at the end (in TMPDIR).
        drive = f"if=sd,format=raw,snapshot=on,file={self._cards / 'card'}"
        words = ["qemu-system-arm", "-M", "raspi0", "-kernel", str(self._cards / "vmlinuz")]
        words += ["-dtb", str(self._cards / "zero.dtb"), "-initrd", str(initrd), "-drive", drive]
        words += ["-append", f"{_COMMAND_LINE} digits.now={time.time():.0f}", "-no-reboot"]
        # Its clock goes by its instructions, two nanoseconds each: on a busy machine the board's
        # timer is late otherwise, and then it waits for it for an hour.
        words += ["-icount", "shift=1,sleep=off"]
        words += ["-display", "none", "-monitor", "none", "-serial", "stdio"]
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", env={**os.environ, "TMPDIR": str(initrd.parent)},
        )  # fmt: skip
        assert process.stdout is not None
        Board.running.append(process)
        lines: queue.Queue[str | None] = queue.Queue()

        def listen() -> None:
            for line in process.stdout or ():
                lines.put(line.rstrip("\r\n"))
            lines.put(None)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield lines
        finally:
            process.kill()
            process.wait()
            Board.running.remove(process)
            listener.join(5)
            process.stdout.close()

    def _talk(self, lines: "queue.Queue[str | None]", seconds: float) -> Iterator[dict[str, Any]]:
        began, up = time.monotonic(), False
        while True:
            left = began + (seconds if up else UP_SECONDS) - time.monotonic()
            try:
                line = lines.get(timeout=max(min(left, SILENT_SECONDS), 0.01))
            except queue.Empty:
                passed = f"in {time.monotonic() - began:.0f} s; {self._last()}"
                if not up:
                    raise NotUp(f"the board did not come up {passed}") from None
                raise BoardError(f"the board did not come to its end {passed}") from None
            if line is None and not up:
                raise NotUp(f"the board ended before it was up; {self._last()}")
            if line is None:
                raise BoardError(f"the board ended before its checks did; {self._last()}")
            _, mark, told = line.partition(TALK)
            if not mark:
                self.console.append(line)
                continue
            up = True
            try:
                said = json.loads(told)
            except ValueError:
                # A line of the kernel's has come between.
                self.console.append(line)
                continue
            if "end" in said:
                return
            yield said

    def _last(self) -> str:
        said = [each for each in self.console if each.strip()][-25:]
        return "its console said last:\n" + "\n".join(said) if said else "its console said nothing"


def hear(
    board: Board, checks: Checks, seconds: float, other: Callable[[dict[str, Any]], None]
) -> None:
    """Run a board and tell its checks as they come; the other facts that it tells go to `other`."""
    try:
        for told in board.told(seconds):
            if "check" in told:
                why = told.get("why") or "\n".join(board.console[-12:])
                checks.tell(told["check"], told["what"], why)
            elif "peak" in told:
                step = told["peak"]
                checks.peaks[step] = max(checks.peaks.get(step, 0), told["bytes"])
            elif "test" in told:
                checks.tests[told["test"]] = told["seconds"]
            else:
                other(told)
    except BoardError as error:
        sentence, _, rest = str(error).partition("\n")
        checks.tell(False, sentence, rest)
