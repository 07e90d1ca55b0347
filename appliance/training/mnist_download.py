"""MNIST from public mirrors: resumed where it stopped, checked before it counts."""

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.errors import FetchError
from model.datasets import MNIST_SHA256, import_file, is_genuine
from model.errors import DatasetError
from model.files import open_regular

TIMEOUT = 30.0
"""Seconds without a byte after which a mirror is given up."""
_CHUNK = 1 << 16
_LARGEST = 50_000_000


def fetch_mnist(folder: Path, mirrors: Sequence[str], say: Callable[[str], None]) -> None:
    """Bring MNIST's four files into `folder`, unpacked and verified; complete ones are left alone.

    A download that breaks off stays as `.<name>.gz.part` and is resumed by the next call. Each
    mirror is an address to which `<name>.gz` is joined; they are tried in turn. Raises FetchError
    when no mirror gives a file, with what each said and what to do offline.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(
            f"{folder}: cannot be made ({error.strerror}): choose another --to"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FetchError(f"{folder}: may not be written by this user: use sudo, or another --to")
    for name in MNIST_SHA256:
        if (folder / name).is_file():
            if is_genuine(folder / name, name):
                say(f"{name}: is there already")
                continue
            say(f"{name}: is there, but damaged")
        _fetch(name, folder, mirrors, say)


def _fetch(name: str, folder: Path, mirrors: Sequence[str], say: Callable[[str], None]) -> None:
    part = folder / f".{name}.gz.part"
    said = []
    # What an earlier call left may be of another file: then each mirror is asked from the start.
    for mirror in [*mirrors, *mirrors] if part.exists() else mirrors:
        address = f"{mirror.rstrip('/')}/{name}.gz"
        say(f"{name}: from {address}")
        try:
            _download(address, part)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # ValueError: an address or an answer that urllib cannot make sense of.
            # What has come so far stays: the next try goes on from there.
            said.append(f"{address}: {_reason(error)}")
            continue
        try:
            with open(part, "rb", opener=open_regular) as file:
                import_file(file, part, folder, name)
        except DatasetError:
            said.append(f"{address}: what it sent is not MNIST's {name}")
        except OSError as error:
            raise FetchError(f"{folder / name}: cannot be written ({error.strerror})") from None
        else:
            return
        finally:
            part.unlink(missing_ok=True)
    raise FetchError(
        f"{name} could not be downloaded ({'; '.join(said)}). Check the network and run the same "
        "command again; or, offline, download MNIST's four files on another computer, bring them "
        f"here and run 'digits data import FOLDER --to {folder}'"
    )


def _download(address: str, part: Path) -> None:
    """Append to `part` what is missing of the file at `address`."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            # 416: nothing is missing, or the part is longer than the file; its checksum decides.
            if error.code == 416 and have:
                return
            raise
    with answer, open(part, "ab" if answer.status == 206 else "wb", opener=open_regular) as file:
        expected = answer.headers.get("Content-Length")
        got = 0
        while chunk := answer.read(_CHUNK):
            file.write(chunk)
            got += len(chunk)
            if file.tell() > _LARGEST:
                raise OSError(f"more than {_LARGEST} bytes")
        if expected is not None and got < int(expected):
            raise OSError(f"broke off after {got} of {expected} bytes")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
