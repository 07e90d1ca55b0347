"""Settings that the owner changed on the page: a small file over the settings file."""

import json
import logging
from pathlib import Path
from typing import Any

from appliance.errors import SettingsError, StateError
from appliance.settings.schema import Settings, apply_values, list_changeable
from appliance.storage.layout import StateDirectory
from model.files import read_regular, replace_file

log = logging.getLogger(__name__)

_MOST_BYTES = 100_000
Tables = dict[str, dict[str, Any]]


class Changes:
    """What was changed on the page, in `settings.json` of a state directory.

    >>> Changes(state).change("reader", "agree", 5)

    A change counts from the next start on: `tables` is what this one began with. A file that cannot
    be taken is left out, with a warning: the page, where it is put right, is to start all the same.
    """

    def __init__(self, state: Path) -> None:
        self._file = StateDirectory(state).overrides
        self.tables: Tables = {}
        try:
            self.tables = self._read()
        except SettingsError as error:
            log.warning("%s: what was changed on the page is left out", error)

    def apply_to(self, settings: Settings) -> Settings:
        """Return settings with what was changed when this was made."""
        return apply_values(settings, self.tables)

    @property
    def next(self) -> Tables:
        """What the next start begins with: another than `tables` when something was changed."""
        try:
            return self._read()
        except SettingsError:
            return {}

    def change(self, table: str, key: str, value: Any) -> None:
        """Keep another value of a setting, or with None go back to the settings file's.

        Raises SettingsError for a value that is refused or a setting that the page does not change,
        StateError where the file cannot be written.
        """
        if (table, key) not in list_changeable():
            raise SettingsError(
                f"'{key[:40]}' in [{table[:40]}] is not changed on the page: set it in digits.toml "
                "and restart"
            )
        tables = self.next
        of_table = tables.setdefault(table, {})
        if value is None:
            of_table.pop(key, None)
        else:
            of_table[key] = value
        apply_values(Settings(), {table: of_table})
        kept = {name: each for name, each in tables.items() if each}
        try:
            with replace_file(self._file) as file:
                file.write(json.dumps(kept).encode())
        except OSError as error:
            raise StateError(
                f"{self._file}: cannot be written ({error.strerror}): make room on the card"
            ) from None

    def _read(self) -> Tables:
        try:
            tables = json.loads(read_regular(self._file, _MOST_BYTES))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise SettingsError(f"{self._file} cannot be read ({error})") from None
        if not isinstance(tables, dict):
            raise SettingsError(f"{self._file} holds no tables of settings")
        apply_values(Settings(), tables)
        return tables
