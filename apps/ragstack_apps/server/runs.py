"""Questions in, answers made in threads of their own out; whoever follows one may go and come back.

A run keeps its events while the server lives. What it was is kept as a record of the kind ``run``.
"""

from __future__ import annotations

import contextvars
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ragstack.cli.output import trace_json
from ragstack.errors import Cancelled, InputError, NotFound, RagstackError
from ragstack.pipeline.asking import Manner
from ragstack.pipeline.find import Search
from ragstack.pipeline.seen import Seen
from ragstack.types import Answer, Delta, Event, Record, Retrieved
from ragstack.types.plain import plain
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.server import chats
from ragstack_apps.server.assistants import assistant, with_assistant
from ragstack_apps.server.bodies import AskBody
from ragstack_apps.server.caller import known_collection
from ragstack_apps.server.calls import Call
from ragstack_apps.server.candidates import candidates_of
from ragstack_apps.server.codec import answer_shown, citations_shown, passage_shown
from ragstack_apps.server.errors import HttpError, failure_of
from ragstack_apps.server.service import Service
from ragstack_apps.server.serving import AskedOnce, Serving
from ragstack_apps.server.story import GIVEN_UP, Story

__all__ = ["Run", "Runs"]

_KIND = "run"
_AT_WORK = "running"  # kind of the records of runs that have not ended
_EVENTS = ("run", "retrieval", "error")  # that are kept
_KEPT = 256  # finished runs whose events are in memory
_KILLED = "the server was stopped while it answered"


@dataclass
class Run(Story):
    """One answer being made, or made.

    Attributes:
        told: What the generator is told beside its rules.
        about: What Inspect shows: the prompt, the candidates, timings, settings.
        counted: Whether it is one of the answers that its caller may have written at once.
        noted: Whether a record says that it is at work.
    """

    id: str = ""
    caller: Caller = field(default_factory=Caller)
    body: AskBody = field(default_factory=lambda: AskBody.model_validate({"question": "?"}))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    client: str = ""
    told: str = ""
    answer: dict[str, Any] | None = None
    error: BaseException | None = None
    about: dict[str, Any] = field(default_factory=dict)
    counted: bool = True
    noted: bool = False

    def shown(self) -> dict[str, Any]:
        """Return the run as the interface shows it."""
        body = self.body
        with self.changed:
            return {
                "id": self.id,
                "user": self.caller.user,
                "at": self.at.isoformat(),
                "chat": body.chat,
                "assistant": body.assistant,
                "question": body.question,
                "collection": body.collection,
                "model": body.model or "",
                "style": body.style,
                "state": self.state,
                "events": [
                    {"id": one.number, "event": one.name, "data": one.data} for one in self.events
                ],
                "answer": self.answer,
                "prompt": {"messages": [], "tokens": 0},
                "candidates": [],
                "timings": [],
                "settings": body.model_dump(exclude={"question"}),
                **self.about,
            }


