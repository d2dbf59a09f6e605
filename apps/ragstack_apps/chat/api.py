"""The server as the pages see it: ``ragstack.Client``, by paths of its interface, JSON back.

Knows no page and no Streamlit. What goes wrong is a RagstackError with the server's own words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ragstack import Client
from ragstack.client.asking import begun, named

__all__ = ["Api", "Json", "Told"]

Json = dict[str, Any]
Told = tuple[str, Mapping[str, Any], int]
"""An event: its name, what it says, its number."""

_TYPE = "application/octet-stream"


class Api:
    """One server, as one person sees it. Safe to use from many threads.

    Every method is one request.

    Args:
        token: Of a log-in, or an API key; empty where the server asks for none.
    """

    def __init__(self, url: str, *, token: str = "", timeout_s: float = 60.0) -> None:
        self._client = Client(url, api_key=token or None, timeout_s=timeout_s)
        self._connection = self._client.connection

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, *path: str, **query: Any) -> Any:
        """Return what stands at a path. Parameters that are None are left out.

        Raises:
            NotSignedIn: The server does not know who asks.
            RagstackError: As the server says.
        """
        return self._connection.get(_address(path), **query)

    def post(self, *path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """Send a JSON body to a path and return the reply."""
        sent = dict(body or {})
        return self._connection.call("POST", _address(path), body=sent, params=query)

    def put(self, *path: str, body: Mapping[str, Any]) -> Any:
        """Put a JSON body at a path and return the reply."""
        return self._connection.call("PUT", _address(path), body=body)

    def patch(self, *path: str, body: Mapping[str, Any]) -> Any:
        """Change part of what stands at a path."""
        return self._connection.call("PATCH", _address(path), body=body)

    def delete(self, *path: str, **query: Any) -> None:
        """Remove what stands at a path."""
        self._connection.call("DELETE", _address(path), params=query)

    def data(self, *path: str, **query: Any) -> bytes:
        """Return the bytes that stand at a path: a picture, a file."""
        return self._connection.download(_address(path), **query)

    def upload(
        self, files: Sequence[tuple[str, bytes]], *, collection: str, meta: Mapping[str, Any]
    ) -> Json:
        """Send files to be read, and return the job that reads them."""
        parts = [("files", (name, data, _TYPE)) for name, data in files]
        form = {"collection": collection, "meta": json.dumps(dict(meta))}
        job: Json = self._connection.upload("/api/ingest", form, parts)
        return job

    def begin(self, body: Mapping[str, Any]) -> str:
        """Ask a question that the server answers whether or not anyone listens; return the run."""
        return begun(self._connection, body)

    def follow(self, *path: str, after: int = 0) -> Iterator[Told]:
        """Yield the events of a run or a job, those that are past first, up to its end.

        Args:
            after: The number of the last event that is known already.
        """
        with self._connection.events("GET", _address(path), after=after or None) as events:
            for event in events:
                yield event.name, event.data, event.number


def _address(path: Sequence[str]) -> str:
    return "/api/" + "/".join(named(part) for part in path)
