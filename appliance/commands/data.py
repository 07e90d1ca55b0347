"""digits data: MNIST onto this machine, from the network or from files at hand."""

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from appliance.commands.options import add_command


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
    fetch.set_defaults(run=run_fetch)
    import_ = add_command(
        verbs,
        "import",
        "take MNIST's files from a folder, or one file",
        "digits data import /media/usb/mnist --to ~/mnist",
    )
    import_.add_argument("path", type=Path, metavar="PATH", help="folder or file, plain or .gz")
    import_.set_defaults(run=run_import)
    for verb in (fetch, import_):
        verb.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")
        verb.add_argument(
            "--to", type=Path, metavar="DIR", help="default: mnist in the state folder"
        )


def run_fetch(args: argparse.Namespace) -> int:
    from appliance.settings import schema
    from appliance.storage.layout import StateDirectory
    from appliance.storage.ownership import become_owner
    from appliance.training.mnist_download import fetch_mnist

    loaded = schema.load(args.config)
    data = schema.DataSettings(mirrors=tuple(args.mirror)) if args.mirror else loaded.data
    folder = args.to or StateDirectory(schema.state_folder(None, loaded)).mnist
    become_owner(folder)
    fetch_mnist(folder, data.mirrors, say=lambda line: print(line, flush=True))
    print(f"MNIST is complete in {folder}")
    return 0


def run_import(args: argparse.Namespace) -> int:
    from appliance.errors import ApplianceError, StateError
    from appliance.settings import schema
    from appliance.storage.layout import StateDirectory
    from appliance.storage.ownership import become_owner, open_input
    from model.datasets import MNIST_SHA256, find_file, import_file, list_missing
    from model.errors import DatasetError

    folder = args.to or StateDirectory(schema.state_folder(None, schema.load(args.config))).mnist
    files = [args.path]
    if args.path.is_dir():
        files = [file for name in MNIST_SHA256 if (file := find_file(args.path, name))]
        if not files:
            raise DatasetError(
                f"{args.path}: none of MNIST's files is in it: "
                f"the names are {', '.join(MNIST_SHA256)}, plain or with .gz"
            )
    try:
        with ExitStack() as stack:
            # Opened before root gives up its rights: a USB stick may be readable for one user.
            sources = [(stack.enter_context(open_input(file)), file) for file in files]
            become_owner(folder)
            for source, file in sources:
                print(f"imported: {import_file(source, file, folder)}", flush=True)
    except OSError as error:
        if isinstance(error, ApplianceError):
            raise
        where = error.filename or folder
        raise StateError(f"{where}: cannot be used ({error.strerror})") from None
    if still := list_missing(folder):
        print(f"still missing in {folder}: {', '.join(still)}")
    return 0
