"""What a backup may hold: the name of each file, how large it can be, and what it has to be."""

import json
import re
from pathlib import Path
from typing import Any

from appliance.captures.rescue import SCHEMA as CAPTURES_SCHEMA
from appliance.errors import SettingsError
from appliance.outputs.history import SCHEMA as HISTORY_SCHEMA
from appliance.settings.schema import Settings, apply_values, list_changeable, load
from appliance.storage.database import check_database, clean
from appliance.storage.layout import CAPTURES, HISTORY, NIGHTS, OVERRIDES
from appliance.storage.recovery import SETTINGS as SETTINGS
from appliance.training.records import parse_night
from model import evaluation_report, weights
from model.files import open_regular, read_regular

DATABASES = {CAPTURES: CAPTURES_SCHEMA, HISTORY: HISTORY_SCHEMA}
ORDER = "networks/promotions.txt"
MOST_FILES = 200

_MOST_BYTES = {
    SETTINGS: 1_000_000,
    OVERRIDES: 100_000,
    NIGHTS: 50_000_000,
    # Four bytes of a zip tell a size, and the limits of the settings come to less.
    CAPTURES: 1_500_000_000,
    HISTORY: 500_000_000,
    ORDER: 10_000,
}
_MOST_NETWORK_BYTES = 20_000_000
_MOST_REPORT_BYTES = 500_000
_NETWORK = re.compile(r"networks/([0-9a-f]{12})(\.npz|\.report\.json)", re.ASCII)
_READS = re.compile(r"shipped|[0-9a-f]{12}\.npz", re.ASCII)


def most_bytes(name: str) -> int | None:
    """Return how large a file of this name can be; None for one that no backup holds."""
    match = _NETWORK.fullmatch(name)
    if match:
        return _MOST_NETWORK_BYTES if match[2] == ".npz" else _MOST_REPORT_BYTES
    return _MOST_BYTES.get(name)


def leads_to_a_network(link: Any) -> bool:
    """Tell whether the link `networks/current` may have this target."""
    return isinstance(link, str) and _READS.fullmatch(link) is not None


def check_file(name: str, file: Path) -> str | None:
    """Raise ApplianceError, ModelError or ValueError for a file that is not what its name says.

    A database of an older version is brought up to date, and one that has rows which none can have
    is left without them: returns how many in a sentence, None where all of it is sound.
    """
    match = _NETWORK.fullmatch(name)
    if match and match[2] == ".npz":
        if str(weights.load(file)[1]["sha256"])[:12] != match[1]:
            raise ValueError(f"{name} holds another network")
    elif match:
        evaluation_report.load(file, "")
    elif name == SETTINGS:
        load(file)
    elif name == OVERRIDES:
        _check_changed(json.loads(read_regular(file)))
    elif name == NIGHTS:
        with open(file, "rb", opener=open_regular) as lines:
            if not all(map(is_night, lines)):
                raise ValueError(f"{name} has a line that is no night's")
    elif name in DATABASES:
        check_database(file, DATABASES[name])
        return clean_rows(name, file)
    return None


def clean_rows(name: str, file: Path, damage: str | None = None) -> str | None:
    """Leave a copy of a database with its sound rows alone; return what was damaged, or None.

    `damage` is what is known of it already. Raises StateError, DamagedError where nothing is left.
    """
    damage = clean(file, DATABASES[name], damage)
    return damage and f"{name} was damaged: {damage}"


def is_night(line: bytes) -> bool:
    """Tell whether a line of `nights.jsonl` is whole and has what the page shows."""
    record = parse_night(line) if line.endswith(b"\n") else None
    return record is not None and all(key in record for key in ("outcome", "why", "outcomes"))


def _check_changed(tables: Any) -> None:
    if not isinstance(tables, dict):
        raise SettingsError(f"{OVERRIDES} holds no tables of settings")
    apply_values(Settings(), tables)
    for table, values in tables.items():
        for key in values:
            if (table, key) not in list_changeable():
                raise SettingsError(f"'{key}' in [{table}] is not changed on the page")
