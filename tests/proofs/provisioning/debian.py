"""A minimal Debian from debootstrap, kept in the cache folder ($XDG_CACHE_HOME) as a tarball.

More than one proof begins with it: `make_root` keeps a copy that has what a proof needs beside it.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "digits-provisioning"
RIGHT, WRONG = "✔", "✘"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def command(*words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    options = {"capture_output": True, "text": True, "check": True, **options}
    return subprocess.run(words, **options)


class Checks:
    """The lines of a run, told at once, and how many were wrong."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.right = self.wrong = 0

    def tell(self, good: bool, what: str) -> None:
        with self._lock:
            self.right += good
            self.wrong += not good
            print(f"{RIGHT if good else WRONG} {what}", flush=True)


def tarball(release: str) -> Path:
    """Return a minimal Debian with systemd and git, made by debootstrap the first time."""
    file = CACHE / f"{release}.tar"
    if not file.exists():
        print(f"making {file} with debootstrap", flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            include = "systemd,systemd-sysv,dbus,git,ca-certificates"
            command("debootstrap", "--variant=minbase", f"--include={include}", release, folder)
            command("tar", "-C", folder, "-cf", f"{file}.new", ".")
        os.replace(f"{file}.new", file)
    return file


def apts_own_ways() -> str:
    """Return the host's apt settings without which the archive cannot be reached from here."""
    told = command("apt-config", "dump").stdout.splitlines()
    wanted = re.compile(r"Acquire::(\S*Proxy|Check-)", re.IGNORECASE)
    return "".join(f"{line}\n" for line in told if wanted.match(line))


def make_root(name: str, release: str, script: str) -> Path:
    """Return a Debian with what a shell script installs in it; made when the script is a new one.

    It is a folder of the cache: run it read-only. Raises subprocess.CalledProcessError, with what
    was said, when debootstrap or the script fails, as both do without a network.
    """
    root = CACHE / f"{name}-{hashlib.sha256(script.encode()).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.exists():
            return root
        file = tarball(release)
        print(f"making {root}", flush=True)
        for old in CACHE.glob(f"{name}-*"):
            shutil.rmtree(old)
        new = CACHE / f"{name}-new"
        new.mkdir()
        command("tar", "-C", str(new), "-xf", str(file))
        new.chmod(0o755)
        (new / "etc/apt/apt.conf.d/99of-the-host").write_text(apts_own_ways())
        words = ["--resolv-conf=copy-host"]
        if os.path.exists(_CERTIFICATES):
            # A network of its own kind may have an authority of its own.
            words += [f"--bind-ro={_CERTIFICATES}"]
        command(*enter(new, *words), "sh", "-euc", script, stdin=subprocess.DEVNULL)
        new.rename(root)
    return root


def enter(root: Path, *options: str) -> list[str]:
    """Return what begins a command in a root, with this machine's network."""
    words = ["systemd-nspawn", "--quiet", f"--directory={root}", "--register=no", "--keep-unit"]
    return [*words, "--console=pipe", f"--machine=digits-{os.getpid()}", *options]
