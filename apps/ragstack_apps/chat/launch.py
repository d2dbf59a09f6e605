"""Two processes started, watched and stopped together: the server and the pages over it.

They are apart so that a page drawn anew, or the pages' end, never touches an answer at work.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from ragstack.errors import InputError, RagstackError
from ragstack.types.hosts import is_loopback

__all__ = ["Launch", "Together"]

_READY_S = 120.0
_GRACE_S = 25.0  # the server lets answers at work come to their end for 20
_LOOK_S = 0.1
_RUN = "from ragstack.cli import main; main()"


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start.

    Attributes:
        host: Where the pages listen; the server that is started listens on loopback alone.
        server: The port for a server of our own, or the address of one that runs.
        max_upload: Megabytes.
    """

    base: Path | None = None
    model: str | None = None
    host: str = "127.0.0.1"
    port: int = 8501
    server: str | int = 0
    max_upload: int = 200


class Together:
    """Both processes; leaving the block stops them.

    Raises:
        InputError: A port that cannot be had, or a server's address that is none.
        RagstackError: One of them did not start, or ended by itself.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._told = threading.Event()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._before: dict[int, Any] = {}
        own = isinstance(launch.server, int)
        if not own and urlsplit(str(launch.server)).scheme not in _BY_SCHEME:
            raise InputError(
                f"the server's address is {launch.server!r}, expected such as 'http://host:8000'"
            )
        port = _free(launch.host, launch.port)
        self.server = (
            f"http://127.0.0.1:{_free('127.0.0.1', int(launch.server))}"
            if own
            else (str(launch.server))
        )
        shown = f"[{launch.host}]" if ":" in launch.host else launch.host
        self.address = f"http://{shown}:{port}"
        self._port = port
        self._own = own

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._tell)
        # Neither waits for the other: together they are ready when the slower one is.
        try:
            if self._own:
                self._start("server", self._server_command())
            self._start("pages", [sys.executable, "-c", _PAGES, *self._pages_options()])
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait_ready(self) -> None:
        """Wait until both answer, or until a signal."""
        health = f"{self.address}/_stcore/health"
        until = time.monotonic() + _READY_S
        for address in (f"{self.server}/health", health):
            while not self._told.is_set() and not _answers(address):
                self._check()
                if time.monotonic() > until:
                    raise RagstackError(f"{address} did not answer within {_READY_S:.0f} s")
                self._told.wait(_LOOK_S)

    def wait(self) -> None:
        """Wait for a signal; one process that ends by itself is an error."""
        while not self._told.wait(_LOOK_S):
            self._check()

    def _check(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise RagstackError(
                    f"the {name} ended with code {process.returncode}",
                    hint="what it said stands above",
                )

    def _tell(self, _signal: int, _frame: FrameType | None) -> None:
        self._told.set()

    def _start(self, name: str, command: list[str]) -> None:
        environment = {**os.environ, "RAGSTACK_CHAT_SERVER": self.server}
        if not is_loopback(self._launch.host):
            environment["RAGSTACK_CHAT_LOGIN"] = "1"
        # A group of their own: Ctrl-C reaches us alone, and we stop them in order.
        self._processes[name] = subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
        )

    def _server_command(self) -> list[str]:
        port = self.server.rpartition(":")[2]
        options = ["serve", "--port", port]
        if self._launch.base is not None:
            options += ["--base", str(self._launch.base)]
        if self._launch.model:
            options += ["--model", self._launch.model]
        return [sys.executable, "-c", _RUN, *options]

    def _pages_options(self) -> list[str]:
        return [self._launch.host, str(self._port), str(self._launch.max_upload)]

    def _stop(self) -> None:
        """Stop the pages, then the server, which ends its answers first."""
        for name in ("pages", "server"):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# The standard library's: this process is in a hurry to start the others, and a client that does
# more takes longer to import than all the rest of it.
_BY_SCHEME: dict[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}
_PAGES = "import sys; from ragstack_apps.chat.pages import run; run(*sys.argv[1:])"


def _answers(address: str) -> bool:
    where = urlsplit(address)
    try:
        with contextlib.closing(_BY_SCHEME[where.scheme](where.netloc, timeout=2.0)) as connection:
            connection.request("GET", where.path)
            return connection.getresponse().status < 500
    except ssl.SSLError:
        return True  # it is there; whether its certificate is to be trusted the pages say
    except (OSError, http.client.HTTPException):
        return False


def _free(host: str, port: int) -> int:
    """Return a port that can be listened on, or raise an InputError that says it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"nothing can listen on {host!r}, port {port}: {error}",
                hint="--port 0 takes any that is free",
            ) from error
        found: int = probe.getsockname()[1]
        return found
