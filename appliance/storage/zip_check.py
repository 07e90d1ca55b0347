"""What is looked at of a zip before anything of it is believed."""

import os
from typing import IO

ENTRY_BYTES = 160
"""What an entry takes in a zip's directory: 46 bytes, its name, and what zip programs add."""
_END = b"PK\x05\x06"
_END_BYTES = 22
_LOCATOR_BYTES = 20


def directory_bytes(file: IO[bytes]) -> int:
    """Return how large a zip's directory is, which is read whole; a zip64's is larger than any.

    Raises ValueError for a file that does not end as a zip without a comment does.
    """
    size = file.seek(0, os.SEEK_END)
    tail_bytes = min(size, _END_BYTES + _LOCATOR_BYTES)
    file.seek(-tail_bytes, os.SEEK_END)
    tail = file.read(tail_bytes)
    end = tail[-_END_BYTES:]
    if len(end) < _END_BYTES or not end.startswith(_END) or end[-2:] != b"\0\0":
        raise ValueError("it does not end as a zip does")
    return 1 << 64 if tail.startswith(b"PK\x06\x07") else int.from_bytes(end[12:16], "little")
