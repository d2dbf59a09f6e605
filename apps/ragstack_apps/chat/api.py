"""Calls of the server's HTTP interface: arguments in, JSON out. Knows no page and no Streamlit.

Every method is one request; what goes wrong is a RagstackError with the server's own words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from ragstack import errors
from ragstack.errors import RagstackError, RemoteError

__all__ = ["Api", "Json", "LoginNeeded"]

Json = dict[str, Any]
Told = tuple[str, Mapping[str, Any], int]


class LoginNeeded(RagstackError):
    """The server wants to know who asks, or this person may not."""


class Api:
    """One server, as one person sees it. Safe to use from many threads.

    Args:
        token: Of a log-in, or an API key; empty where the server asks for none.
    """

    def __init__(self, url: str, *, token: str = "", timeout_s: float = 60.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout_s, trust_env=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, *path: str, **query: Any) -> Any:
        """Return what stands at a path. Parameters that are None are left out.

        Raises:
            LoginNeeded: The server does not know who asks.
            RagstackError: As the server says.
        """
        return self._sent("GET", path, params=_given(query)).json()

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a JSON body to a path and return the reply."""
        return self._sent("POST", path, json=dict(body or {})).json()

    def put(self, *path: str, body: Mapping[str, Any]) -> Any:
        """Put a JSON body at a path and return the reply."""
        return self._sent("PUT", path, json=dict(body)).json()

    def patch(self, *path: str, body: Mapping[str, Any]) -> Any:
        """Change part of what stands at a path."""
        return self._sent("PATCH", path, json=dict(body)).json()

    def delete(self, *path: str, **query: Any) -> None:
        """Remove what stands at a path."""
        self._sent("DELETE", path, params=_given(query))

    def data(self, *path: str, **query: Any) -> bytes:
        """Return the bytes that stand at a path: a picture, a file."""
        return self._sent("GET", path, params=_given(query)).content

    def upload(
        self, files: Sequence[tuple[str, bytes]], *, collection: str, meta: Mapping[str, Any]
    ) -> Json:
        """Send files to be read, and return the job that reads them."""
        parts = [("files", (name, data, "application/octet-stream")) for name, data in files]
        form = {"collection": collection, "meta": json.dumps(dict(meta))}
        job: Json = self._sent("POST", ("ingest",), files=parts, data=form).json()
        return job

    def begin(self, body: Mapping[str, Any]) -> str:
        """Ask a question that the server answers whether or not anyone listens; return the run.

        The stream is left as soon as the run has a name: it is followed elsewhere.
        """
        asked = {**body, "stream": True, "keep": True}
        with self._stream("POST", "/api/ask", json=asked) as events:
            for name, data, _ in events:
                if name == "error":
                    raise _error(400, data)
                if name == "run":
                    return str(data["run"])
        raise RemoteError("the server began no answer", retryable=True)

    def follow(self, *path: str, after: int = 0) -> Iterator[Told]:
        """Yield the events of a run or a job, those that are past first, up to its end.

        Args:
            after: The number of the last event that is known already.
        """
        address = "/api/" + "/".join(quote(part, safe="") for part in path)
        with self._stream("GET", address, params={"after": after}) as events:
            yield from events

    def _stream(self, method: str, address: str, **more: Any) -> _Events:
        return _Events(self._http, method, address, more)

    def _sent(self, method: str, path: Sequence[str], **more: Any) -> httpx.Response:
        address = "/api/" + "/".join(quote(part, safe="") for part in path)
        try:
            reply = self._http.request(method, address, **more)
        except httpx.HTTPError as error:
            raise _unreachable(self.url, error) from error
        if reply.status_code >= 400:
            raise _error(reply.status_code, _json(reply.content))
        return reply


class _Events:
    """The events of one reply, named and decoded; leaving the block hangs up."""

    def __init__(
        self, http: httpx.Client, method: str, address: str, more: Mapping[str, Any]
    ) -> None:
        # The server sends a sign of life every ten seconds.
        self._reply = http.stream(method, address, timeout=httpx.Timeout(30.0), **more)
        self._url = str(http.base_url)

    def __enter__(self) -> Iterator[Told]:
        try:
            reply = self._reply.__enter__()
        except httpx.HTTPError as error:
            raise _unreachable(self._url, error) from error
        if reply.status_code >= 400:
            try:
                raise _error(reply.status_code, _json(reply.read()))
            finally:
                self._reply.__exit__(None, None, None)
        return self._events(reply)

    def __exit__(self, *told: Any) -> None:
        self._reply.__exit__(*told)

    def _events(self, reply: httpx.Response) -> Iterator[Told]:
        name, number, held = "message", 0, list[str]()
        try:
            for line in reply.iter_lines():
                key, _, value = line.partition(":")
                if key == "event":
                    name = value.strip()
                elif key == "data":
                    held.append(value.removeprefix(" "))
                elif key == "id" and value.strip().isdecimal():
                    number = int(value)
                elif not line and held:
                    yield name, _json("\n".join(held)), number
                    name, held = "message", []
        except httpx.HTTPError as error:
            raise _unreachable(self._url, error) from error


def _given(query: Mapping[str, Any]) -> Json:
    return {key: value for key, value in query.items() if value is not None}


def _json(data: bytes | str) -> Json:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _error(status: int, body: Json) -> RagstackError:
    told = body.get("error")
    told = told if isinstance(told, dict) else {}
    message = str(told.get("message") or f"the server answered {status}")
    hint = str(told.get("hint") or "")
    if status == 401:
        return LoginNeeded(message, hint=hint)
    kind = getattr(errors, str(told.get("type")), None)
    if isinstance(kind, type) and issubclass(kind, errors.NotFound):
        return kind(message, hint=hint)
    return RemoteError(message, hint=hint, retryable=status in (429, 503))


def _unreachable(url: str, error: httpx.HTTPError) -> RemoteError:
    return RemoteError(
        f"the server at {url} does not answer: {type(error).__name__}",
        hint="ragstack serve, or ragstack chat, starts one",
        retryable=True,
    )