class Runs:
    """The runs of one server. Safe to use from many threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._catalog = service.stack.parts.catalog
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._closing = False
        self._note_stopped()

    def start(self, body: AskBody, caller: Caller, call: Call) -> Run:
        """Begin to answer a question.

        Raises:
            NotFound: There is no such assistant, or the chat is somebody else's.
            RateLimited: As many answers are being written for the caller as may be.
        """
        told = ""
        if body.assistant:
            found = assistant(self._catalog, body.assistant)
            body, told = with_assistant(body, found), found.told
        known_collection(self._service.stack, caller, body.collection)
        if body.chat:
            chats.check(self._service.stack, body.chat, caller)
        if body.again and not (body.chat and self._catalog.turns(body.chat)):
            raise InputError("again is for a chat that has a turn: there is no answer to replace")
        run = Run(
            id=f"run-{secrets.token_hex(8)}",
            caller=caller,
            body=body,
            client=call.client,
            told=told,
        )
        if self._closing:
            raise HttpError(503, "the server is shutting down")
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
        """Return a run that is in memory, or None where it is kept as a record or not at all."""
        run = self._runs.get(run_id)
        seen = run is not None and may_see(caller, run.caller, run.body.collection)
        return run if seen else None

    def shown(self, run_id: str, caller: Caller) -> dict[str, Any]:
        """Return a run as the interface shows it.

        Raises:
            NotFound: There is none that the caller may see.
        """
        run = self.get(run_id, caller)
        if run is not None:
            return run.shown()
        record = self._catalog.record(_KIND, run_id)
        if record is None or not _may_see_record(caller, record):
            raise NotFound(f"there is no run {run_id!r}")
        return _without_asker(record.body)

    def note(self, run_id: str, caller: Caller, name: str, value: Any) -> None:
        """Keep what was found out about a run that has ended, beside what it was."""
        run = self.get(run_id, caller)
        if run is not None:
            run.about = {**run.about, name: value}
        record = self._catalog.record(_KIND, run_id)
        if record is not None:
            self._catalog.put_record(replace(record, body={**record.body, name: value}))

    def list(
        self, caller: Caller, *, chat: str = "", before: datetime | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Return the caller's runs without their events, the latest first."""
        found: list[dict[str, Any]] = []
        left = {"events", "candidates", "prompt", "answer", "timings"}
        with self._lock:
            live = [run for run in self._runs.values() if run.at_work]
        rows = [
            (run.at, run.shown())
            for run in live
            if may_see(caller, run.caller, run.body.collection)
        ]
        records = self._catalog.records(_KIND, owner=caller.user, before=before, limit=1000)
        known = {run.id for run in live}
        rows += [
            (record.at, _without_asker(record.body))
            for record in records
            if record.id not in known and _may_see_record(caller, record)
        ]
        for at, body in sorted(rows, key=lambda row: row[0], reverse=True):
            if (not chat or body.get("chat") == chat) and (before is None or at < before):
                found.append({key: value for key, value in body.items() if key not in left})
        return found[:limit]

    def close(self) -> None:
        """Cancel what runs, and wait for it a while."""
        with self._lock:
            self._closing = True
            runs, threads = list(self._runs.values()), list(self._threads)
        for run in runs:
            run.cancel.set()
        for thread in threads:
            thread.join(5)

    def _forget(self) -> None:
        over = [key for key, run in self._runs.items() if not run.at_work]
        for key in over[: max(0, len(over) - _KEPT)]:
            del self._runs[key]

    def _work(self, run: Run) -> None:
        run.say("run", {"run": run.id})
        try:
            run.noted = True
            self._catalog.put_record(self._record_of(run, kind=_AT_WORK))
            self._answer(run)
        except Exception as error:
            run.error = error
            cancelled = run.cancel.is_set() or isinstance(error, Cancelled)
            run.error = HttpError(503, GIVEN_UP) if cancelled else error
            state = "cancelled" if cancelled else "failed"
            self._leave(run)
            run.say("error", failure_of(run.error).body, state=state)
            self._record(run)
        finally:
            self._note_ended(run)
            self._leave(run)
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _note_ended(self, run: Run) -> None:
        """Remember it as at work no more, once, so that no restart takes it for cut off."""
        if run.noted:
            with suppress(RagstackError):
                self._catalog.remove_records(_AT_WORK, [run.id])
                run.noted = False

    def _leave(self, run: Run) -> None:
        """Give the caller's place back, once: who heard the end may ask again at once."""
        if run.counted:
            run.counted = False
            self._service.guard.answering.end(run.caller.limited_as)

    def _answer(self, run: Run) -> None:
        service, begun = self._service, time.monotonic()
        asked: list[AskedOnce] = []
        named = service.stack.parts.generator_named(run.body.model) if run.body.model else None
        manner = Serving(run.caller.user or run.client, service.deadline_s, run.cancel)
        with (
            service.generator.serving(manner, other=named, asked=asked),
            service.stack.told(run.told),
        ):
            found: Retrieved | None = None
            answer: Answer | None = None
            seen = Seen()
            for event in self._events(run, seen):
                if run.cancel.is_set() or _is_cut(event):
                    raise Cancelled(GIVEN_UP)
                found = event if isinstance(event, Retrieved) else found
                answer = event if isinstance(event, Answer) else answer
                _tell(run, event)
            if answer is None:
                raise Cancelled(GIVEN_UP)
            run.answer = {"run": run.id, **answer_shown(answer)}
            run.say("citations", {"citations": citations_shown(answer)})
            run.about = self._about(answer, asked, begun)
            passages = found.passages if found is not None else answer.passages
            run.about["candidates"] = candidates_of(seen, passages, answer)
        if run.body.chat:
            chats.note(service.stack, run.body, run.caller, run.id)
        self._record(run, state="done")
        self._note_ended(run)
        self._leave(run)
        run.say("done", run.answer, state="done")

    def _events(self, run: Run, seen: Seen) -> Iterator[Event]:
        body = run.body
        search = Search(
            None, body.where, run.caller.asker, body.collection, body.transforms, seen=seen
        )
        events = self._service.stack.answering(
            body.question,
            search,
            Manner(body.style, body.quotes),
            chat=body.chat or "",
            again=body.again,
        )
        return self._service.guard.observer.answer(events, body.collection)

    def _about(self, answer: Answer, asked: Sequence[AskedOnce], begun: float) -> dict[str, Any]:
        written = [one for one in asked if one.kind == "write"] or list(asked)
        last = written[-1] if written else None
        usage = last.usage if last else None
        return {
            "model": self._service.generator.name,
            "prompt": {
                "messages": [{"role": m.role, "content": m.text} for m in last.messages]
                if last
                else [],
                "tokens": usage.prompt_tokens if usage else 0,
            },
            "timings": _timings(answer, asked, begun),
        }

    def _record(self, run: Run, state: str = "") -> None:
        try:
            self._catalog.put_record(self._record_of(run, state))
        except RagstackError:
            if state:
                raise

    def _record_of(self, run: Run, state: str = "", *, kind: str = _KIND) -> Record:
        # The text stands in the answer; its pieces as they came would double the record.
        body = plain(run.shown())
        body["events"] = [one for one in body["events"] if one["event"] in _EVENTS]
        body |= {"state": state or run.state, "asker": list(run.caller.asker)}
        return Record(kind, run.id, body, run.at, run.caller.user)

    def _note_stopped(self) -> None:
        """Keep the runs that a server was at when it was killed, as failed."""
        for record in self._catalog.records(_AT_WORK, limit=10_000):
            if self._catalog.record(_KIND, record.id) is None:
                events = list(record.body.get("events", ()))
                told = failure_of(HttpError(503, _KILLED)).body
                events.append({"id": len(events) + 1, "event": "error", "data": told})
                body = {**record.body, "state": "failed", "events": events}
                self._catalog.put_record(replace(record, kind=_KIND, body=body))
            self._catalog.remove_records(_AT_WORK, [record.id])


