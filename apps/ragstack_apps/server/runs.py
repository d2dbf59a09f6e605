"""Questions in, answers made in threads of their own out; whoever follows one may go and come back.

A run keeps its events while the server lives. What it was is kept as a record of the kind ``run``.
"""

from __future__ import annotations

import contextvars
import secrets
import threading
from collections import OrderedDict
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ragstack.cli.output import trace_json
from ragstack.errors import Cancelled, RagstackError
from ragstack.types import Answer, Delta, Event, Record, Retrieved
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.server.bodies import AskBody
from ragstack_apps.server.calls import Call
from ragstack_apps.server.codec import answer_shown, citations_shown, passage_shown
from ragstack_apps.server.errors import HttpError, failure_of
from ragstack_apps.server.service import Service
from ragstack_apps.server.streams import Told

__all__ = ["Run", "Runs"]

_KEPT = 256  # finished runs whose events are in memory
_LOOK_S = 0.5  # a follower looks as often whether its client is there
_GIVEN_UP = "the answer was given up before its end"


@dataclass
class Run:
    """One answer being made, or made."""

    id: str
    caller: Caller
    body: AskBody
    at: datetime
    client: str
    state: str = "running"
    events: list[Told] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    error: BaseException | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def say(self, name: str, data: dict[str, Any], *, state: str = "") -> None:
        """Add an event for all who follow."""
        with self.changed:
            self.events.append(Told(len(self.events) + 1, name, data))
            self.state = state or self.state
            self.changed.notify_all()

    def follow(self, gone: threading.Event, after: int = 0) -> Generator[Told, None, None]:
        """Yield the events behind a number, and those that come, to the last.

        Raises:
            HttpError: The follower is told to go.
        """
        at = max(after, 0)
        while True:
            with self.changed:
                while len(self.events) <= at and self.state == "running":
                    if gone.is_set():
                        raise HttpError(503, _GIVEN_UP)
                    self.changed.wait(_LOOK_S)
                fresh, over = self.events[at:], self.state != "running"
            yield from fresh
            at += len(fresh)
            if over:
                return

    def shown(self) -> dict[str, Any]:
        """Return the run as the interface shows it."""
        with self.changed:
            return {
                "id": self.id,
                "user": self.caller.user,
                "at": self.at.isoformat(),
                "chat": self.body.chat,
                "question": self.body.question,
                "collection": self.body.collection,
                "model": self.body.model or "",
                "style": self.body.style,
                "state": self.state,
                "events": [
                    {"id": told.number, "event": told.name, "data": told.data}
                    for told in self.events
                ],
                "answer": self.answer,
            }


def may_see(caller: Caller, owner: Caller, collection: str) -> bool:
    """Return whether a caller may see a run: their own, with every right it was asked with.

    What was answered may show what only who asked may read; so nobody else sees it, who
    administers the server neither, and who has left a group no more.
    """
    same = owner.user == caller.user and set(owner.asker) <= set(caller.asker)
    return same and caller.sees(collection)


class Runs:
    """The runs of one server. Safe to use from many threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def start(self, body: AskBody, caller: Caller, call: Call) -> Run:
        """Begin to answer a question.

        Raises:
            RateLimited: As many answers are being written for the caller as may be.
        """
        run = Run(f"run-{secrets.token_hex(8)}", caller, body, datetime.now(UTC), call.client)
        self._service.guard.answering.begin(caller.limited_as)
        # What is traced here belongs to the request that asked, also when it has ended.
        here = contextvars.copy_context()
        thread = threading.Thread(target=here.run, args=(self._work, run), name=run.id, daemon=True)
        with self._lock:
            self._runs[run.id] = run
            self._threads.add(thread)
            self._forget()
        thread.start()
        return run

    def get(self, run_id: str, caller: Caller) -> Run | None:
        """Return a run that is in memory, or None.

        Raises:
            HttpError: 404, it is somebody else's.
        """
        run = self._runs.get(run_id)
        if run is not None and not may_see(caller, run.caller, run.body.collection):
            raise HttpError(404, f"there is no run {run_id!r}", code="not_found")
        return run

    def close(self) -> None:
        """Cancel what runs, and wait for it a while."""
        with self._lock:
            runs, threads = list(self._runs.values()), list(self._threads)
        for run in runs:
            run.cancel.set()
        for thread in threads:
            thread.join(5)

    def _forget(self) -> None:
        over = [key for key, run in self._runs.items() if run.state != "running"]
        for key in over[: max(0, len(over) - _KEPT)]:
            del self._runs[key]

    def _work(self, run: Run) -> None:
        run.say("run", {"run": run.id})
        try:
            self._answer(run)
        except Exception as error:
            run.error = error
            cancelled = run.cancel.is_set() or isinstance(error, Cancelled)
            failure = failure_of(HttpError(503, _GIVEN_UP) if cancelled else error)
            run.say("error", dict(failure.body), state="cancelled" if cancelled else "failed")
        finally:
            self._service.guard.answering.end(run.caller.limited_as)
            with suppress(RagstackError):
                self._record(run)
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _answer(self, run: Run) -> None:
        service = self._service
        client = run.caller.user or run.client
        with service.generator.serving(
            client=client, background=False, deadline_s=service.deadline_s, cancel=run.cancel
        ):
            answer = None
            for event in self._events(run):
                if run.cancel.is_set() or _is_cut(event):
                    raise Cancelled(_GIVEN_UP)
                if isinstance(event, Answer):
                    answer = event
                else:
                    _tell(run, event)
            if answer is None:
                raise Cancelled(_GIVEN_UP)
            run.answer = {"run": run.id, **answer_shown(answer)}
            run.say("citations", {"citations": citations_shown(answer)})
            run.say("done", run.answer, state="done")

    def _events(self, run: Run) -> Iterator[Event]:
        observer = self._service.guard.observer
        return observer.answer(self._answered(run), run.body.collection)

    def _answered(self, run: Run) -> Iterator[Event]:
        body, stack = run.body, self._service.stack
        asker = run.caller.asker
        if body.chat:
            chat = stack.chat(
                body.chat, collection=body.collection, asker=asker, transforms=body.transforms
            )
            return chat.stream(
                body.question, style=body.style, where=body.where, quotes=body.quotes
            )
        return stack.stream(
            body.question,
            style=body.style,
            where=body.where,
            asker=asker,
            collection=body.collection,
            quotes=body.quotes,
            transforms=body.transforms,
        )

    def _record(self, run: Run) -> None:
        body = {key: value for key, value in run.shown().items() if key != "events"}
        record = Record("run", run.id, body, run.at, run.caller.user)
        self._service.stack.parts.catalog.put_record(record)


def _is_cut(event: Event) -> bool:
    return isinstance(event, Delta) and event.finish == "cancelled"


def _tell(run: Run, event: Event) -> None:
    if isinstance(event, Retrieved):
        run.say("retrieval", {"question": event.question, "trace": trace_json(event.trace)})
        run.say("passages", {"passages": [passage_shown(one) for one in event.passages]})
    elif isinstance(event, Delta) and (event.text or event.reasoning):
        run.say("token", {"text": event.text, "reasoning": event.reasoning})
