"""Questions in, Hits on what a service answers at that moment out. Indexes nothing itself.

What is found goes on a shelf before it is a Hit, so that it can be read and cited like any chunk.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ragstack import registry
from ragstack.errors import ConfigError, IndexStateError, RagstackError
from ragstack.filters import Filter, matches
from ragstack.index.folder import check_search
from ragstack.protocols import Live
from ragstack.types import Chunk, Document, Hit, Source, document_id_of

__all__ = ["LiveIndex", "Shelf", "chunk_of", "live_id"]

_logger = logging.getLogger(__name__)


class Shelf(Protocol):
    """Where what a service answered is kept."""

    def keep(self, document: Document) -> None:
        """Keep a document, in place of what was kept under its id."""
        ...


class LiveIndex:
    """An Index that asks a service. It says it has no chunks, and takes none.

    Args:
        folder: Where it writes down how far the journal was gone through.
        shelf: Keeps what was found.
        ask: The service: ``use`` and its options, a plug-in of kind ``live``.
        most: Hits at most, whatever is asked for: services are slow and some charge.
        max_chars: Of one text; what is longer is cut at white space.
        readers: Users and groups who may see what the service says; empty is everyone.
        required: A service that fails makes the search fail; else that is logged, and what the
            other indexes find is the answer.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        *,
        folder: Path,
        shelf: Shelf,
        ask: Mapping[str, Any],
        most: int = 10,
        max_chars: int = 4_000,
        readers: Sequence[str] = (),
        required: bool = False,
    ) -> None:
        if not isinstance(ask, Mapping) or not isinstance(ask.get("use"), str):
            raise ConfigError(
                f"ask is {ask!r}; a table that names a live source was expected",
                hint='[index.web.ask] with use = "api" and its options',
            )
        options = {name: value for name, value in ask.items() if name != "use"}
        self._live: Live = registry.create("live", ask["use"], options)
        self._place = folder / "position.json"
        self._shelf = shelf
        self._most = most
        self._max_chars = max_chars
        self._readers = tuple(readers)
        self._required = required
        self._position = _read(self._place)

    @property
    def position(self) -> int:
        """Journal position of the last commit."""
        return self._position

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Take nothing: what the base holds, other indexes find."""

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Forget nothing."""

    def commit(self, position: int) -> None:
        """Write down that the journal was gone through so far."""
        self._place.parent.mkdir(parents=True, exist_ok=True)
        beside = self._place.with_suffix(".new")
        beside.write_text(json.dumps({"position": position}), "utf-8")
        os.replace(beside, self._place)
        self._position = position

    def search(
        self, queries: Sequence[str], *, k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return what the service finds for each question, in its order; the first has score 1.

        Raises:
            RagstackError: The service failed, and is required.
        """
        check_search(queries, k)
        return [self._asked(query, min(k, self._most), where) for query in queries]

    def __len__(self) -> int:
        """Return 0: nothing is indexed."""
        return 0

    def close(self) -> None:
        """Close the connection to the service, where it has one."""
        close = getattr(self._live, "close", None)
        if close is not None:
            close()

    def _asked(self, query: str, k: int, where: Filter | None) -> list[Hit]:
        if not query.strip() or k < 1:
            return []
        try:
            found = self._live.ask(query, k=k)
        except RagstackError as error:
            if self._required:
                raise
            _logger.warning("a live source found nothing: %s", error.message)
            return []
        hits: dict[str, Hit] = {}
        for source in found[:k]:
            document = self._document(source)
            if document is None or not matches(where, document.meta, document.readers):
                continue
            self._shelf.keep(document)
            chunk = chunk_of(document)
            hits.setdefault(chunk.id, Hit(chunk.id, 1.0 / (1 + len(hits))))
        return list(hits.values())

    def _document(self, source: Source) -> Document | None:
        text = source.data.decode("utf-8", "replace").strip()
        if len(text) > self._max_chars:
            text = text[: self._max_chars + 1].rsplit(None, 1)[0][: self._max_chars]
        if not text:
            return None
        meta = {**source.meta, "live": True}
        if source.modified is not None and "date" not in meta:
            meta["date"] = source.modified.isoformat()
        readers = (*self._readers, *source.readers)
        return Document(live_id(source.uri), text, source.uri, meta, readers=readers)


def chunk_of(document: Document) -> Chunk:
    """Return the one chunk of a document that a service gave: the whole of it."""
    return Chunk(
        document.id,
        document.version,
        0,
        len(document.text),
        document.text,
        meta=document.meta,
        readers=document.readers,
    )


def live_id(uri: str) -> str:
    """Return the id of what a service gave under an address, which the base may hold too."""
    return document_id_of(f"live {uri}")


def _read(place: Path) -> int:
    try:
        return int(json.loads(place.read_text("utf-8"))["position"])
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexStateError(f"{str(place)!r} cannot be read: {error}") from error
