"""digits data: MNIST onto this machine, from the network or from files at hand."""

import argparse
from pathlib import Path
from typing import Any

from appliance.commands.parts import add_command


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "data",
        "fetch or import MNIST, the training set",
        "digits data fetch --to ~/mnist",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    fetch = add_command(
        verbs,
        "fetch",
        "download MNIST's four files, checked by sha256; what is there already stays",
        "digits data fetch --to ~/mnist --mirror https://example.org/mnist/",
    )
    fetch.add_argument(
        "--mirror", action="append", metavar="URL", help="download from here (may be repeated)"
    )
    fetch.add_argument("--config", type=Path, metavar="FILE", help="settings file with mirrors")
    fetch.set_defaults(run=run_fetch)
    bring = add_command(
        verbs,
        "import",
        "take MNIST's files from a folder, or one file",
        "digits data import /media/usb/mnist --to ~/mnist",
    )
    bring.add_argument("path", type=Path, metavar="PATH", help="folder or file, plain or .gz")
    bring.set_defaults(run=run_import)
    for verb in (fetch, bring):
        verb.add_argument(
            "--to", type=Path, metavar="DIR", help="default: mnist in the state folder"
        )


def run_fetch(args: argparse.Namespace) -> int:
    from appliance import settings
    from appliance.download import fetch_mnist

    mirrors = args.mirror or settings.load(args.config).data.mirrors
    folder = _folder(args)
    fetch_mnist(folder, mirrors, say=lambda line: print(line, flush=True))
    print(f"MNIST is complete in {folder}")
    return 0


def run_import(args: argparse.Namespace) -> int:
    from appliance.errors import StateError
    from model.datasets import MNIST_SHA256, import_file
    from model.errors import DatasetError

    folder = _folder(args)
    if args.path.is_dir():
        found = [
            next((p for p in (args.path / name, args.path / f"{name}.gz") if p.is_file()), None)
            for name in MNIST_SHA256
        ]
        files = [file for file in found if file is not None]
        if not files:
            raise DatasetError(
                f"{args.path}: none of MNIST's files is in it: "
                f"the names are {', '.join(MNIST_SHA256)}, plain or with .gz"
            )
    else:
        files = [args.path]
    for file in files:
        try:
            print(f"imported: {import_file(file, folder)}", flush=True)
        except OSError as error:
            raise StateError(f"{file}: cannot be imported ({error.strerror})") from None
    missing = [name for name in MNIST_SHA256 if not (folder / name).is_file()]
    if missing:
        print(f"still missing in {folder}: {', '.join(missing)}")
    return 0


def _folder(args: argparse.Namespace) -> Path:
    from appliance.settings import state_folder

    return args.to or state_folder(None) / "mnist"
