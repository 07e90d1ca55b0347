"""The settings file itself: a card's is taken over at a start, an older version's gets new keys."""

import dataclasses
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from appliance.console import printable
from appliance.errors import SettingsError
from appliance.settings.schema import (
    CONFIG,
    Settings,
    apply_values,
    decode_toml,
    load,
    parse_toml,
    setting_lines,
    template,
)
from model.files import replace_file

STATE = "/var/lib/digits"
"""Where an installed appliance writes."""
_NEW = "# New since this file was written:"
_BOM = "\ufeff"
CARDS = Path("/boot/firmware"), Path("/boot")
"""Where a card's boot partition is, with the settings file that it brings: today, and before."""
_NAME = "digits.toml"
_TAKEN = f"{_NAME}.taken"
_MEANT = re.compile(r"digits\.toml(\.txt|\.toml)?", re.ASCII | re.IGNORECASE)
"""Windows' editor adds .txt, and its Explorer does not show it; the card's file system may keep
another case than was meant."""
_ALIKE = re.compile(r"digits.*\.(toml|txt|rtf)", re.ASCII | re.IGNORECASE)


def new_file(folder: str = STATE) -> str:
    """Return the settings file of a new appliance, which writes to `folder`."""
    return template().replace('#folder = ""', f"folder = {json.dumps(folder)}")


def add_new_settings(text: str) -> str:
    """Return a settings file's text with every key that it does not mention added, as a comment.

    What the owner wrote stays as it is, to the byte. Raises SettingsError for a wrong file.
    """
    import tomlkit
    from tomlkit.items import Table

    missing = _missing_settings(text)
    if not missing:
        return text
    newline = _newline(text)
    bom, text = _BOM * text.startswith(_BOM), _end_line(text.removeprefix(_BOM))
    document = tomlkit.parse(text)
    headed = {
        key.key: item
        for key, item in document.body
        if key and isinstance(item, Table) and not item.is_super_table()
    }
    end = []
    for table, lines in missing.items():
        if table in headed:
            block = newline.join([_NEW, *lines, ""])
            headed[table].value.body[:0] = tomlkit.parse(block).body
        elif table in document:
            # An inline table or dotted keys: there is no header to write below.
            end += [f"{_NEW} move a line under its table.", f"#[{table}]", *lines]
        else:
            end += ["", f"[{table}]", _NEW, *lines]
    return bom + document.as_string() + "".join(line + newline for line in end)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _end_line(text: str) -> str:
    return text if not text or text.endswith("\n") else text + _newline(text)


def _parse(text: str) -> dict[str, dict[str, Any]]:
    """Return a settings file's tables; raises SettingsError for a wrong file."""
    tables = parse_toml(text.removeprefix(_BOM))
    apply_values(Settings(), tables)
    return tables


def _missing_settings(text: str) -> dict[str, list[str]]:
    """Return the lines of each setting that a file neither sets nor has as a comment, by table."""
    mentioned = {(table, key) for table, keys in _parse(text).items() for key in keys}
    mentioned |= set(_commented_keys(text.removeprefix(_BOM)))
    missing: dict[str, list[str]] = {}
    for section in dataclasses.fields(Settings):
        for each in dataclasses.fields(section.default):  # type: ignore[arg-type]
            if (section.name, each.name) not in mentioned:
                missing.setdefault(section.name, []).extend(setting_lines(each))
    return missing


def _commented_keys(text: str) -> Iterator[tuple[str, str]]:
    """Yield the (table, key) of each line `#key = value`; `#[table]` begins a table as well."""
    table = ""
    for line in text.splitlines():
        bare = line.lstrip("# \t")
        if bare.startswith("["):
            table = bare[1:].partition("]")[0].strip("'\" \t")
        elif "=" in bare and line.lstrip().startswith("#"):
            yield table, bare.partition("=")[0].strip()


def _set_folder(text: str, folder: str) -> str:
    """Return a settings file's text that sets where the appliance writes."""
    import tomlkit
    from tomlkit.items import Table

    newline, text = _newline(text), _end_line(text)
    document = tomlkit.parse(text)
    line = f"folder = {json.dumps(folder)}{newline}"
    state = document.get("state")
    if state is None:
        return f"{text}{newline}[state]{newline}{line}"
    if isinstance(state, Table) and "folder" not in state:
        state.value.body[:0] = tomlkit.parse(line).body
    else:
        state["folder"] = folder
    return document.as_string()


def find_on_card(folders: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the settings files that lie there, and files whose name only looks like theirs.

    The first one is that to be taken over. What was taken over already is neither.
    """
    meant, alike = list[Path](), list[Path]()
    for folder in folders:
        with suppress(OSError):
            names = sorted(os.listdir(folder), key=lambda name: (name != _NAME, name))
            meant += [folder / each for each in names if _MEANT.fullmatch(each.strip())]
            alike += [folder / each for each in names if _ALIKE.fullmatch(each.strip())]
    return meant, [each for each in alike if each not in meant]


def list_unused(folders: Iterable[Path]) -> list[str]:
    """Return a sentence on each file of `find_on_card` that is not to be taken over."""
    meant, alike = find_on_card(folders)
    return [
        *(f"{each} is not taken over, as {meant[0]} is there too: keep one" for each in meant[1:]),
        *(f"{each} is not taken over: call it {_NAME} if it has settings" for each in alike),
    ]


def take_over(card: Path, config: Path = CONFIG, folder: str = STATE) -> str:
    """Take a card's settings file over, put it aside as taken, and return what was done.

    The file before it is kept beside it as `.old`. A wrong file is left where it is and changes
    nothing: raises SettingsError, as it does where a file cannot be read or written.
    """
    try:
        # In plain UTF-8, which older releases read too.
        text = decode_toml(card.read_bytes())
        if not _parse(text).get("state", {}).get("folder"):
            text = _set_folder(text, folder)
        text = add_new_settings(text)
        config.parent.mkdir(parents=True, exist_ok=True)
        if config.exists():
            shutil.copy2(config, f"{config}.old")
        with replace_file(config) as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text.encode())
        taken = card.replace(card.with_name(_TAKEN))
    except SettingsError as error:
        raise SettingsError(
            f"{card}: {error}; it was not taken over, {config} is as it was: "
            "correct it on the card and start again"
        ) from None
    except OSError as error:
        where = error.filename or card
        raise SettingsError(f"{where}: cannot be used ({error.strerror}): check the card") from None
    return f"{card} is taken over as {config}, and is called {taken.name} now"


def main(arguments: Sequence[str]) -> int:
    """Do what setup.sh and systemd ask: print a file, check one, or take one from a card."""
    verb, *files = arguments
    try:
        if verb == "new":
            print(new_file(), end="")
        elif verb == "complete":
            # Bytes, as a text stream would change the ends of the lines.
            data = Path(files[0]).read_bytes()
            bom = _BOM * data.startswith(_BOM.encode())
            text = add_new_settings(bom + decode_toml(data))
            sys.stdout.buffer.write(text.encode())
        elif verb == "check":
            load(Path(files[0]))
        elif verb == "take":
            folders = list(map(Path, files))
            for sentence in list_unused(folders):
                print(printable(sentence), file=sys.stderr)
            for card in find_on_card(folders)[0][:1]:
                print(printable(take_over(card)))
        else:
            # Nothing may change a system's settings by a slip.
            raise SettingsError(f"no verb {verb!r}: the verbs are new, complete, check and take")
    except (SettingsError, OSError) as error:
        print(printable(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
