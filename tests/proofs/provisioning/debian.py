"""A minimal Debian from debootstrap, kept in the cache folder ($XDG_CACHE_HOME) as a tarball."""

import os
import re
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "digits-provisioning"
RIGHT, WRONG = "✔", "✘"


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
