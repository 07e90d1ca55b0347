"""Waitress, a WSGI server in pure Python, around the application, with fairness between clients.

Why this is not plain waitress behind nginx. Measured on x86-64: nginx-light 1.22 of Debian
bookworm, one worker, limit_req 5 a second and limit_conn 16 an address, timeouts of 3 s, against
this server with a patience of 3 s. Requests of 20 and of 200 ms of processor came from one
address over 12 connections without pause:

| measured | nginx, waitress | this server |
|---|---|---|
| memory (PSS of nginx's master and worker), idle / with 64 uploads | 4 / 5 MB | 0 |
| the address's share of the processor, 20 / 200 ms | 0.11 / 0.99 | 0.11 / 0.77 |
| another address's answer meanwhile, median, 20 / 200 ms | 2 / 210 ms | 24 / 480 ms |
| a body that comes a byte a second | open after 20 s | ended after 4 s |
| another address's answer beside 16 clients that read no answer | 9 s | 10 ms |
| bodies on the card, 64 of 2 MB at once | 128 MB | at most 3 of the largest |

512 MB would bear nginx, and it is no worse at sharing the processor. But its timeouts count from
byte to byte, it has no limit over all clients, and a client that reads slowly holds a thread of
waitress's. Its rate would have to suit both a style sheet and a page that takes a Pi Zero a second.
The PIN's back-off would have to trust a header for the address, and the appliance would be two
services to install, start and update.

Beyond its settings this uses of waitress: the classes of channel, request and task, a channel's
public attributes, two of its flush methods (in `handle_write`), and the dispatcher's queue.
"""

import errno
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import create_server
from waitress.task import ErrorTask

from appliance.errors import ServeError
from appliance.web.access.fair_queue import FairQueue
from appliance.web.access.fair_share import READ_LIMIT, READ_PATH, FairShare
from appliance.web.long_answers import RemainingAnswer, Task, send_in_parts
from appliance.web.problem import problem

MAX_CONNECTIONS = 64
"""Open connections; beyond it, the address that has most of them loses one."""
PATIENCE = 30.0
"""Seconds that a connection may be idle, or take to send a request…"""
BYTES_PER_SECOND = 10_000
"""…and one more for each so many bytes of a body, or of a long answer: a weak WLAN's pace."""
MAX_BODIES = 3
"""Bodies that are coming in, in all: so many times the largest one. They wait on the card."""
MAX_ANSWER_BYTES = 16_000_000
"""Bytes of answers that wait for their readers, in all. They are in memory."""
_MAX_HEAD_BYTES = 32_768
_LOOP_SECONDS = 0.25
"""Seconds after which the throttled addresses are looked at again."""


class _Refusal(ErrorTask):  # type: ignore[misc]
    """What waitress itself refuses, before Flask sees it, in the API's shape for errors."""

    def execute(self) -> None:
        error = self.request.error
        response = problem(error.code, f"the request was refused: {error.body}")
        self.status = response.status
        self.response_headers += [("Content-Type", response.content_type), ("Connection", "close")]
        self.close_on_finish = True
        body = response.get_data()
        self.content_length = len(body)
        self.write(body)


