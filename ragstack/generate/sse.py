"""Bytes of a stream of server-sent events in, JSON objects out. Knows no dialect.

The bytes come from a stranger: lines, events and nesting are bounded, and all that cannot be read
is a RemoteError. Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ragstack.errors import RemoteError

__all__ = ["decoded", "events", "lines"]

_LONGEST_LINE = 4_000_000  # bytes; a whole answer in one event is some 100 kB
_MOST_LINES = 64  # data lines of one event: pretty-printed JSON
_SHOWN = 200


def events(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each event, up to ``[DONE]`` or the end.

    Raises:
        RemoteError: An event is no JSON object, no UTF-8, too long, or cut in the middle.
    """
    held: list[str] = []
    for line in lines(chunks):
        name, _, value = line.partition(":")
        if name == "data":
            value = value.removeprefix(" ")
            if not held and value.strip() == "[DONE]":
                return
            if not held and not value.strip():
                continue  # an event without data keeps a connection alive
            held.append(value)
            event = _complete(held)
            if event is not None:
                held = []
                yield event
        elif held and not line:
            raise _unreadable(held)
    if held:
        raise _unreadable(held)


def _complete(held: list[str]) -> dict[str, Any] | None:
    """Return the event these lines make, or None while more may come."""
    if len(held) > _MOST_LINES:
        raise _unreadable(held)
    # Servers that put each event on one line, which is all of them, may forget the empty line.
    value = decoded("\n".join(held))
    if value is None:
        return None
    if not isinstance(value, dict):
        raise RemoteError(f"the server sent {_start(held)!r}, expected a JSON object")
    return value


def decoded(text: str) -> Any:
    """Return a text's JSON value, or None where it has none (or is ``null``)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield lines, ended by LF or CRLF; the last one may have no end."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            yield _text(b"".join((*parts, line)))
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > _LONGEST_LINE:
            raise RemoteError(f"the server sent a line of more than {_LONGEST_LINE} bytes")
    if size:
        yield _text(b"".join(parts))


def _text(line: bytes) -> str:
    try:
        return line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise RemoteError(
            f"the server sent {line[:_SHOWN]!r}, expected UTF-8", retryable=True
        ) from error


def _start(held: list[str]) -> str:
    return "\n".join(held)[:_SHOWN]


def _unreadable(held: list[str]) -> RemoteError:
    return RemoteError(f"the server sent {_start(held)!r}, expected JSON", retryable=True)
