"""Conversations of one's own: listed, searched, read, renamed, forgotten."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from ragstack_apps.server import chats
from ragstack_apps.server.bodies import TitleBody
from ragstack_apps.server.caller import Asks
from ragstack_apps.server.house import House

__all__ = ["router"]


def router(house: House) -> APIRouter:
    """Return ``/api/chats``."""
    routes = APIRouter(prefix="/api/chats", tags=["chats"])
    stack = house.stack

    @routes.get("", summary="Your conversations, the latest first")
    def listed(
        caller: Asks, q: Annotated[str, Query(max_length=1000, description="Words in it.")] = ""
    ) -> dict[str, Any]:
        return {"chats": chats.listed(stack, caller, q)}

    @routes.get("/{chat_id}", summary="A conversation")
    def one(chat_id: str, caller: Asks) -> dict[str, Any]:
        return chats.shown(stack, chat_id, caller)

    @routes.patch("/{chat_id}", summary="Give it a title")
    def rename(chat_id: str, body: TitleBody, caller: Asks) -> dict[str, Any]:
        chats.rename(stack, chat_id, caller, body.title)
        return chats.shown(stack, chat_id, caller)

    @routes.delete("/{chat_id}", summary="Forget it")
    def delete(chat_id: str, caller: Asks) -> dict[str, Any]:
        return {"removed": int(chats.delete(stack, chat_id, caller))}

    return routes
