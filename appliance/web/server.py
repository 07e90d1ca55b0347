"""Waitress, a WSGI server in pure Python, around the application."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask

from appliance.errors import ServeError
from appliance.web.problem import problem


class _Refusal(ErrorTask):  # type: ignore[misc]
    """What waitress itself refuses, before Flask sees it, in the API's shape for errors."""

    def execute(self) -> None:
        error = self.request.error
        response = problem(error.code, f"the request was refused: {error.body}")
        self.status = response.status
        self.response_headers.append(("Content-Type", response.content_type))
        self.set_close_on_finish()
        body = response.get_data()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]
    error_task_class = _Refusal


@contextmanager
def serving(app: Flask, host: str, port: int) -> Iterator[Callable[[], None]]:
    """Take the address and yield what serves until SystemExit or KeyboardInterrupt is raised in it.

    Raises ServeError when the address is in use or not this machine's.
    """
    # It warns of every request that has to wait for a thread; that is no news to the owner.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    channels: dict[int, Any] = {}
    try:
        server = create_server(
            app,
            map=channels,
            host=host,
            port=port,
            threads=4,
            connection_limit=64,
            channel_timeout=30,
            # What is only a little too large is received and gets Flask's sentence; what is more
            # is refused by its header, and its sender may see the connection end instead.
            max_request_body_size=2 * app.config["MAX_CONTENT_LENGTH"],
            ident=None,
        )
    except (OSError, ValueError) as error:
        raise ServeError(
            f"the page cannot be served at {host}:{port} ({error}): stop the program that uses "
            "that port, or choose another with --port"
        ) from None
    # A name such as localhost can stand for two addresses: then there is a server for each.
    for each in channels.values():
        if isinstance(each, BaseWSGIServer):
            each.channel_class = _Channel
    try:
        yield server.run
    finally:
        server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(channels, ignore_all=True)
