"""Requests to one ragstack server, every failure of it as an error of ours.

Knows JSON, uploads and server-sent events, and nothing of what they mean. A request is sent again
only where that is safe: it never arrived, was refused before it began, or asks without changing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from ragstack.client.errors import refusal
from ragstack.errors import InputError, RagstackError, RemoteError
from ragstack.generate.sse import decoded, lines
from ragstack.http import OpenStream
from ragstack.types.hosts import is_loopback, retry_after_s

__all__ = ["Connection", "ServerEvent", "Upload"]

_ATTEMPTS = 4
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 10.0
_CONNECT_S = 10.0
_MOST_OF_AN_ERROR = 64_000  # bytes
_REFUSED = 429  # before anything was begun
_BUSY = (502, 503, 504)

Upload = tuple[str, tuple[str, bytes, str]]
"""A part of a form: its field, then a file's name, bytes and media type."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event; ``number`` is its id, 0 where it has none."""

    name: str
    data: Mapping[str, Any]
    number: int = 0


@dataclass
class Connection:
    """Connections to a server. Safe to use from many threads.

    Attributes:
        url: Of the server, without a path.
        key: Shown with each request; an API key or the token of a log-in.
        timeout_s: Seconds of silence after which a server is given up.
    """

    url: str
    key: str = field(repr=False)
    timeout_s: float
    _http: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Prepare the connections; nothing is sent.

        Raises:
            InputError: The address is none of http, or a limit no length of time.
        """
        try:
            address = httpx.URL(self.url)
        except (httpx.InvalidURL, TypeError) as error:
            raise InputError(f"url is {self.url!r}, which is no address: {error}") from error
        if address.scheme not in ("http", "https") or not address.host:
            raise InputError(
                f"url is {self.url!r}, expected the address of a ragstack server",
                hint="such as http://127.0.0.1:8000",
            )
        if not 0.0 < self.timeout_s < float("inf"):
            raise InputError(f"timeout_s is {self.timeout_s!r}, expected seconds above 0")
        if not self.key.isascii() or not self.key.isprintable():
            raise InputError("api_key holds what no header may hold: spaces at an end, line ends")
        self.url = self.url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            timeout=httpx.Timeout(self.timeout_s, connect=min(_CONNECT_S, self.timeout_s)),
            # A proxy of the environment's stands between machines, not within this one.
            trust_env=not (is_loopback(address.host) or address.host.endswith(".localhost")),
        )

    def get(self, path: str, **params: object) -> Any:
        """Return the JSON at a path; parameters that are None are left out."""
        return self.call("GET", path, params=params, again=True)

    def post(self, path: str, body: Mapping[str, Any], *, again: bool = False) -> Any:
        """Return the JSON answered to a body; ``again``: it changes nothing, and may be resent."""
        return self.call("POST", path, body=body, again=again)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, object] | None = None,
        again: bool = False,
    ) -> Any:
        """Return the JSON answered to a request; None where the answer is empty.

        Raises:
            RagstackError: What the server says is wrong, by the class it names.
            RemoteError: It cannot be reached, or answers no JSON.
        """
        response = self._sent(self._request(method, path, body, params), again)
        if not response.content:
            return None
        found = decoded(response.text)
        if found is None:
            raise refusal(response.status_code, response.text)
        return found

    def download(self, path: str, **params: object) -> bytes:
        """Return the bytes at a path."""
        return self._sent(self._request("GET", path, None, params), again=True).content

    def upload(self, path: str, form: Mapping[str, str], files: Sequence[Upload]) -> Any:
        """Return the JSON answered to a form with files."""
        request = self._http.build_request(
            "POST", path, data=dict(form), files=list(files), headers=self._headers()
        )
        return decoded(self._sent(request, again=False).text)

    @contextmanager
    def events(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, **params: object
    ) -> Iterator[Iterator[ServerEvent]]:
        """Open a stream of events; leaving the context closes it, and the server notices.

        Raises:
            RagstackError: As ``call``, also while the stream is read.
        """
        request = self._request(method, path, body, params)
        request.headers["Accept"] = "text/event-stream"
        stream = OpenStream(self._opened(request, again=method == "GET"))
        try:
            yield _events(self._chunks(stream.pieces))
        finally:
            stream.leave()  # a reader who was dropped may be here by the garbage collector

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._http.close()

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        params: Mapping[str, object] | None,
    ) -> httpx.Request:
        said = {name: str(value) for name, value in (params or {}).items() if value is not None}
        content = None if body is None else _written(body)
        headers = self._headers() | ({} if body is None else {"Content-Type": "application/json"})
        try:
            return self._http.build_request(
                method, path, params=said or None, content=content, headers=headers
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise InputError(f"{path!r} cannot be asked for: {error}") from error

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def _sent(self, request: httpx.Request, again: bool) -> httpx.Response:
        response = self._opened(request, again)
        try:
            response.read()
        except httpx.HTTPError as error:
            raise self._translated(error) from error
        finally:
            response.close()
        return response

    def _opened(self, request: httpx.Request, again: bool) -> httpx.Response:
        """Return the open response to a request, sent again where that is safe."""
        wait = _FIRST_WAIT_S
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                response = self._http.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if last or isinstance(error, httpx.ConnectTimeout):
                    raise self._translated(error) from error
            except httpx.HTTPError as error:
                if last or not again or isinstance(error, httpx.TimeoutException):
                    raise self._translated(error) from error
            except RuntimeError as error:
                raise InputError("the client is closed, it asks nothing any more") from error
            else:
                if response.is_success:
                    return response
                failure = self._refused(response)
                safe = response.status_code == _REFUSED or (again and response.status_code in _BUSY)
                if last or not safe:
                    raise failure
                wait = max(wait, retry_after_s(response.headers.get("retry-after", "")))
            time.sleep(min(wait, _LONGEST_WAIT_S))
            wait *= 2
        raise AssertionError("every attempt returns or raises")

    def _refused(self, response: httpx.Response) -> RagstackError:
        said = b""
        try:
            for chunk in response.iter_bytes():
                said += chunk
                if len(said) > _MOST_OF_AN_ERROR:
                    break
        except httpx.HTTPError as error:
            return self._translated(error)
        finally:
            response.close()
        return refusal(response.status_code, said.decode("utf-8", "replace"))

    def _chunks(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            # Not `yield from`, which would close the pieces with this generator.
            for piece in pieces:  # noqa: UP028
                yield piece
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> RemoteError:
        """Return the error for one of httpx's."""
        reason = str(error) or type(error).__name__
        if isinstance(error, httpx.ConnectTimeout):
            reason = f"no connection within {_CONNECT_S:g} s"
        elif isinstance(error, httpx.TimeoutException):
            reason = f"nothing came for {self.timeout_s:g} s"
        return RemoteError(
            f"{self.url} cannot be reached or fell silent: {reason}",
            hint="is the server running? `ragstack serve` starts one",
            retryable=True,
        )


def _events(chunks: Iterator[bytes]) -> Iterator[ServerEvent]:
    """Yield the events of a stream; comments, which keep it alive, are passed over.

    Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    name, number, held = "message", 0, list[str]()
    for line in lines(chunks):
        field_, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if held:
                data = decoded("\n".join(held))
                if not isinstance(data, dict):
                    raise RemoteError(f"the server sent {held[0][:200]!r}, expected a JSON object")
                yield ServerEvent(name, data, number)
            name, held = "message", []
        elif field_ == "data":
            held.append(value)
        elif field_ == "event":
            name = value
        elif field_ == "id" and value.isdecimal():
            number = int(value)


def _written(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"an argument cannot be written as JSON: {error}") from error
