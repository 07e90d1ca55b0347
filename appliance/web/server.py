"""Waitress, a WSGI server in pure Python, around the application."""

import errno
import logging
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask

from appliance.errors import ServeError
from appliance.web.problem import problem


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


class _Channel(HTTPChannel):  # type: ignore[misc]
    error_task_class = _Refusal


class Server:
    """Serves an application at one address until `stop`; the address is taken when it is made.

    Raises ServeError when the address is in use or not this machine's.
    """

    def __init__(self, app: Flask, host: str, port: int) -> None:
        # It warns of every request that has to wait for a thread; that is no news to the owner.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._stopping = False
        self._channels: dict[int, Any] = {}
        try:
            self._server = create_server(
                app,
                map=self._channels,
                host=host,
                port=port,
                threads=4,
                connection_limit=64,
                channel_timeout=30,
                # What is only a little too large is received and gets Flask's sentence; what is
                # more is refused by its header, and its sender may see the connection end instead.
                max_request_body_size=2 * app.config["MAX_CONTENT_LENGTH"],
                ident=None,
                # There is no proxy before it whose word could be taken.
                clear_untrusted_proxy_headers=True,
            )
        except (OSError, ValueError) as error:
            wasyncore.close_all(self._channels, ignore_all=True)
            if isinstance(error, PermissionError):
                raise ServeError(
                    f"port {port} is the system's own: choose one from 1024 up with --port"
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
        for each in self._listening:
            each.channel_class = _Channel

    def run(self) -> None:
        """Serve until `stop`."""
        while not self._stopping:
            wasyncore.loop(timeout=1, use_poll=True, map=self._channels, count=1)

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
