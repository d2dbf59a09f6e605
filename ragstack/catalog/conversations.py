"""Turns of conversations in, the same turns out. Knows nothing of models and prompts."""

from __future__ import annotations

import sqlite3

from ragstack.catalog.codec import decode, encode
from ragstack.errors import InputError
from ragstack.types import Turn

__all__ = ["append_turn", "chats", "delete_chat", "replace_turn", "set_summary", "summary", "turns"]


def turns(connection: sqlite3.Connection, chat_id: str) -> list[Turn]:
    """Return a chat's turns, oldest first."""
    found = connection.execute(
        "SELECT question, answer, standalone FROM turns"
        " WHERE chat = (SELECT key FROM chats WHERE id = ?) ORDER BY key",
        (encode(chat_id),),
    )
    return [Turn(*(decode(part) for part in row)) for row in found]


def append_turn(connection: sqlite3.Connection, chat_id: str, turn: Turn) -> None:
    """Add a turn at the end of a chat, which begins with its first turn."""
    if not chat_id:
        raise InputError("a chat needs an id that is not empty")
    connection.execute(
        "INSERT INTO chats (id, used) VALUES (?, (SELECT coalesce(max(used), 0) + 1 FROM chats))"
        " ON CONFLICT (id) DO UPDATE SET used = excluded.used",
        (encode(chat_id),),
    )
    connection.execute(
        "INSERT INTO turns (chat, question, answer, standalone)"
        " VALUES ((SELECT key FROM chats WHERE id = ?), ?, ?, ?)",
        (encode(chat_id), encode(turn.question), encode(turn.answer), encode(turn.standalone)),
    )


def replace_turn(connection: sqlite3.Connection, chat_id: str, turn: Turn) -> None:
    """Put a turn in place of a chat's last; forget a summary that covers all of the chat."""
    key, count = connection.execute(
        "SELECT max(key), count(*) FROM turns WHERE chat = (SELECT key FROM chats WHERE id = ?)",
        (encode(chat_id),),
    ).fetchone()
    if not count:
        raise InputError(f"the chat {chat_id!r} has no turn to replace")
    connection.execute(
        "UPDATE turns SET question = ?, answer = ?, standalone = ? WHERE key = ?",
        (encode(turn.question), encode(turn.answer), encode(turn.standalone), key),
    )
    connection.execute(
        "UPDATE chats SET used = (SELECT max(used) + 1 FROM chats),"
        " summary = CASE WHEN covers < ?1 THEN summary ELSE ?2 END,"
        " covers = CASE WHEN covers < ?1 THEN covers ELSE 0 END WHERE id = ?3",
        (count, encode(""), encode(chat_id)),
    )


def summary(connection: sqlite3.Connection, chat_id: str) -> tuple[str, int]:
    """Return a chat's summary and how many turns it covers."""
    found = connection.execute(
        "SELECT summary, covers FROM chats WHERE id = ?", (encode(chat_id),)
    ).fetchone()
    return (decode(found[0]), int(found[1])) if found else ("", 0)


def set_summary(connection: sqlite3.Connection, chat_id: str, text: str, covers: int) -> None:
    """Store a summary of a chat's first ``covers`` turns."""
    (count,) = connection.execute(
        "SELECT count(*) FROM turns WHERE chat = (SELECT key FROM chats WHERE id = ?)",
        (encode(chat_id),),
    ).fetchone()
    if not 0 <= covers <= count:
        raise InputError(
            f"a summary cannot cover {covers!r} turns: the chat {chat_id!r} has {count}"
        )
    connection.execute(
        "UPDATE chats SET summary = ?, covers = ? WHERE id = ?",
        (encode(text), covers, encode(chat_id)),
    )


def chats(connection: sqlite3.Connection) -> list[str]:
    """Return the ids of all chats, the latest used first."""
    return [decode(row[0]) for row in connection.execute("SELECT id FROM chats ORDER BY used DESC")]


def delete_chat(connection: sqlite3.Connection, chat_id: str) -> bool:
    """Forget a chat and its turns; return whether it was there."""
    return connection.execute("DELETE FROM chats WHERE id = ?", (encode(chat_id),)).rowcount > 0
