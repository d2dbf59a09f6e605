"""JSON sent to a service, its answer back; and streams that nobody can forget to close.

``JsonService`` is for what asks one question at a time (embedders, rerankers): tried again where
that may help, errors translated. What streams opens connections of its own. Knows no dialect.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import httpx

from ragstack.config import secret
from ragstack.errors import ConfigError, RemoteError
from ragstack.types.hosts import retry_after_s

__all__ = ["SHOWN", "JsonService", "OpenStream"]

SHOWN = 200
"""Characters of a service's answer that an error repeats."""
_ATTEMPTS = 4
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class JsonService:
    """A service that takes JSON by POST. Safe to use from many threads.

    Args:
        name: What errors call it: ``embedding server``.
        url: Address up to the paths of its calls.
        key: ``{ env = "NAME" }``, the environment variable that holds the key.
        timeout_s: Of one attempt.

    Raises:
        ConfigError: It is no address, the key is not there, or the time is not above 0.
    """

    def __init__(
        self, name: str, url: str, *, key: Mapping[str, str] | None, timeout_s: float
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"url is an http or https address, got {url!r}")
        if not timeout_s > 0:
            raise ConfigError(f"timeout_s={timeout_s!r}: expected seconds above 0")
        token = secret(key)
        self._name = name
        self._client = httpx.Client(
            base_url=url.rstrip("/"),
            timeout=timeout_s,
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """Return the service's answer, a status below 400.

        Raises:
            RemoteError: It refused, or could not be reached in four attempts.
        """
        attempt = 0
        while True:
            try:
                response = self._client.post(path, json=body)
                response.raise_for_status()
                return response
            except httpx.HTTPError as error:
                translated = self._translated(error)
                if not translated.retryable or attempt == _ATTEMPTS - 1:
                    raise translated from error
                time.sleep(_wait_s(error, attempt))
                attempt += 1

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _translated(self, error: httpx.HTTPError) -> RemoteError:
        if isinstance(error, httpx.HTTPStatusError):
            status, text = error.response.status_code, error.response.text[:SHOWN]
            return RemoteError(
                f"the {self._name} answered {status}: {text!r}",
                hint="look at the key option" if status in (401, 403) else "",
                retryable=status in _RETRIED,
            )
        return RemoteError(
            f"the {self._name} cannot be reached: {error!r}",
            hint="look at the url option, and whether the server runs",
            retryable=isinstance(error, httpx.TransportError),
        )


def _wait_s(error: httpx.HTTPError, attempt: int) -> float:
    """Return what the server asks for in ``Retry-After``, else twice the last wait."""
    asked = 0.0
    if isinstance(error, httpx.HTTPStatusError):
        asked = retry_after_s(error.response.headers.get("Retry-After", ""))
    return min(asked or _FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S)


class OpenStream:
    """An open response and its bytes, kept from the garbage collector until it is closed.

    A generator that is dropped while it reads a stream is closed by the collector at any moment:
    also in the midst of httpx's own work in the same thread, with the lock held that closing takes,
    so that it waits for itself for ever. So what is open is held here, and what was not read to its
    end is closed by a thread that does nothing else.

    Attributes:
        pieces: The stream's bytes as they come.
    """

    _open: ClassVar[set[OpenStream]] = set()
    _left: ClassVar[queue.SimpleQueue[OpenStream]] = queue.SimpleQueue()
    _closer: ClassVar[threading.Thread | None] = None
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.pieces: Iterator[bytes] = response.iter_bytes()
        self._open.add(self)
        with self._guard:
            # After a fork it is there and does not run.
            if OpenStream._closer is None or not OpenStream._closer.is_alive():
                OpenStream._closer = threading.Thread(
                    target=self._close_left, name="ragstack-streams", daemon=True
                )
                OpenStream._closer.start()

    def close(self) -> None:
        """Close it now: by who has read it, never where a generator ends unread."""
        self._response.close()
        self._open.discard(self)

    def leave(self) -> None:
        """Have it closed in a moment. Takes no lock, so it may be called from anywhere."""
        self._left.put(self)

    @classmethod
    def _close_left(cls) -> None:
        while True:
            stream = cls._left.get()
            with suppress(Exception):  # nobody is there who could be told
                stream.close()
            del stream
