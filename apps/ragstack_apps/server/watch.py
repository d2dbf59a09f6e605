"""Sockets of requests at work in, an event set for each whose client went away.

One thread looks at all of them; it reads nothing, so a next request on the same connection is kept.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Watch"]


class Watch:
    """Notices clients that go away. Safe to use from many threads."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._closing = False
        self._thread = threading.Thread(target=self._look, name="ragstack-watch", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self, client: socket.socket, gone: threading.Event) -> Iterator[None]:
        """Set an event when the client closes its end, for as long as this lasts."""
        with self._lock:
            self._selector.register(client, selectors.EVENT_READ, gone)
        try:
            yield
        finally:
            with self._lock, suppress(KeyError, ValueError):
                self._selector.unregister(client)

    def close(self) -> None:
        """Stop looking. A second call does nothing."""
        if not self._closing:
            self._closing = True
            self._waker.send(b"x")
            self._thread.join()
            self._selector.close()
            self._waker.close()
            self._woken.close()

    def _look(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                if key.data is None:
                    continue
                with self._lock, suppress(KeyError, ValueError):
                    # Unwatched since, perhaps, and its number given to another socket.
                    if self._selector.get_key(key.fileobj).data is not key.data:
                        continue
                    self._selector.unregister(key.fileobj)
                    if _at_end(key.fileobj):
                        key.data.set()


def _at_end(client: object) -> bool:
    assert isinstance(client, socket.socket)
    try:
        return not client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
