"""A backup made and put back as the commands do it.

Where root runs the tests and the state directory is another user's, this process is that one's
afterwards: such a test does it in a process of its own.
"""

from contextlib import ExitStack
from pathlib import Path

from appliance.backup import archive as made
from appliance.backup import restore as put_back
from appliance.backup.archive import Manifest
from appliance.backup.restore import Restored
from appliance.commands.restore import settings_file
from appliance.storage.ownership import become_owner, open_input, open_output


def backup(file: Path, state: Path, settings: Path | None) -> Manifest:
    with ExitStack() as held:
        source = held.enter_context(open_input(settings)) if settings else None
        out = held.enter_context(open_output("backup", file, state))
        become_owner(state)
        return made.backup(out, state, source)


def restore(file: Path, state: Path, settings: Path | None) -> Restored:
    with ExitStack() as held:
        source = held.enter_context(open_input(file))
        place = settings_file(settings, state, held) if settings else None
        become_owner(state)
        return put_back.restore(source, file, state, place)
