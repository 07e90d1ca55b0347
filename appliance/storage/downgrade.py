"""Lays a state directory as older versions have it; setup.sh calls it to go back to one."""

import sys
from pathlib import Path

from appliance.errors import StateError
from appliance.storage.layout import lay_flat
from appliance.storage.ownership import become_owner
from appliance.storage.recovery import recover
from appliance.storage.state_lock import hold_exclusive_lock


def downgrade(state: Path) -> None:
    """Move all that `knowledge/` holds back into the state directory; raises StateError."""
    become_owner(state)
    with hold_exclusive_lock(state, "run this again"):
        try:
            recover(state)
            lay_flat(state)
        except OSError as error:
            if isinstance(error, StateError):
                raise
            raise StateError(
                f"{error.filename or state}: cannot be laid back ({error.strerror})"
            ) from None


if __name__ == "__main__":
    try:
        downgrade(Path(sys.argv[1]))
    except StateError as error:
        sys.exit(f"setup.sh: {error}")
