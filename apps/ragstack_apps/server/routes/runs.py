"""Answers that are made or were: listed, shown for Inspect, followed, cancelled, judged."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from ragstack.types import Record
from ragstack_apps.server.attributing import attributed
from ragstack_apps.server.bodies import AttributionBody, FeedbackBody
from ragstack_apps.server.caller import Administers, Asks, Reads
from ragstack_apps.server.calls import Call
from ragstack_apps.server.house import House
from ragstack_apps.server.routes.ask import event_failed
from ragstack_apps.server.story import Story
from ragstack_apps.server.streams import EventStream, Told, named_event

__all__ = ["followed", "router"]


def router(house: House) -> APIRouter:
    """Return ``/api/runs`` and ``/api/feedback``."""
    routes = APIRouter(prefix="/api", tags=["runs"])
    catalog = house.stack.parts.catalog

    @routes.get("/runs", summary="Your runs, the latest first")
    def runs(
        caller: Reads,
        chat: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        before: Annotated[datetime | None, Query(description="Only runs before this.")] = None,
    ) -> dict[str, Any]:
        moment = before.astimezone(UTC) if before else None
        return {"runs": house.runs.list(caller, chat=chat, before=moment, limit=limit)}

    @routes.get("/runs/{run_id}", summary="One run, from its question to its answer")
    def run(run_id: str, caller: Reads) -> dict[str, Any]:
        return house.runs.shown(run_id, caller)

    @routes.get("/runs/{run_id}/events", response_model=None, summary="Follow a run")
    def events(
        run_id: str,
        caller: Reads,
        request: Request,
        after: Annotated[int, Query(ge=0, description="Number of the last event you have.")] = 0,
    ) -> EventStream:
        live = house.runs.get(run_id, caller)
        if live is not None:
            return followed(live, request, house.settings.ping_s, after)
        return EventStream(_past(house.runs.shown(run_id, caller), after), failed=event_failed)

    @routes.post("/runs/{run_id}/cancel", summary="Stop a run")
    def cancel(run_id: str, caller: Asks) -> dict[str, Any]:
        live = house.runs.get(run_id, caller)
        if live is None:
            return {"state": house.runs.shown(run_id, caller)["state"]}
        live.cancel.set()
        return {"state": live.state}

    @routes.post("/runs/{run_id}/attribution", summary="What each passage did for an answer")
    def attribution(
        run_id: str, body: AttributionBody, caller: Asks, request: Request
    ) -> dict[str, Any]:
        call: Call = request.state.call
        return attributed(house.service, house.runs, run_id, caller, call, exact=body.exact)

    @routes.post("/feedback", summary="Say what you think of an answer")
    def feedback(body: FeedbackBody, caller: Asks) -> dict[str, Any]:
        house.runs.shown(body.run, caller)
        told = {**body.model_dump(), "user": caller.user}
        record = Record("feedback", secrets.token_hex(8), told, datetime.now(UTC), caller.user)
        catalog.put_record(record)
        return {"id": record.id}

    @routes.get("/feedback", summary="What everybody thought, the latest first")
    def all_feedback(
        caller: Administers, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000
    ) -> dict[str, Any]:
        found = catalog.records("feedback", limit=limit)
        return {"feedback": [{"id": r.id, "at": r.at.isoformat(), **r.body} for r in found]}

    return routes


def followed(story: Story, request: Request, ping_s: float, after: int) -> EventStream:
    """Return the events of a story behind a number, and those to come."""
    call: Call = request.state.call

    def frames() -> Generator[bytes, None, None]:
        for told in story.follow(call.gone, after):
            yield named_event(told)

    return EventStream(frames(), failed=event_failed, ping_s=ping_s)


def _past(run: dict[str, Any], after: int) -> Generator[bytes, None, None]:
    """Yield the events of a run that only its record remembers."""
    last = max((int(one["id"]) for one in run["events"]), default=0)
    for one in run["events"]:
        if one["id"] > after and one["event"] != "error":
            yield named_event(Told(one["id"], one["event"], one["data"]))
    answer = run["answer"]
    if answer is not None:
        yield named_event(Told(last + 1, "passages", {"passages": answer["passages"]}))
        yield named_event(Told(last + 2, "token", {"text": answer["answer"], "reasoning": ""}))
        yield named_event(Told(last + 3, "citations", {"citations": answer["citations"]}))
        yield named_event(Told(last + 4, "done", answer))
    else:
        told = {"error": {"message": f"the run was {run['state']}", "type": "server_error"}}
        told = next((one["data"] for one in run["events"] if one["event"] == "error"), told)
        # Also who has seen more than is remembered is told that this is the end.
        yield named_event(Told(max(last, after) + 1, "error", told))
