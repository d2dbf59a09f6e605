"""Another framework's items in, the same items found by question or id out.

Each item is a document of a base, so that it is searched and cited like any other, and beside it a
record that holds it as it came, so that it goes back unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ragstack import Gone, Passage, Source, Stack
from ragstack.errors import InputError
from ragstack.types import READ_TEXT, Record, Scalar, document_id_of

__all__ = ["Item", "Kept", "Question", "scalars"]

_EVERYTHING = 1_000_000_000
_MOST = 10_000  # passages looked through for k different items


@dataclass(frozen=True, slots=True)
class Item:
    """One item of another framework.

    Attributes:
        text: What is searched; a blank one is kept and never found by question.
        meta: Its fields that filters can use.
        body: The whole of it, as JSON holds it.
    """

    id: str
    text: str
    meta: Mapping[str, Scalar]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for.

    Attributes:
        k: Items wanted.
        where: A condition, in the dict form of ``ragstack.filters.parse``.
        asker: The user who asks and their groups.
    """

    text: str
    k: int
    where: Mapping[str, object] | None = None
    asker: tuple[str, ...] = ()


class Kept:
    """Items of one framework in one collection of a base.

    Args:
        framework: Its name: the scheme of the items' addresses and the kind of their records.
    """

    def __init__(self, stack: Stack, framework: str, collection: str) -> None:
        if not hasattr(stack, "parts"):
            raise InputError(
                f"a store writes to a base in a folder, got {stack!r}",
                hint="open it with Stack.open; a client can be given to a retriever",
            )
        self.stack = stack
        self.collection = collection
        self._scheme = f"{framework}:"
        self._kind = f"{framework}:{collection}"

    def put(self, items: Sequence[Item]) -> None:
        """Store the items in place of those of their ids; the last of two with one id wins.

        Raises:
            InputError: What cannot be stored; those before it are.
        """
        last = {item.id: item for item in items}
        catalog, now = self.stack.parts.catalog, datetime.now(UTC)
        for place, item in enumerate(last.values()):
            if not item.id:
                raise InputError("an item has an id that is not empty")
            try:
                at = now + timedelta(microseconds=place)  # so that their order is kept
                catalog.put_record(Record(self._kind, item.id, dict(item.body), at))
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"the item {item.id!r} holds what JSON cannot: {error}",
                    hint="metadata are text, numbers, booleans, None, and lists and dicts of these",
                ) from error
        report = self.stack.ingest(
            _Given([self._sent(item) for item in last.values()]), collection=self.collection
        )
        if report.failed:
            first = report.failed[0]
            raise InputError(f"{len(report.failed)} items were not stored: {first.reason}")

    def get(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the bodies of those that are there, in the order of ``ids``."""
        records = (self.stack.parts.catalog.record(self._kind, one) for one in ids)
        return [record.body for record in records if record is not None]

    def every(self) -> list[Mapping[str, Any]]:
        """Return the body of each item, in the order in which they came."""
        found = self.stack.parts.catalog.records(self._kind, limit=_EVERYTHING)
        return [record.body for record in sorted(found, key=lambda record: (record.at, record.id))]

    def ids(self) -> list[str]:
        """Return the id of each item, sorted."""
        found = self.stack.parts.catalog.records(self._kind, limit=_EVERYTHING)
        return sorted(record.id for record in found)

    def delete(self, ids: Sequence[str]) -> int:
        """Forget these; the unknown are ignored. Return how many were there."""
        if not ids:
            return 0
        gone = [self._scheme + one for one in ids]
        self.stack.ingest(_Given([Gone(uri) for uri in gone]), collection=self.collection)
        return self.stack.parts.catalog.remove_records(self._kind, list(ids))

    def search(self, question: Question) -> list[tuple[Mapping[str, Any], Passage]]:
        """Return at most ``k`` different items, best first, each with its best passage."""
        if not question.text.strip() or question.k < 1:
            return []
        wanted = question.k
        while True:
            passages = self.stack.search(
                question.text,
                k=wanted,
                where=question.where,
                asker=question.asker,
                collection=self.collection,
            )
            found = self._items(passages)[: question.k]
            # A long item may fill many places; then more are looked at.
            if len(found) == question.k or len(passages) < wanted or wanted >= _MOST:
                return found
            wanted = min(wanted * 4, _MOST)

    def _items(self, passages: Sequence[Passage]) -> list[tuple[Mapping[str, Any], Passage]]:
        best: dict[str, Passage] = {}
        for passage in passages:
            if passage.source.startswith(self._scheme):
                best.setdefault(passage.source.removeprefix(self._scheme), passage)
        catalog = self.stack.parts.catalog
        records = {one: catalog.record(self._kind, one) for one in best}
        return [(record.body, best[one]) for one, record in records.items() if record is not None]

    def _sent(self, item: Item) -> Source | Gone:
        uri = self._scheme + item.id
        if not item.text.strip():
            return Gone(uri)
        data = item.text.encode("utf-8", "replace")
        return Source(uri, data, media_type=READ_TEXT, meta=item.meta)

    def document_id(self, item_id: str) -> str:
        """Return the id of the document that an item is in the base."""
        return document_id_of(self._scheme + item_id)


class _Given:
    """A connector to what is given."""

    def __init__(self, sources: Sequence[Source | Gone]) -> None:
        self._sources = sources

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield each; nothing of it has a date."""
        yield from self._sources


def scalars(
    meta: Mapping[str, Any], keep: Callable[[str], bool] = lambda _name: True
) -> dict[str, Scalar]:
    """Return the fields that a filter can use: text, finite numbers, booleans."""
    return {
        str(name): value
        for name, value in meta.items()
        if isinstance(value, (str, int, float))
        and not (isinstance(value, float) and not math.isfinite(value))
        and keep(str(name))
    }
