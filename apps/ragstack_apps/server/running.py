"""An application and a place in, a server that listens there and stops in good order out."""

from __future__ import annotations

import socket
import threading

import uvicorn

from ragstack.errors import ConfigError
from ragstack_apps.server.app import create_app
from ragstack_apps.server.house import House

__all__ = ["Server"]

_LAST_WORDS_S = 5.0  # for streams that are cut off to say so
_BACKLOG = 256


class Server:
    """Serves a House until it is stopped. Bound when made."""

    def __init__(self, house: House) -> None:
        """Listen.

        Raises:
            ConfigError: The place is open to others, or cannot be had.
        """
        place = house.settings
        place.check(closed=house.accounts.closed)
        self.house = house
        self.app = create_app(house)
        host = place.host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, place.port))
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"cannot listen on {place.host!r}, port {place.port}: {error.strerror or error}",
                hint="name another --port; 0 takes any that is free",
            ) from error
        self._stopped = threading.Event()
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                self.app,
                http="h11",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                ssl_certfile=place.certificate or None,
                ssl_keyfile=place.private_key or None,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=int(_LAST_WORDS_S),
            )
        )

    @property
    def server_port(self) -> int:
        """The port it listens on."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where it listens."""
        host = self.house.settings.host.strip("[]")
        scheme = "https" if self.house.settings.certificate else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.server_port}"

    @property
    def draining(self) -> bool:
        """Whether it is stopping, or has."""
        return self.house.calls.draining

    def serve_forever(self) -> None:
        """Serve until ``stop``."""
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self._stopped.set()

    def stop(self, grace_s: float) -> None:
        """Take no more requests, let those at work end, cut off what takes longer than a grace.

        To be called from another thread than the one that serves.
        """
        calls = self.house.calls
        calls.drain()
        if not calls.wait(grace_s):
            calls.cut()
            calls.wait(_LAST_WORDS_S)
        self._uvicorn.should_exit = True
        self._stopped.wait(2 * _LAST_WORDS_S)
