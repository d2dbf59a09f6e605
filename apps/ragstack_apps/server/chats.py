"""Conversations with their records (``chat_info``): titles, owners, which run made which turn."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ragstack import Stack
from ragstack.errors import NotFound
from ragstack.pipeline.chat import may_open
from ragstack.types import Record, Turn
from ragstack_apps.server.bodies import AskBody
from ragstack_apps.server.caller import Caller

__all__ = ["check", "delete", "listed", "note", "rename", "shown"]

_KIND = "chat_info"
_TITLE = 80  # characters of the first question that name a conversation


def check(stack: Stack, chat_id: str, caller: Caller) -> Record | None:
    """Return what is known of a chat that the caller may open; None for one that is new.

    Raises:
        NotFound: It is somebody else's.
    """
    catalog = stack.parts.catalog
    record = catalog.record(_KIND, chat_id)
    owner = record.owner if record else ""
    known = record is not None or bool(catalog.turns(chat_id))
    collection = str(record.body.get("collection", "default")) if record else "default"
    mine = owner == caller.user and caller.sees(collection)
    if known and not (mine and may_open(catalog, chat_id, caller.asker)):
        raise NotFound(f"there is no chat {chat_id!r} for who asks")
    return record


def note(stack: Stack, body: AskBody, caller: Caller, run_id: str) -> None:
    """Remember which run made the turn that was stored last."""
    assert body.chat is not None
    catalog = stack.parts.catalog
    turns = catalog.turns(body.chat)
    record = catalog.record(_KIND, body.chat)
    known: dict[str, Any] = dict(record.body) if record else {}
    runs = list(known.get("runs", []))
    runs += [""] * (len(turns) - len(runs))
    earlier = {str(name): list(some) for name, some in dict(known.get("earlier", {})).items()}
    if turns:
        last = len(turns) - 1
        if body.again and runs[last]:
            # What it answered before can still be looked at, and compared.
            earlier[run_id] = [*earlier.pop(runs[last], []), runs[last]]
        runs[last] = run_id
    known |= {"title": known.get("title") or _title(turns), "runs": runs, "earlier": earlier}
    known["collection"] = body.collection
    catalog.put_record(Record(_KIND, body.chat, known, datetime.now(UTC), caller.user))


def listed(stack: Stack, caller: Caller, words: str = "") -> list[dict[str, Any]]:
    """Return the caller's chats, the latest first; those that have every one of some words."""
    catalog = stack.parts.catalog
    known = {record.id: record for record in catalog.records(_KIND, limit=100_000)}
    wanted = words.casefold().split()
    found = []
    for chat_id in stack.chats(asker=caller.asker):
        record = known.get(chat_id)
        if (record.owner if record else "") != caller.user:
            continue
        if record and not caller.sees(str(record.body.get("collection", "default"))):
            continue
        turns = catalog.turns(chat_id)
        title = str(record.body["title"]) if record else _title(turns)
        said = " ".join([title, *(f"{t.question} {t.answer}" for t in turns)]).casefold()
        if all(word in said for word in wanted):
            at = record.at.isoformat() if record else None
            found.append({"id": chat_id, "title": title, "updated": at, "turns": len(turns)})
    return found


def shown(stack: Stack, chat_id: str, caller: Caller) -> dict[str, Any]:
    """Return a chat with its turns.

    Raises:
        NotFound: There is none that the caller may open.
    """
    record = check(stack, chat_id, caller)
    turns = stack.parts.catalog.turns(chat_id)
    if record is None and not turns:
        raise NotFound(f"there is no chat {chat_id!r} for who asks")
    runs = list(record.body.get("runs", [])) if record else []
    runs += [""] * (len(turns) - len(runs))
    earlier = dict(record.body.get("earlier", {})) if record else {}
    return {
        "id": chat_id,
        "title": str(record.body["title"]) if record else _title(turns),
        "collection": str(record.body.get("collection", "default")) if record else "default",
        "turns": [
            {
                "question": turn.question,
                "answer": turn.answer,
                "run": run or None,
                "earlier": earlier.get(run, []),
            }
            for turn, run in zip(turns, runs, strict=False)
        ],
    }


def rename(stack: Stack, chat_id: str, caller: Caller, title: str) -> None:
    """Give a chat a title.

    Raises:
        NotFound: There is none that the caller may open.
    """
    shown(stack, chat_id, caller)
    record = check(stack, chat_id, caller)
    body = {**(record.body if record else {}), "title": title}
    at = record.at if record else datetime.now(UTC)
    stack.parts.catalog.put_record(Record(_KIND, chat_id, body, at, caller.user))


def delete(stack: Stack, chat_id: str, caller: Caller) -> bool:
    """Forget a chat; return whether there was one.

    Raises:
        NotFound: It is somebody else's.
    """
    check(stack, chat_id, caller)
    gone = stack.chat(chat_id, asker=caller.asker).delete()
    return bool(stack.parts.catalog.remove_records(_KIND, [chat_id])) or gone


def _title(turns: list[Turn]) -> str:
    first = " ".join(turns[0].question.split()) if turns else ""
    return first if len(first) <= _TITLE else first[: _TITLE - 1] + "…"