def may_see(caller: Caller, owner: Caller, collection: str) -> bool:
    """Return whether a caller may see a run: their own, with every right it was asked with.

    What was answered may show what only who asked may read; so nobody else sees it, who
    administers the server neither, and who has left a group no more.
    """
    same = owner.user == caller.user and set(owner.asker) <= set(caller.asker)
    return same and caller.sees(collection)


def _may_see_record(caller: Caller, record: Record) -> bool:
    groups = tuple(name for name in record.body.get("asker", ()) if name != record.owner)
    return may_see(caller, Caller(record.owner, groups), str(record.body.get("collection")))


def _without_asker(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "asker"}


def _is_cut(event: Event) -> bool:
    return isinstance(event, Delta) and event.finish == "cancelled"


def _tell(run: Run, event: Event) -> None:
    if isinstance(event, Retrieved):
        run.say("retrieval", {"question": event.question, "trace": trace_json(event.trace)})
        run.say("passages", {"passages": [passage_shown(one) for one in event.passages]})
    elif isinstance(event, Delta) and (event.text or event.reasoning):
        run.say("token", {"text": event.text, "reasoning": event.reasoning})


def _timings(answer: Answer, asked: Sequence[AskedOnce], begun: float) -> list[dict[str, Any]]:
    """Return what took how long, in seconds since the run began; steps follow each other."""
    rows, at = [], 0.0
    for step in answer.trace[:-1]:
        rows.append(
            {"name": step.name, "start_s": round(at, 4), "end_s": round(at + step.seconds, 4)}
        )
        at += step.seconds
    at = max(at, answer.seconds.get("retrieve", 0.0))
    for name, seconds in answer.seconds.items():
        if name != "retrieve":
            rows.append({"name": name, "start_s": round(at, 4), "end_s": round(at + seconds, 4)})
            at += seconds
    for one in asked:
        rows.append(
            {
                "name": f"model: {one.kind}",
                "start_s": round(one.begun - begun, 4),
                "end_s": round(max(one.ended, one.begun) - begun, 4),
            }
        )
    return rows
