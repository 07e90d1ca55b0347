"""The signals that end a command: that one came stands in a pipe, and their handler does nothing.

A handler runs in the main thread, between any two steps of it. One that took a lock would wait for
ever where the main thread, or the handler of a signal before, holds it; one that raised an error
would raise it in the midst of an import, or of what closes the files.
"""

import os
import select
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

SIGNALS = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
LIMIT = 1.8
"""Seconds from a signal to the end of a process that has not ended by then: two in all."""


class StopSignals:
    """Notes SIGTERM, SIGINT and SIGHUP for as long as the block lasts; if one came, all are ignored
    from then on: what ends is not told again.

    >>> with StopSignals() as signals:
    ...     while not signals.came:
    ...         work()

    A SIGHUP that is ignored already (nohup) stays so. To be entered in the main thread.
    """

    def __enter__(self) -> "StopSignals":
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] | None = None
        self._interrupts, self._code = False, 0
        self._last_words = "ended, though something of it hangs: run 'digits doctor'"
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        # The interpreter's own handler writes there, in C: also while the main thread hangs.
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, self._handle)
            for number in SIGNALS
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._interrupts, came = False, self.came
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if came else handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._came = self.came
        self._over.set()
        if self._thread is not None:
            with suppress(BlockingIOError):
                os.write(self._writer, b"\0")
            self._thread.join()
        os.close(self._reader)
        os.close(self._writer)

    @property
    def came(self) -> bool:
        """Tell whether one came; after the block too."""
        return self._came if self._over.is_set() else self.wait(0)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait so long, or for a signal; return whether one came."""
        return bool(select.select([self._reader], [], [], seconds)[0])

    def interrupt(self) -> None:
        """Have the first signal raise KeyboardInterrupt, and the process end with code 130.

        What hangs, or waits for other processes, has LIMIT seconds to come back.
        """
        self._interrupts, self._code, self._last_words = True, 130, "digits: interrupted"
        self.end_in_order(lambda: None)
        self.end_at_once()

    def end_at_once(self) -> None:
        """Have the process end with code 0 at a signal, for as long as nothing is open."""
        self._thread = threading.Thread(target=self._end, name="signals", daemon=True)
        self._thread.start()

    def end_in_order(self, stop: Callable[[], None]) -> None:
        """Have `stop` called in a thread of its own at a signal, after `end_at_once`.

        The block is then to end: LIMIT seconds later the process does, with code 0, whatever hangs.
        """
        self._stop = stop

    def _handle(self, number: int, frame: object) -> None:
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt

    def _end(self) -> None:
        self.wait()
        if self._over.is_set():
            return
        if self._stop is None:
            os._exit(self._code)
        # It may hang as well.
        threading.Thread(target=self._stop, name="stop", daemon=True).start()
        if not self._over.wait(LIMIT):
            _say(f"{self._last_words}\n")
            os._exit(self._code)


def _say(line: str) -> None:
    """Write to stderr, unless that would have to wait: the log may be what hangs."""
    with suppress(OSError, ValueError):
        if select.select([], [2], [], 0)[1]:
            os.write(2, line.encode())
