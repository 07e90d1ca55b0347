"""Answers of unknown length, made part by part: no thread waits for a slow client."""

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
"""A part has at least so many bytes, but the last one."""
_DEFER = "digits.defer"


class Task(WSGITask):  # type: ignore[misc]
    """A request's answer; if its length is unknown, the head alone, and the body is deferred."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[_DEFER] = self._defer
        return environ

    def _defer(self, answer: Iterable[bytes]) -> Iterable[bytes]:
        if self.content_length is not None or not self.has_body or self.request.command == "HEAD":
            return answer
        self.channel.rest = RemainingAnswer(self, answer)
        return ()

    def finish(self) -> None:
        if self.channel.rest is None:
            super().finish()
        else:
            # The head alone; what ends the body comes after its last part.
            self.write(b"")


class RemainingAnswer:
    """The rest of a long answer: a task that waitress runs once for each part.

    `queued` says that the next part is waiting for a thread or being made. `written_at` is the
    monotonic time at which the last part was written, None once the client has taken it.
    """

    def __init__(self, task: Task, answer: Iterable[bytes]) -> None:
        self.channel, self.addr = task.channel, task.channel.addr
        self.queued = False
        self.written_at: float | None = None
        self._task, self._answer, self._chunks = task, answer, iter(answer)
        self._at_work = threading.Lock()
        self._bytes, self._seconds = 0, 0.0

    def service(self) -> None:
        """Make one part and leave it to be sent; called in one of waitress's threads."""
        began = time.thread_time()
        with self._at_work:
            self._write_part()
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
        """End the answer; if a thread is making a part, that thread ends it."""
        if self._at_work.acquire(blocking=False):
            try:
                self._close_answer()
            finally:
                self._at_work.release()

    def note_sent(self) -> None:
        """Note that the client has taken the last part."""
        if self.written_at is not None:
            self._seconds += time.monotonic() - self.written_at
            self.written_at = None

    def is_slow(self, patience: float, bytes_per_second: float) -> bool:
        """Tell whether the client has taken longer than `patience` and its bytes allow."""
        waiting = 0 if self.written_at is None else time.monotonic() - self.written_at
        return self._seconds + waiting > patience + self._bytes / bytes_per_second

    def _write_part(self) -> None:
        channel, size, part = self.channel, 0, []
        try:
            for chunk in self._chunks:
                part.append(chunk)
                size += len(chunk)
                if size >= PART_BYTES:
                    break
            if size:
                self._task.write(b"".join(part))
                self._bytes += size
                self.written_at = time.monotonic()
            if size < PART_BYTES:
                self._close_answer()
                if self._task.chunked_response:
                    channel.write_soon(b"0\r\n\r\n")
                channel.rest = None
        except ClientDisconnected:
            # The channel is closed already.
            pass
        except Exception as error:
            # The status has been sent: only a connection that ends too early can say it.
            if not isinstance(error, ClosedError) and not channel.server.stopping():
                log.exception("an answer ended before its end: %r", self._task.request.path)
            channel.will_close = True
            channel.rest = None
            self._close_answer()
        finally:
            self.queued = False

    def _close_answer(self) -> None:
        if hasattr(self._answer, "close"):
            self._answer.close()


def send_in_parts(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI application whose answers of unknown length `Task` sends in parts."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return environ[_DEFER](app(environ, start_response))  # type: ignore[no-any-return]

    return application
