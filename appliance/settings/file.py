"""The settings file itself: a card's is taken over at a start, an older version's gets new keys."""

import dataclasses
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from appliance.console import printable
from appliance.errors import SettingsError
from appliance.settings.schema import CONFIG, Settings, load, not_toml, template, with_values
from model.files import replace_file

STATE = "/var/lib/digits"
"""Where an installed appliance writes."""
_TABLE = re.compile(r"\s*\[\s*([A-Za-z_]+)\s*\]")
_KEY = re.compile(r"\s*#?\s*([A-Za-z_]+)\s*=")
_NEW = "# New since this file was written:"


def new(folder: str = STATE) -> str:
    """Return the settings file of a new appliance, which writes to `folder`."""
    return re.sub(r"(?m)^#folder = .*", f"folder = {json.dumps(folder)}", template())


def completed(text: str) -> str:
    """Return a settings file's text with every key that it does not mention added, as a comment.

    What the owner wrote stays as it is, and so does what the file sets. Raises SettingsError for a
    wrong file.
    """
    before = _checked(text)
    lines = text.splitlines()
    missing = _missing(lines, before)
    for table, wanted in missing.items():
        headers = [n for n, line in enumerate(lines) if _name(line) == table]
        if headers:
            lines[headers[0] + 1 : headers[0] + 1] = [_NEW, *wanted]
        else:
            lines += ["", f"[{table}]", _NEW, *wanted]
    added = "\n".join(lines) + "\n"
    with suppress(SettingsError):
        if _checked(added) == before:
            return added if missing else text
    # A table that is written in another way: what is new goes to the end, all of it comments.
    end = [line for table, wanted in missing.items() for line in (f"#[{table}]", *wanted)]
    return "\n".join([text.rstrip("\n"), "", f"{_NEW} move a line under its table.", *end]) + "\n"


def _checked(text: str) -> Settings:
    try:
        return with_values(Settings(), tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(not_toml(error)) from None


def _name(line: str) -> str | None:
    found = _TABLE.match(line)
    return found[1] if found else None


def _missing(lines: Sequence[str], settings: Settings) -> dict[str, list[str]]:
    """Return the lines that tell of the keys which a file neither sets nor mentions, by table."""
    mentioned, table = set(), ""
    for line in lines:
        table = _name(line.lstrip("# ")) or table
        if found := _KEY.match(line):
            mentioned.add((table, found[1]))
    tables = tomllib.loads("\n".join(lines))
    mentioned |= {(table, key) for table, keys in tables.items() for key in keys}
    missing: dict[str, list[str]] = {}
    for section in dataclasses.fields(settings):
        for each in dataclasses.fields(getattr(settings, section.name)):
            if (section.name, each.name) not in mentioned:
                told = [f"# {each.metadata['help']}", f"#{each.name} = {json.dumps(each.default)}"]
                missing.setdefault(section.name, []).extend(told)
    return missing


def _with_folder(text: str, folder: str) -> str:
    line = f"folder = {json.dumps(folder)}"
    added, headers = re.subn(r"(?m)^[ \t]*\[state\].*$", rf"\g<0>\n{line}", text, count=1)
    return added if headers else f"{text.rstrip()}\n\n[state]\n{line}\n"


def take(card: Path, config: Path = CONFIG, folder: str = STATE) -> str:
    """Take a card's settings file over, put it aside as taken, and return what was done.

    The file before it is kept beside it as `.old`. A wrong file is left where it is and changes
    nothing: raises SettingsError, as it does where a file cannot be read or written.
    """
    try:
        # Windows' editors begin a file with a mark of its encoding.
        text = card.read_text("utf-8-sig")
        if not _checked(text).state.folder:
            text = _with_folder(text, folder)
        text = completed(text)
        config.parent.mkdir(parents=True, exist_ok=True)
        if config.exists():
            shutil.copy2(config, f"{config}.old")
        with replace_file(config) as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text.encode())
        card.replace(f"{card}.taken")
    except SettingsError as error:
        raise SettingsError(
            f"{card}: {error}; it was not taken over, {config} is as it was: "
            "correct it on the card and start again"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{card}: not text in UTF-8: save it so, and start again") from None
    except OSError as error:
        where = error.filename or card
        raise SettingsError(f"{where}: cannot be used ({error.strerror}): check the card") from None
    return f"{card} is taken over as {config}, and is called {card.name}.taken now"


def main(arguments: Sequence[str]) -> int:
    """Do what setup.sh and systemd ask: print a file, check one, or take the first of several."""
    verb, *files = arguments
    try:
        if verb == "new":
            print(new(), end="")
        elif verb == "completed":
            print(completed(Path(files[0]).read_text("utf-8")), end="")
        elif verb == "check":
            load(Path(files[0]))
        else:
            for file in map(Path, files):
                if file.exists():
                    print(take(file))
                    break
    except (SettingsError, OSError) as error:
        print(printable(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
