"""What a search and an ingest say in, the JSON that server and client speak out, and back.

The rest of the forms, of values that know no pipeline, are in ``ragstack.types.wire``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ragstack.filters import parse, written
from ragstack.pipeline.facets import Facet
from ragstack.pipeline.find import Search
from ragstack.pipeline.ingest import Step
from ragstack.pipeline.transforms.run import Found
from ragstack.protocols import Plan, Query
from ragstack.types.plain import plain, read
from ragstack.types.wire import passage_json, passage_of, trace_json, trace_of, turn_json

__all__ = [
    "facet_json",
    "facet_of",
    "found_json",
    "found_of",
    "plan_json",
    "plan_of",
    "search_json",
    "step_json",
    "step_of",
]

Json = Mapping[str, Any]


def search_json(search: Search) -> dict[str, Any]:
    """Return how a question is searched, without who asks: the other side knows by whose key it is.

    What is not said is left to the other side's configuration.

    Raises:
        InputError: A condition that has no dict form.
    """
    today = None if search.today is None else search.today.isoformat()
    said = {
        "k": search.k,
        "where": written(search.where),
        "transforms": None if search.transforms is None else list(search.transforms),
        "conversation": [turn_json(turn) for turn in search.conversation] or None,
        "today": today,
    }
    return {"collection": search.collection} | {
        name: value for name, value in said.items() if value is not None
    }


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return what was searched, its condition in the dict form of filters."""
    bare = plain(replace(plan, where=None))
    return {**bare, "where": written(plan.where)}


def plan_of(data: Json) -> Plan:
    """Return the plan of ``plan_json``."""
    bare = read(Plan, {**data, "where": None, "queries": []}, lenient=True)
    queries = tuple(read(Query, query, lenient=True) for query in data["queries"])
    return replace(bare, where=parse(data.get("where")), queries=queries)


def found_json(found: Found) -> dict[str, Any]:
    """Return what was found for a question."""
    return {
        "passages": [passage_json(passage) for passage in found.passages],
        "plan": plan_json(found.plan),
        "verdict": found.verdict,
        "text": found.text,
        "trace": trace_json(found.trace),
        "told": list(found.told),
    }


def found_of(data: Json) -> Found:
    """Return what ``found_json`` was given."""
    bare = {key: data[key] for key in ("verdict", "text", "told") if key in data}
    empty = {"passages": [], "plan": {"question": "", "queries": []}}
    return replace(
        read(Found, bare | empty, lenient=True),
        passages=tuple(passage_of(passage) for passage in data["passages"]),
        plan=plan_of(data["plan"]),
        trace=trace_of(data.get("trace", ())),
    )


def facet_json(facet: Facet) -> dict[str, Any]:
    """Return a value of a field and how many documents hold it."""
    found: dict[str, Any] = plain(facet)
    return found


def facet_of(data: Json) -> Facet:
    """Return the facet of ``facet_json``."""
    return read(Facet, data, lenient=True)


def step_json(step: Step) -> dict[str, Any]:
    """Return what an ingest has just done."""
    found: dict[str, Any] = plain(step)
    return found


def step_of(data: Json) -> Step:
    """Return the step of ``step_json``."""
    return read(Step, data, lenient=True)
