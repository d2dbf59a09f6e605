"""Searches: passages for a question, for many, and all that is told of how they were found."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ragstack.pipeline.find import Search
from ragstack.pipeline.seen import Seen
from ragstack.pipeline.wire import found_json
from ragstack_apps.server.bodies import SearchBody, SearchManyBody
from ragstack_apps.server.caller import Reads, known_collection
from ragstack_apps.server.candidates import candidates_of
from ragstack_apps.server.codec import passage_shown
from ragstack_apps.server.house import House

__all__ = ["router"]


def router(house: House) -> APIRouter:
    """Return ``/api/search``, ``/api/search_many`` and ``/api/find``."""
    routes = APIRouter(prefix="/api", tags=["search"])
    stack = house.stack

    @routes.post("/search", summary="The best passages for a question")
    def search(body: SearchBody, caller: Reads) -> dict[str, Any]:
        found = stack.search(
            body.question,
            k=body.k,
            where=body.where,
            asker=caller.asker,
            collection=known_collection(stack, caller, body.collection),
            min_score=body.min_score,
            transforms=body.transforms,
        )
        return {"passages": [passage_shown(passage) for passage in found]}

    @routes.post("/search_many", summary="The best passages for each of many questions")
    def search_many(body: SearchManyBody, caller: Reads) -> dict[str, Any]:
        found = stack.search_many(
            body.questions,
            k=body.k,
            where=body.where,
            asker=caller.asker,
            collection=known_collection(stack, caller, body.collection),
            min_score=body.min_score,
        )
        return {"passages": [[passage_shown(one) for one in some] for some in found]}

    @routes.post("/find", summary="Passages, and how they were found")
    def find(body: SearchBody, caller: Reads) -> dict[str, Any]:
        collection = known_collection(stack, caller, body.collection)
        seen = Seen()
        search = Search(body.k, body.where, caller.asker, collection, body.transforms, seen=seen)
        found = stack.find(body.question, search)
        passages = [passage_shown(passage) for passage in found.passages]
        candidates = candidates_of(seen, found.passages, None)
        return {**found_json(found), "passages": passages, "candidates": candidates}

    return routes
