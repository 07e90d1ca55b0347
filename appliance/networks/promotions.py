"""Which network is the current one, and which were so before it: a link and the order beside it.

`current` is a link, switched by one rename. `promotions.txt` has the names promoted one after the
other, a name a line; it may be lost or damaged, and where the two disagree the link is what counts.
"""

import os
import re
from pathlib import Path

from model.files import open_regular, replace_file, sync

SHIPPED = "shipped"
"""The name of the network that ships, which has no file here: an update may bring another."""
ID = re.compile(r"[0-9a-f]{12}")
_MOST = 100
"""Promotions that are remembered."""


class Promotions:
    """The order of the promotions in one folder, as a stack of names with the current one on top.

    A name is an id or SHIPPED. Whoever changes something holds the vault's lock.
    """

    def __init__(self, folder: Path) -> None:
        self.link = folder / "current"
        self._order_file = folder / "promotions.txt"

    def stack(self) -> list[str | None]:
        """Return the names from the shipped one up to the current one.

        The uppermost is None where a link that should be there is lost or leads elsewhere.
        """
        stack: list[str | None] = [SHIPPED, *self._order()]
        linked = self._linked()
        if linked is None:
            return stack if self._untouched() else [*stack, None]
        if linked not in stack:
            return [*stack, linked]
        # What stands above it was rolled back, or its promotion did not come to its end.
        while stack[-1] != linked:
            stack.pop()
        return stack

    def stamp(self) -> tuple[str, float | None]:
        """Return a text that each switch of the link changes, and when that was (Unix seconds)."""
        try:
            at = os.lstat(self.link)
            return f"{os.readlink(self.link)} {at.st_mtime_ns} {at.st_ino}", at.st_mtime
        except OSError:
            return "", None

    def begin(self) -> None:
        """Make the link where nothing was promoted yet: from now on, no link is a lost link."""
        if self._untouched():
            self._switch(SHIPPED)

    def promote(self, name: str) -> None:
        """Put a name on top; raises OSError, and the one on top then stays there."""
        stack = [each for each in self.stack() if each]
        if stack[-1] != name:
            # The order first: should the link not follow, it tells of a promotion too many, which
            # the link corrects.
            self._write([*stack, name])
        if self._linked() != name:
            self._switch(name)

    def roll_back(self, place: int) -> None:
        """Take away what is above a place of the stack; raises OSError if the link stays."""
        stack = self.stack()[: place + 1]
        self._switch(str(stack[-1]))
        try:
            self._write([each for each in stack if each])
        except OSError:
            # The link has rolled back, and corrects the order: a full disk does not keep a bad
            # network in its place.
            return

    def _linked(self) -> str | None:
        """Return the name that the link leads to; None if there is none or it leads elsewhere."""
        try:
            target = os.readlink(self.link)
        except OSError:
            return None
        name = target.removesuffix(".npz")
        whole = target == SHIPPED or (ID.fullmatch(name) and target == f"{name}.npz")
        return name if whole else None

    def _untouched(self) -> bool:
        return not os.path.lexists(self.link) and not self._order()

    def _order(self) -> list[str]:
        """Return the names in the file; what is damaged in it is left out."""
        try:
            with open(
                self._order_file, encoding="ascii", errors="replace", opener=open_regular
            ) as file:
                lines = file.read(100 * _MOST).splitlines()
        except OSError:
            return []
        return [name for name in lines if name == SHIPPED or ID.fullmatch(name)]

    def _write(self, stack: list[str]) -> None:
        with replace_file(self._order_file) as file:
            # The shipped one is below all others without being written.
            file.write("".join(f"{name}\n" for name in stack[1:][-_MOST:]).encode())

    def _switch(self, name: str) -> None:
        """Have the link lead to a name: after a power cut it leads to the old one or the new."""
        beside = self.link.with_name(".current.new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(SHIPPED if name == SHIPPED else f"{name}.npz")
        os.replace(beside, self.link)
        sync(self.link.parent)
