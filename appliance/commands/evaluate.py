"""digits evaluate: accuracy with counts, on MNIST or on photographs."""

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, add_reader, check_writable, load_reader
from appliance.console import printable

if TYPE_CHECKING:
    from appliance.commands.contact_sheet import Failure
    from appliance.reader.reader import Reader
    from model.datasets import Split
    from model.evaluate import Predictions, Tally
    from model.network import Network

NONE = "none"
"""The folder of photographs without a digit, for which a refusal is right."""


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "evaluate",
        "measure the network on MNIST's test digits, or the whole reader on photographs",
        "digits evaluate --photos ~/photos\n"
        "The folder of a photograph is its label: 0 to 9, or 'none' for no digit. A refusal of a\n"
        "digit is not right. MNIST's digits are given to the network as they are.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--mnist", type=Path, metavar="DIR", help="MNIST's files")
    what.add_argument("--photos", type=Path, metavar="DIR", help="folders named 0 to 9 and none")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--failures",
        type=Path,
        metavar="FILE",
        help="also draw every photograph that was not read right on one PNG picture",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="also write the report on MNIST's test digits that the page's view Inside shows",
    )
    parser.add_argument(
        "--no-pixels",
        action="store_true",
        help="leave MNIST's own pixels out of the report, to give it to others",
    )
    add_reader(parser)
    parser.set_defaults(run=run, wrong_usage=parser.error)


def run(args: argparse.Namespace) -> int:
    from appliance.errors import SettingsError
    from appliance.storage.ownership import become_owner

    if args.failures:
        if args.mnist:
            raise SettingsError("--failures draws photographs: give --photos, not --mnist")
        check_writable("--failures", args.failures)
    if args.no_pixels and not args.report:
        args.wrong_usage("--no-pixels: it is for a --report")
    if args.report:
        if args.photos:
            raise SettingsError("--report is on MNIST's digits: give --mnist, not --photos")
        become_owner(args.report.parent)
        with suppress(OSError):
            args.report.parent.mkdir(parents=True, exist_ok=True)
        check_writable("--report", args.report)
    reader = load_reader(args)
    none = None
    if args.mnist:
        from model.datasets import load_split
        from model.evaluate import count_answers, predict

        data = load_split(args.mnist, "test")
        predictions = predict(reader.network, data)
        tally = count_answers(data.labels, *predictions)
        if args.report:
            _write_report(args.report, reader.network, data, predictions, pixels=not args.no_pixels)
    else:
        failures: list[Failure] = []
        tally, none = _read_photographs(args.photos, reader, failures if args.failures else None)
        if args.failures:
            _draw_failures(args.failures, failures)
    if args.json:
        print(json.dumps(_to_json(tally, none)))
    else:
        print(_to_text(tally, none))
    return 0


def _read_photographs(
    folder: Path, reader: "Reader", failures: "list[Failure] | None"
) -> "tuple[Tally, dict[str, int]]":
    """Read every photograph below `folder`; count the answers to digits, and those to no digit.

    What is not read right is added to `failures`, if given.
    """
    from appliance.commands.contact_sheet import Failure
    from appliance.errors import PictureError
    from appliance.picture import open_picture, pictures_in
    from model.evaluate import Tally
    from model.network import SURE

    tally = Tally()
    none = {"total": 0, "refused": 0, "confident": 0}
    labels = [label for label in (*map(str, range(10)), NONE) if (folder / label).is_dir()]
    if not labels:
        raise PictureError(f"{folder}: there are no folders named 0 to 9 or {NONE} in it")
    for label in labels:
        for file in pictures_in(folder / label):
            try:
                reading = reader.read(open_picture(file, str(file)))
            except (PictureError, OSError) as error:
                print(f"digits: left out: {printable(error)}", file=sys.stderr)
                continue
            answer = NONE if reading.digit is None else str(reading.digit)
            if failures is not None and answer != label:
                failures.append(Failure(file, label, reading))
            if label != NONE:
                tally.add(int(label), reading.digit, reading.confidence)
                continue
            none["total"] += 1
            none["refused"] += reading.digit is None
            none["confident"] += reading.digit is not None and reading.confidence >= SURE
    return tally, none


def _write_report(
    file: Path, network: "Network", data: "Split", predictions: "Predictions", *, pixels: bool
) -> None:
    from appliance.errors import StateError
    from model.evaluation_report import make_report, to_bytes
    from model.files import replace_file

    content = to_bytes(make_report(network, data, predictions, pixels=pixels))
    try:
        with replace_file(file) as target:
            target.write(content)
    except OSError as error:
        raise StateError(f"{file}: cannot be written ({error.strerror})") from None


def _draw_failures(file: Path, failures: "list[Failure]") -> None:
    """Write the contact sheet of the failures, if there are any."""
    from appliance.commands.contact_sheet import render_contact_sheet
    from model.files import replace_file

    if not failures:
        print(f"digits: nothing was read wrongly: {file} is not written", file=sys.stderr)
        return
    with replace_file(file) as target:
        render_contact_sheet(failures).save(target, "PNG", optimize=True)


def _to_json(tally: "Tally", none: dict[str, int] | None) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "accuracy": tally.accuracy,
        "right": tally.right,
        "total": tally.total,
        "refused": tally.refused,
        "wrong_and_confident": tally.wrong_and_confident,
        "per_digit": tally.per_digit(),
        "confusion": tally.confusion.tolist(),
    }
    return answer if none is None else {**answer, "none": none}


def _to_text(tally: "Tally", none: dict[str, int] | None) -> str:
    from model.network import SURE

    wrong = tally.total - tally.right - tally.refused
    lines = [
        f"accuracy {tally.accuracy:.2%}: {tally.right} of {tally.total} right, "
        f"{tally.refused} refused, {wrong} wrong "
        f"({tally.wrong_and_confident} of them with confidence {SURE} or more)"
    ]
    if none is not None and none["total"]:
        lines.append(
            f"no digit: {none['refused']} of {none['total']} refused "
            f"({none['confident']} answered with confidence {SURE} or more)"
        )
    lines += [
        "",
        "digit   right  total  refused   answered as: " + "".join(f"{d:5}" for d in range(10)),
    ]
    for each, row in zip(tally.per_digit(), tally.confusion, strict=True):
        lines.append(
            f"{each['digit']:5} {each['right']:7} {each['total']:6} {each['refused']:8}"
            + " " * 16
            + "".join(f"{count or '·':>5}" for count in row[:10].tolist())
        )
    return "\n".join(lines)
