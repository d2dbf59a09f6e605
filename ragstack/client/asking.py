"""A question in, the events of its answer out, as a server tells them. Knows no base.

A run is an answer under way at the server. One that is kept goes on when nobody listens.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

from ragstack.client.connection import Connection, ServerEvent
from ragstack.client.errors import error_of
from ragstack.errors import InputError, RemoteError
from ragstack.filters import Where, written
from ragstack.types import Answer, Event, Retrieved
from ragstack.types.wire import answer_of, delta_of, parsed, passage_of, trace_of

__all__ = ["asked", "begun", "events_of", "followed", "named", "nobody_else", "question_json"]

_LOST = 5  # times in a row that a followed run's connection may break
_ENDS = ("done", "error")


def nobody_else(asker: Sequence[str]) -> None:
    """Refuse to ask as somebody else: who asks is whose key is shown.

    Raises:
        InputError: Names are given.
    """
    if asker:
        raise InputError(
            f"asker is {asker!r}, and a server takes nobody's word for who asks",
            hint="give Client that user's api_key, or call login; leave asker out",
        )


def named(name: str) -> str:
    """Return a name as a part of a path.

    Raises:
        InputError: It is blank, or one that a path would not keep.
    """
    if not name.strip() or name in (".", ".."):
        raise InputError(f"a name is not blank, nor dots alone, got {name!r}")
    return quote(name.encode("utf-8", "replace"), safe="")


def question_json(question: str, where: Where | None, **more: object) -> dict[str, Any]:
    """Return a question as a server takes it; what is None is left to its configuration.

    Raises:
        InputError: The question is blank, or the condition has no dict form.
    """
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"a question is a text that is not blank, got {question!r}")
    said = {"question": question, "where": written(where), **more}
    return {name: value for name, value in said.items() if value is not None}


def asked(connection: Connection, body: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events of an answer; closing the iterator stops the work at the server.

    Raises:
        RagstackError: As the server says.
    """
    whole = {**body, "stream": True, "keep": False}
    with connection.events("POST", "/api/ask", body=whole) as events:
        yield from events_of(events)


def begun(connection: Connection, body: Mapping[str, Any]) -> str:
    """Return the id of a run that goes on at the server, whoever listens."""
    whole = {**body, "stream": True, "keep": True}
    with connection.events("POST", "/api/ask", body=whole) as events:
        for event in events:
            if event.name == "error":
                raise error_of(event.data)
            if "run" in event.data:
                return str(event.data["run"])
    raise RemoteError("the server began no run", hint="its log may say why")


def followed(connection: Connection, run: str) -> Iterator[Event]:
    """Yield the events of a run from its beginning, and go on where a connection broke."""
    with closing(_numbered(connection, run)) as events:
        yield from events_of(events)


def events_of(events: Iterator[ServerEvent]) -> Iterator[Event]:
    """Yield what a server's events say, as ``Stack.stream`` yields it, up to the answer.

    Raises:
        RagstackError: The server tells an error, or the stream ends before its answer.
    """
    told: dict[str, Any] = {}
    for event in events:
        match event.name:
            case "retrieval" | "passages":
                told |= event.data
                # Two events of the wire, one value here; a server may send them together.
                if "question" in told and "passages" in told:
                    yield parsed(_retrieved, told)
                    told = {}
            case "token":
                yield parsed(delta_of, event.data)
            case "done":
                yield parsed(_answered, event.data)
                return
            case "error":
                raise error_of(event.data)
            case _:
                continue
    raise RemoteError("the server's answer ended in the middle", retryable=True)


def _numbered(connection: Connection, run: str) -> Generator[ServerEvent, None, None]:
    after, lost = 0, 0
    while True:
        try:
            path = f"/api/runs/{named(run)}/events"
            with connection.events("GET", path, after=after or None) as events:
                for event in events:
                    yield event
                    if event.name in _ENDS:
                        return
                    after, lost = max(after, event.number), 0
            lost += 1
        except RemoteError as error:
            lost += 1
            if not error.retryable or lost > _LOST:
                raise
        if lost > _LOST:
            raise RemoteError(f"the run {run!r} tells nothing any more", retryable=True)


def _retrieved(data: Mapping[str, Any]) -> Retrieved:
    passages = tuple(passage_of(passage) for passage in data["passages"])
    return Retrieved(passages, str(data["question"]), trace_of(data.get("trace", ())))


def _answered(data: Mapping[str, Any]) -> Answer:
    inner = data["answer"]
    return answer_of(inner if isinstance(inner, Mapping) else data)