class _Request(HTTPRequestParser):  # type: ignore[misc]
    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            # Readers would disagree about where it ends: request smuggling.
            raise ParsingError("a body has a length or comes in chunks, not both")

    def received(self, data: bytes) -> int:
        used: int = super().received(data)
        if self.completed and used < len(data):
            # No pipelining: answers to requests that do not wait for them would pile up. The
            # connection ends after this request's answer.
            self.headers["CONNECTION"] = "close"
            return len(data)
        return used


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection; `rest` is the rest of a long answer."""

    task_class = Task
    error_task_class = _Refusal
    parser_class = _Request
    request_started = 0.0
    rest: RemainingAnswer | None = None

    def readable(self) -> bool:
        return self.rest is None and bool(super().readable()) and not self._is_throttled()

    def writable(self) -> bool:
        if self.rest is None or self.will_close:
            return bool(super().writable())
        return self.total_outbufs_len > 0 or self._may_continue(self.rest)

    def handle_write(self) -> None:
        rest = self.rest
        if rest is None or self.will_close:
            super().handle_write()
            return
        # Not waitress's own: it would write beside the thread that makes the next part, and close
        # the connection after the first.
        self._flush_exception(self._flush_some_if_lockable)
        if self.will_close:
            self.handle_close()
        elif not self.total_outbufs_len and self._may_continue(rest):
            rest.note_sent()
            rest.queued = True
            self.server.add_task(rest)

    def service(self) -> None:
        # What waitress refuses may have no path.
        is_read = getattr(self.requests[0], "path", "") == READ_PATH
        started = time.thread_time()
        super().service()
        if self.rest is not None and not self.connected:
            # The client left before the first part was made.
            self.rest.close()
        seconds = time.thread_time() - started
        self.server.fair_share.charge(
            self.addr[0], min(seconds, READ_LIMIT) if is_read else seconds
        )

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.request_started = time.time()
        self.server.senders.append(self.addr[0])
        accepted: bool = super().received(data)
        if self.request is not None:
            # A byte now and then does not keep a connection open.
            earned = _unfinished_body_bytes(self) / BYTES_PER_SECOND
            self.last_activity = self.request_started + earned
        return accepted

    def cancel(self) -> None:
        # The files of bodies that are not answered any more.
        for each in self.requests:
            each.close()
        super().cancel()

    def del_channel(self, map: dict[int, Any] | None = None) -> None:
        if self.request:
            # The file of a body that never came to its end.
            self.request.close()
        if self.rest is not None:
            self.rest.close()
        # The files of large answers that were not read to their end.
        for each in self.outbufs:
            each.close()
        super().del_channel(map)

    def _is_throttled(self) -> bool:
        return self.addr[0] in self.server.throttled

    def _may_continue(self, rest: RemainingAnswer) -> bool:
        """Tell whether the next part of a long answer may be made."""
        return not (rest.queued or self.requests or self._is_throttled())


def _unfinished_body_bytes(channel: _Channel) -> int:
    return channel.request.body_bytes_received if channel.request else 0


def _unread_answer_bytes(channel: _Channel) -> int:
    return int(channel.total_outbufs_len)


class Server:
    """Serves an application at one address until `stop`; the constructor takes the address.

    A connection that sends no request ends after `patience` seconds. `fair_share` decides which
    addresses wait. Raises ServeError when the address is in use or not this machine's.
    """

    def __init__(
        self,
        app: Flask,
        host: str,
        port: int,
        patience: float = PATIENCE,
        fair_share: FairShare | None = None,
    ) -> None:
        # It warns of every request that has to wait for a thread; that is no news to the owner.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._stopping, self._closing = False, threading.Lock()
        self._channels: dict[int, Any] = {}
        self._patience, self._next_check = patience, 0.0
        # A body a little too large is received and gets Flask's sentence; a larger one is refused
        # by its header, and its sender may see the connection end instead.
        self._max_body = 2 * app.config["MAX_CONTENT_LENGTH"]
        try:
            self._server = create_server(
                send_in_parts(app),
                map=self._channels,
                host=host,
                port=port,
                threads=4,
                # Beyond it nobody gets in: it is reached when as many are being answered.
                connection_limit=4 * MAX_CONNECTIONS,
                channel_timeout=patience,
                max_request_header_size=_MAX_HEAD_BYTES,
                max_request_body_size=self._max_body,
                # No thread waits for a client that does not read: MAX_ANSWER_BYTES is the limit.
                outbuf_high_watermark=sys.maxsize,
                ident=None,
                # There is no proxy before it whose word could be taken.
                clear_untrusted_proxy_headers=True,
            )
        except (OSError, ValueError) as error:
            wasyncore.close_all(self._channels, ignore_all=True)
            raise _to_serve_error(error, host, port) from None
        # A name such as localhost can stand for two addresses: then there is a server for each.
        self._listening = [each for each in self._channels.values() if hasattr(each, "trigger")]
        self._fair_share, self._senders = fair_share or FairShare(), list[str]()
        self._server.task_dispatcher.queue = FairQueue()
        for each in self._listening:
            each.channel_class = _Channel
            each.fair_share, each.senders = self._fair_share, self._senders
            each.throttled = frozenset[str]()
            each.stopping = lambda: self._stopping

    def run(self) -> None:
        """Serve until `stop`."""
        before = time.thread_time()
        while not self._stopping:
            throttled = self._fair_share.throttled_addresses()
            for each in self._listening:
                each.throttled = throttled
            wasyncore.loop(timeout=_LOOP_SECONDS, use_poll=True, map=self._channels, count=1)
            self._enforce_limits()
            if self._senders:
                now = time.thread_time()
                for address in self._senders:
                    self._fair_share.charge(address, (now - before) / len(self._senders))
                self._senders.clear()
                before = now

    def stop(self) -> None:
        """End `run`; may be called from any thread, but no handler of a signal."""
        self._stopping = True
        with self._closing:
            for each in self._listening:
                each.pull_trigger()

    def close(self) -> None:
        """Free the address and end the threads; call it when `run` has ended."""
        with self._closing:
            # A `stop` that comes now must not write to a trigger that is closed.
            self._listening = []
        # Not waitress's five seconds: a request that is under way is not worth a late stop.
        self._server.task_dispatcher.shutdown(timeout=0.3)
        wasyncore.close_all(self._channels, ignore_all=True)

    def _enforce_limits(self) -> None:
        """Close connections that are too many, too slow, or hold too much.

        Waitress would keep the first that came and let nobody else in.
        """
        if len(self._channels) > MAX_CONNECTIONS:
            self._limit(MAX_CONNECTIONS, lambda channel: 1)
        # A Pi's wall clock is set while it runs.
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + 1
        oldest = time.time() - self._patience
        for each in self._idle_channels():
            slow = each.rest is not None and each.rest.is_slow(self._patience, BYTES_PER_SECOND)
            if slow or each.last_activity < oldest:
                # Waitress's `will_close` would wait for a client that does not read.
                each.handle_close()
        self._limit(MAX_BODIES * self._max_body, _unfinished_body_bytes)
        self._limit(MAX_ANSWER_BYTES, _unread_answer_bytes)

    def _limit(self, limit: int, cost: Callable[[_Channel], int]) -> None:
        """Close connections of the costliest address until all together cost at most `limit`."""
        while True:
            costs = {each: cost(each) for each in self._client_channels()}
            by_address: Counter[str] = Counter()
            for each, its in costs.items():
                by_address[each.addr[0]] += its
            candidates = [each for each in self._idle_channels() if costs[each]]
            if by_address.total() <= limit or not candidates:
                return
            max(
                candidates, key=lambda each: (by_address[each.addr[0]], -each.last_activity)
            ).handle_close()

    def _client_channels(self) -> list[_Channel]:
        return [each for each in self._channels.values() if type(each) is _Channel]

    def _idle_channels(self) -> list[_Channel]:
        """Return the connections for which no thread is at work."""
        return [each for each in self._client_channels() if not each.requests]


def _to_serve_error(error: OSError | ValueError, host: str, port: int) -> ServeError:
    if isinstance(error, PermissionError):
        return ServeError(
            f"port {port} is for the installed service alone: choose one from 1024 up with --port"
        )
    in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    advice = (
        "stop the program that uses that port, or choose another with --port"
        if in_use
        else "give an address of this machine with --host"
    )
    return ServeError(f"the page cannot be served at {host}:{port} ({error}): {advice}")
