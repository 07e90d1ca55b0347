"""Waitress, a WSGI server in pure Python, around the application."""

import errno
import logging
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
from appliance.web.access.fair_share import MOST, QUEUED, Shares
from appliance.web.access.turns import Turns
from appliance.web.long_answers import Rest, Task, in_parts
from appliance.web.problem import problem

PLACES = 64
"""So many connections are held; for another one, an address with most of them loses one."""
PATIENCE = 30.0
"""So many seconds a connection may ask for nothing, or take to ask for it…"""
BYTES_A_SECOND = 10_000
"""…and one more for each so many bytes of a body, or of a long answer, over a weak WLAN."""
BODIES = 3
"""The bodies that are coming in take together so many times what one may; they wait on the card."""
ANSWERS = 16_000_000
"""Bytes of answers that wait for their readers, in all: they are in memory."""
_LONGEST_HEAD = 32_768
_SECONDS = 0.25
"""Seconds after which who had to wait is looked at again."""


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
            # Where it ends would be a matter of who reads it.
            raise ParsingError("a body has a length or comes in chunks, not both")

    def received(self, data: bytes) -> int:
        used: int = super().received(data)
        if self.completed and used < len(data):
            # Requests that do not wait for their answers would pile those up: the connection ends
            # after this one's.
            self.headers["CONNECTION"] = "close"
            return len(data)
        return used


class _Channel(HTTPChannel):  # type: ignore[misc]
    task_class = Task
    error_task_class = _Refusal
    parser_class = _Request
    asking_since = 0.0
    rest: Rest | None = None

    def readable(self) -> bool:
        return (
            self.rest is None
            and bool(super().readable())
            and self.addr[0] not in self.server.waiting
        )

    def writable(self) -> bool:
        if self.rest is None or self.will_close:
            return bool(super().writable())
        return self.total_outbufs_len > 0 or self._may_go_on(self.rest)

    def handle_write(self) -> None:
        rest = self.rest
        if rest is None or self.will_close:
            super().handle_write()
            return
        self._flush_exception(self._flush_some_if_lockable)
        if self.will_close:
            self.handle_close()
        elif not self.total_outbufs_len and self._may_go_on(rest):
            rest.note_taken()
            rest.asked = True
            self.server.add_task(rest)

    def _may_go_on(self, rest: Rest) -> bool:
        """Tell whether the next part of a long answer may be made."""
        return not (rest.asked or self.requests or self.addr[0] in self.server.waiting)

    def _flush_outbufs_below_high_watermark(self) -> None:
        # Waitress has a thread wait here for who reads. There is one answer at a time, of a long
        # one there is one part, and `ANSWERS` holds for all of them.
        pass

    def service(self) -> None:
        # What waitress refuses may have no path.
        queued = getattr(self.requests[0], "path", "") == QUEUED
        began = time.thread_time()
        super().service()
        if self.rest is not None and not self.connected:
            # Whoever asked went away before there was anything to end.
            self.rest.close()
        seconds = time.thread_time() - began
        self.server.shares.spend(self.addr[0], min(seconds, MOST) if queued else seconds)

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.asking_since = time.time()
        self.server.asked.append(self.addr[0])
        whole: bool = super().received(data)
        if self.request is not None:
            # A byte now and then is no sign of life.
            self.last_activity = self.asking_since + self.body() / BYTES_A_SECOND
        return whole

    def body(self) -> int:
        """Return how many bytes of a body have come in that is not at its end."""
        return self.request.body_bytes_received if self.request else 0

    def answer(self) -> int:
        """Return how many bytes of an answer wait for who reads it."""
        return int(self.total_outbufs_len)

    def cancel(self) -> None:
        # The files of bodies that came in and are not answered any more.
        for each in self.requests:
            each.close()
        super().cancel()

    def del_channel(self, map: dict[int, Any] | None = None) -> None:
        if self.request:
            # The file of a body that does not come to its end.
            self.request.close()
        if self.rest is not None:
            self.rest.close()
        # The files of large answers that are not taken to their end.
        for each in self.outbufs:
            each.close()
        super().del_channel(map)


