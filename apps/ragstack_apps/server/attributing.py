"""A run that was answered in, what each of its passages did for the answer out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ragstack.cli.output import attribution_json
from ragstack.errors import NotFound
from ragstack.types.plain import plain
from ragstack.types.wire import answer_of
from ragstack_apps.server.assistants import assistant
from ragstack_apps.server.caller import Caller
from ragstack_apps.server.calls import Call
from ragstack_apps.server.errors import HttpError
from ragstack_apps.server.runs import Runs
from ragstack_apps.server.service import Service
from ragstack_apps.server.serving import Serving

__all__ = ["attributed"]


def attributed(
    service: Service, runs: Runs, run_id: str, caller: Caller, call: Call, *, exact: bool
) -> dict[str, Any]:
    """Return what ``Stack.attribute`` says of a run's answer, and keep it with the run.

    Raises:
        HttpError: The run has no answer, or the caller has as many written as may be.
        NotFound: There is no such run that the caller may see.
        UnsupportedCapability: The model gives no log-probabilities.
    """
    run = runs.shown(run_id, caller)
    if run["state"] != "done" or not run["answer"]:
        raise HttpError(409, f"the run {run_id!r} has no answer", code="no_answer")
    stack, wanted = service.stack, str(run["settings"].get("model") or "")
    other = stack.parts.generator_named(wanted) if wanted else None
    manner = Serving(caller.user or call.client, service.deadline_s, call.gone)
    told = ""
    with suppress(NotFound):  # it may be gone by now
        told = assistant(stack.parts.catalog, run["assistant"]).told if run["assistant"] else ""
    with (
        service.guard.answering.one(caller.limited_as),
        service.generator.serving(manner, other=other),
        stack.told(told),
    ):
        found = stack.attribute(
            _asked(run),
            answer_of(run["answer"]),
            style=run["style"],
            collection=run["collection"],
            exact=exact,
        )
    shown: dict[str, Any] = plain(attribution_json(found))
    runs.note(run_id, caller, "attribution", shown)
    return shown


def _asked(run: dict[str, Any]) -> str:
    """Return the question as it was answered: that of a conversation stands alone there."""
    said = [one["data"] for one in run["events"] if one["event"] == "retrieval"]
    return str(said[-1]["question"]) if said else str(run["question"])
