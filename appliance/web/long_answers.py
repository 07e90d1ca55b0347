"""Answers of unknown length, made in parts: no thread waits for whoever takes them."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from waitress.channel import ClientDisconnected
from waitress.task import WSGITask

from appliance.errors import ClosedError

log = logging.getLogger("appliance")

PART_BYTES = 32_768
"""A part is made until it has so many bytes."""


class Task(WSGITask):  # type: ignore[misc]
    """An answer; of one whose length nobody knows only the head is written, and the rest begun."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[_BEGIN] = self._begin
        return environ

    def _begin(self, answer: Iterable[bytes]) -> Iterable[bytes]:
        if self.content_length is not None or not self.has_body or self.request.command == "HEAD":
            return answer
        self.channel.rest = Rest(self, answer)
        return ()

    def finish(self) -> None:
        if self.channel.rest is None:
            super().finish()
        else:
            # The head alone; what ends the body comes after its last part.
            self.write(b"")


class Rest:
    """What is still to be made of a long answer, run by waitress once for each part.

    `put_at` is when the last part was there to be taken, None when it has been.
    """

    def __init__(self, task: Task, answer: Iterable[bytes]) -> None:
        self.channel, self.addr = task.channel, task.channel.addr
        self.asked = False
        self.put_at: float | None = None
        self._task, self._answer, self._parts = task, answer, iter(answer)
        self._at_work = threading.Lock()
        self._bytes, self._taking = 0, 0.0

    def service(self) -> None:
        """Make one part and leave it to be sent; called in a thread of waitress's."""
        began = time.thread_time()
        with self._at_work:
            self._make()
        self.channel.server.fair_share.charge(self.addr[0], time.thread_time() - began)
        if self.channel.connected:
            self.channel.last_activity = time.time()
            self.channel.server.pull_trigger()
        else:
            self.close()

    def cancel(self) -> None:
        self.channel.cancel()
        self.close()

    def close(self) -> None:
        """End the making, unless a thread is at work: that does it when it is done."""
        if self._at_work.acquire(blocking=False):
            try:
                self._close_answer()
            finally:
                self._at_work.release()

    def note_taken(self) -> None:
        """Note that the last part was taken."""
        if self.put_at is not None:
            self._taking += time.monotonic() - self.put_at
            self.put_at = None

    def is_slow(self, patience: float, bytes_a_second: float) -> bool:
        """Tell whether who takes it needs longer than `patience` and what the bytes are worth."""
        took = self._taking + (0 if self.put_at is None else time.monotonic() - self.put_at)
        return took > patience + self._bytes / bytes_a_second

    def _make(self) -> None:
        channel, size, parts = self.channel, 0, []
        try:
            for part in self._parts:
                parts.append(part)
                size += len(part)
                if size >= PART_BYTES:
                    break
            if size:
                self._task.write(b"".join(parts))
                self._bytes += size
                self.put_at = time.monotonic()
            if size < PART_BYTES:
                self._close_answer()
                if self._task.chunked_response:
                    channel.write_soon(b"0\r\n\r\n")
                channel.rest = None
        except ClientDisconnected:
            # The channel is closed already.
            pass
        except Exception as error:
            # The status has been sent: that the connection ends too early is what tells of it.
            if not isinstance(error, ClosedError) and not channel.server.stopping():
                log.exception("an answer ended before its end: %r", self._task.request.path)
            channel.will_close = True
            channel.rest = None
            self._close_answer()
        finally:
            self.asked = False

    def _close_answer(self) -> None:
        if hasattr(self._answer, "close"):
            self._answer.close()


def in_parts(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI application whose answers of unknown length `Task` makes in parts."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return environ[_BEGIN](app(environ, start_response))  # type: ignore[no-any-return]

    return application


_BEGIN = "digits.begin"