class Server:
    """Serves an application at one address until `stop`; the address is taken when it is made.

    A connection that asks for nothing ends after `patience` seconds. Raises ServeError when the
    address is in use or not this machine's.
    """

    def __init__(self, app: Flask, host: str, port: int, patience: float = PATIENCE) -> None:
        # It warns of every request that has to wait for a thread; that is no news to the owner.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._stopping = False
        self._channels: dict[int, Any] = {}
        self._patience, self._look = patience, 0.0
        # What is only a little too large is received and gets Flask's sentence; what is more is
        # refused by its header, and its sender may see the connection end instead.
        self._longest = 2 * app.config["MAX_CONTENT_LENGTH"]
        try:
            self._server = create_server(
                in_parts(app),
                map=self._channels,
                host=host,
                port=port,
                threads=4,
                # Beyond it nobody gets in: it is reached when as many are being answered.
                connection_limit=4 * PLACES,
                channel_timeout=patience,
                max_request_header_size=_LONGEST_HEAD,
                max_request_body_size=self._longest,
                ident=None,
                # There is no proxy before it whose word could be taken.
                clear_untrusted_proxy_headers=True,
            )
        except (OSError, ValueError) as error:
            wasyncore.close_all(self._channels, ignore_all=True)
            if isinstance(error, PermissionError):
                raise ServeError(
                    f"port {port} is for the installed service alone: "
                    "choose one from 1024 up with --port"
                ) from None
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            advice = (
                "stop the program that uses that port, or choose another with --port"
                if taken
                else "give an address of this machine with --host"
            )
            raise ServeError(
                f"the page cannot be served at {host}:{port} ({error}): {advice}"
            ) from None
        # A name such as localhost can stand for two addresses: then there is a server for each.
        self._listening = [each for each in self._channels.values() if hasattr(each, "trigger")]
        self._shares, self._asked = Shares(), list[str]()
        self._server.task_dispatcher.queue = Turns()
        for each in self._listening:
            each.channel_class, each.shares, each.asked = _Channel, self._shares, self._asked
            each.waiting = frozenset[str]()
            each.stopping = lambda: self._stopping

    def run(self) -> None:
        """Serve until `stop`."""
        before = time.thread_time()
        while not self._stopping:
            waiting = self._shares.over()
            for each in self._listening:
                each.waiting = waiting
            wasyncore.loop(timeout=_SECONDS, use_poll=True, map=self._channels, count=1)
            self._make_room()
            if self._asked:
                now = time.thread_time()
                for address in self._asked:
                    self._shares.spend(address, (now - before) / len(self._asked))
                self._asked.clear()
                before = now

    def _make_room(self) -> None:
        """End connections that are too many, too slow, or send too much at once.

        Waitress would hold the first that came and keep everybody else out.
        """
        now = time.time()
        if len(self._channels) > PLACES:
            self._limit(PLACES, lambda channel: 1)
        # A Pi's clock is set while it runs.
        if time.monotonic() < self._look:
            return
        self._look = time.monotonic() + 1
        for each in self._waiting():
            slow = each.rest is not None and each.rest.is_slow(self._patience, BYTES_A_SECOND)
            if slow or each.last_activity < now - self._patience:
                # What waitress marks to be closed stays open as long as nobody reads.
                each.handle_close()
        self._limit(BODIES * self._longest, _Channel.body)
        self._limit(ANSWERS, _Channel.answer)

    def _limit(self, most: int, cost: Callable[[_Channel], int]) -> None:
        """End connections until they cost no more, first those of the address that costs most."""
        while True:
            costs = {each: cost(each) for each in self._channels.values() if type(each) is _Channel}
            of: Counter[str] = Counter()
            for each, its in costs.items():
                of[each.addr[0]] += its
            found = [each for each in self._waiting() if costs[each]]
            if of.total() <= most or not found:
                return
            max(found, key=lambda each: (of[each.addr[0]], -each.last_activity)).handle_close()

    def _waiting(self) -> list[_Channel]:
        """Return the connections for which no thread is at work."""
        channels = self._channels.values()
        return [each for each in channels if type(each) is _Channel and not each.requests]

    def stop(self) -> None:
        """End `run`; may be called from any thread and from a signal, until `close`."""
        self._stopping = True
        for each in self._listening:
            each.pull_trigger()

    def close(self) -> None:
        """Free the address and end the threads; to be called when `run` has ended."""
        self._listening = []
        # Not waitress's five seconds: a request that is under way is not worth a late stop.
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._channels, ignore_all=True)
