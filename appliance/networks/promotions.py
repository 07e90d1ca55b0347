"""The current network and those before it: a symbolic link, and the order of promotions beside it.

`current` is the link, switched by one rename. `promotions.txt` has the promoted names in order, one
a line; it may be lost or damaged: where the two disagree the link counts.
"""

import os
import re
from pathlib import Path

from model.files import open_regular, replace_file, sync

SHIPPED = "shipped"
"""The name of the network that ships, which has no file here: an update may bring another."""
ID = re.compile(r"[0-9a-f]{12}")
_MOST = 100
"""Promotions in the file."""


class Promotions:
    """The order of the promotions in one folder, as a stack of names with the current one on top.

    A name is an id or SHIPPED. Whoever changes something holds the vault's lock.
    """

    def __init__(self, folder: Path) -> None:
        self.link = folder / "current"
        self._order_file = folder / "promotions.txt"

    def stack(self) -> list[str | None]:
        """Return the names from the shipped one up to the current one.

        The top is None where the link is lost or leads out of the folder.
        """
        stack: list[str | None] = [SHIPPED, *self._read_order()]
        linked = self._read_link()
        if linked is None:
            return stack if self._is_untouched() else [*stack, None]
        if linked not in stack:
            return [*stack, linked]
        # Names above it were rolled back, or their promotion was cut off.
        while stack[-1] != linked:
            stack.pop()
        return stack

    def stamp(self) -> tuple[str, float | None]:
        """Return a text that changes with each switch of the link, and its time (Unix seconds)."""
        try:
            at = os.lstat(self.link)
            return f"{os.readlink(self.link)} {at.st_mtime_ns} {at.st_ino}", at.st_mtime
        except OSError:
            return "", None

    def begin(self) -> None:
        """Make the link before the first promotion: from then on a missing link is a lost one."""
        if self._is_untouched():
            self._switch(SHIPPED)

    def promote(self, name: str) -> None:
        """Put a name on top; raises OSError, and the one on top then stays there."""
        stack = [each for each in self.stack() if each]
        if stack[-1] != name:
            # The order first: if the link does not follow, it corrects the name too many.
            self._write_order([*stack, name])
        if self._read_link() != name:
            self._switch(name)

    def roll_back(self, place: int) -> None:
        """Remove the names above a place of the stack; raises OSError where the link stays."""
        stack = self.stack()[: place + 1]
        self._switch(str(stack[-1]))
        try:
            self._write_order([each for each in stack if each])
        except OSError:
            # The link is back and corrects the order: a full disk keeps no bad network in place.
            return

    def _read_link(self) -> str | None:
        """Return the name that the link leads to; None if there is none or it leads elsewhere."""
        try:
            target = os.readlink(self.link)
        except OSError:
            return None
        name = target.removesuffix(".npz")
        valid = target == SHIPPED or (ID.fullmatch(name) and target == f"{name}.npz")
        return name if valid else None

    def _is_untouched(self) -> bool:
        return not os.path.lexists(self.link) and not self._read_order()

    def _read_order(self) -> list[str]:
        """Return the names in the file; damaged lines are left out."""
        try:
            with open(
                self._order_file, encoding="ascii", errors="replace", opener=open_regular
            ) as file:
                lines = file.read(100 * _MOST).splitlines()
        except OSError:
            return []
        return [name for name in lines if name == SHIPPED or ID.fullmatch(name)]

    def _write_order(self, stack: list[str]) -> None:
        with replace_file(self._order_file) as file:
            # The shipped one is always at the bottom and is not written.
            file.write("".join(f"{name}\n" for name in stack[1:][-_MOST:]).encode())

    def _switch(self, name: str) -> None:
        """Point the link at a name: after a power cut it points at the old one or the new."""
        new = self.link.with_name(".current.new")
        new.unlink(missing_ok=True)
        new.symlink_to(SHIPPED if name == SHIPPED else f"{name}.npz")
        os.replace(new, self.link)
        sync(self.link.parent)
