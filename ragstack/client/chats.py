"""A conversation that a server keeps, with the methods of ``Chat``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ragstack.client.asking import asked, named, question_json
from ragstack.client.connection import Connection
from ragstack.errors import NotFound
from ragstack.filters import Where
from ragstack.pipeline.chat import last_answer
from ragstack.types import Answer, Event, Turn
from ragstack.types.wire import parsed, turn_of

__all__ = ["RemoteChat"]


class RemoteChat:
    """A stored conversation: the server rewrites a follow-up so that it stands alone."""

    def __init__(
        self,
        connection: Connection,
        chat_id: str,
        *,
        collection: str,
        transforms: Sequence[str] | None,
    ) -> None:
        self.id = chat_id
        self._connection = connection
        self._asked = {
            "chat": chat_id,
            "collection": collection,
            "transforms": None if transforms is None else list(transforms),
        }

    def turns(self) -> list[Turn]:
        """Return the turns so far, oldest first; none where there is no such chat yet."""
        try:
            found = self._connection.get(f"/api/chats/{named(self.id)}")
        except NotFound:
            return []
        return parsed(_turns, found)

    def ask(
        self,
        question: str,
        *,
        style: str | None = None,
        where: Where | None = None,
        quotes: bool | None = None,
        again: bool = False,
    ) -> Answer:
        """Return the answer to a question that may refer to what was said before."""
        events = self.stream(question, style=style, where=where, quotes=quotes, again=again)
        return last_answer(events)

    def stream(
        self,
        question: str,
        *,
        style: str | None = None,
        where: Where | None = None,
        quotes: bool | None = None,
        again: bool = False,
    ) -> Iterator[Event]:
        """Yield the events of the answer; the server stores the turn when it is complete.

        Args:
            again: In place of the last turn.
        """
        more = {**self._asked, "again": True} if again else self._asked
        body = question_json(question, where, style=style, quotes=quotes, **more)
        return asked(self._connection, body)

    def rename(self, title: str) -> None:
        """Give the conversation a title.

        Raises:
            NotFound: There is no such chat.
        """
        self._connection.call("PATCH", f"/api/chats/{named(self.id)}", body={"title": title})

    def delete(self) -> bool:
        """Forget the conversation; return whether there was one."""
        try:
            found = self._connection.call("DELETE", f"/api/chats/{named(self.id)}")
        except NotFound:
            return False
        return parsed(lambda data: bool(data["removed"]), found)


def _turns(data: Any) -> list[Turn]:
    return [turn_of(turn) for turn in data["turns"]]
