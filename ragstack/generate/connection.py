"""Requests over HTTP to one service, every failure of it as an error of ours.

Knows how a service wants to be addressed (its preset), and nothing of messages or events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from ragstack.errors import ContextOverflow, InputError, RagstackError, RemoteError
from ragstack.generate.anthropic import VERSION
from ragstack.generate.presets import Preset
from ragstack.generate.sse import decoded
from ragstack.types.hosts import retry_after_s

__all__ = ["Connection", "Refused", "Timeouts"]

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_HEALTH_S = 3.0
_MOST_OF_AN_ERROR = 64_000  # bytes
_SHOWN = 300
_OVERFLOW_MARKS = (
    *("context_length", "context length", "context window", "maximum context", "n_ctx"),
    *("prompt is too long", "exceed context limit", "exceeds the available context"),
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, of silence, and of a whole answer."""

    connect_s: float = 10.0
    read_s: float = 120.0
    total_s: float = 900.0


class Refused(RemoteError):
    """A status that is none of success.

    Attributes:
        said: What the server said, shortened.
        wait_s: Seconds the server asks to wait, 0 where it asks for none.
    """

    def __init__(self, message: str, *, hint: str, status: int, said: str, wait_s: float) -> None:
        super().__init__(message, hint=hint, retryable=status in _RETRIED)
        self.status = status
        self.said = said
        self.wait_s = wait_s


@dataclass(slots=True)
class Connection:
    """A client of one service at one or several addresses."""

    service: Preset
    model: str
    timeouts: Timeouts
    key: str = field(default="", repr=False)
    client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Prepare the client; nothing is sent."""
        headers = {"anthropic-version": VERSION} if self.service.dialect == "anthropic" else {}
        if self.key:
            bearer = self.service.key_header == "Authorization"
            headers[self.service.key_header] = f"Bearer {self.key}" if bearer else self.key
        silence = httpx.Timeout(self.timeouts.read_s, connect=self.timeouts.connect_s)
        self.client = httpx.Client(timeout=silence, headers=headers)

    def open(self, url: str, request: Mapping[str, Any]) -> httpx.Response:
        """Return the open response of a stream; the caller closes it.

        Raises:
            ContextOverflow: The server says the prompt is too long.
            RemoteError: It answers with an error, or not at all.
        """
        path = "messages" if self.service.dialect == "anthropic" else "chat/completions"
        until = time.monotonic() + self.timeouts.total_s
        response = None
        try:
            response = self.client.send(
                self.client.build_request(
                    "POST",
                    f"{url}/{path}",
                    content=_written(request),
                    headers={"Content-Type": "application/json"},
                ),
                stream=True,
            )
            if _is_stream(response):
                return response
            text = self._beginning(response, until)
        except httpx.HTTPError as error:
            raise self.translated(error, url) from error
        except RuntimeError as error:
            raise InputError("the generator is closed, it answers nothing any more") from error
        finally:
            if response is not None and not _is_stream(response):
                response.close()
        raise self._refused(response, text, url)

    def chunks(self, pieces: Iterator[bytes], url: str) -> Iterator[bytes]:
        """Yield a stream's bytes as they come.

        Raises:
            RemoteError: The connection broke, or the server takes too long for the whole; what the
                reader takes between two pieces does not count.
        """
        left = self.timeouts.total_s
        try:
            while True:
                began = time.monotonic()
                chunk = next(pieces, None)
                left -= time.monotonic() - began
                if chunk is None:
                    return
                if left < 0.0:
                    raise RemoteError(
                        f"{url} was still answering after {self.timeouts.total_s:g} s",
                        hint="raise total_timeout_s, or lower max_tokens",
                    )
                yield chunk
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self.translated(error, url) from error

    def healthy(self, url: str) -> bool:
        """Say whether a server answers at all: what it says to its list of models is not read."""
        try:
            with self.client.stream("GET", f"{url}/models", timeout=_HEALTH_S) as response:
                return response.status_code < 500 and response.status_code not in (408, 425, 429)
        except (httpx.HTTPError, RuntimeError):
            return False

    def translated(self, error: Exception, url: str) -> RemoteError:
        """Return the error for one of httpx's."""
        reason = self.shown(str(error)) or type(error).__name__
        if isinstance(error, httpx.ConnectTimeout):
            reason = f"no connection within {self.timeouts.connect_s:g} s"
        elif isinstance(error, httpx.ReadTimeout):
            reason = f"nothing came for {self.timeouts.read_s:g} s"
        return RemoteError(
            f"{url} cannot be reached or fell silent: {reason}",
            hint="is the server running?",
            retryable=True,
        )

    def shown(self, text: str) -> str:
        """Return a server's words, short and without the key."""
        return (text.replace(self.key, "***") if self.key else text).strip()[:_SHOWN]

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self.client.close()

    def _beginning(self, response: httpx.Response, until: float) -> str:
        """Return the first bytes of an error's text; a server may send it for ever."""
        got = b""
        for chunk in response.iter_bytes():
            got += chunk
            if len(got) > _MOST_OF_AN_ERROR or time.monotonic() > until:
                break
        return got[:_MOST_OF_AN_ERROR].decode("utf-8", "replace")

    def _refused(self, response: httpx.Response, text: str, url: str) -> RagstackError:
        said, status = self.shown(_reason(text)) or "no reason given", response.status_code
        if response.is_success:
            return RemoteError(
                f"{url} answered {said!r}, expected a stream of events",
                hint="check the url: it ends before /chat/completions or /messages",
            )
        if status in (400, 413) and any(mark in text.lower() for mark in _OVERFLOW_MARKS):
            return ContextOverflow(f"{url} says the prompt is too long: {said}")
        hints = {
            401: 'check the key: key = { env = "NAME" }',
            403: 'check the key: key = { env = "NAME" }',
            404: f"check the url, and that the server has the model {self.model!r}",
        }
        return Refused(
            f"{url} answered {status}: {said}",
            hint=hints.get(status, ""),
            status=status,
            said=said,
            wait_s=retry_after_s(response.headers.get("retry-after", "")),
        )


def _is_stream(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.is_success and kind not in ("application/json", "text/html")


def _written(request: Mapping[str, Any]) -> bytes:
    """Return the request's bytes; half a surrogate pair, which no server takes, becomes ``?``."""
    try:
        text = json.dumps(request, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"a tool, schema or argument cannot be written as JSON: {error}") from None
    return text.encode("utf-8", "replace")


def _reason(text: str) -> str:
    """Return the message of an error in a form that is in use, or the text itself."""
    value = decoded(text)
    if isinstance(value, list) and value:
        value = value[0]  # Google wraps it in a list
    if isinstance(value, dict):
        found = value.get("error") or value.get("message") or value.get("detail")
        if isinstance(found, dict):
            found = found.get("message") or found
        if found:
            return found if isinstance(found, str) else json.dumps(found)
    return text
