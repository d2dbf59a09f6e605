"""What connectors yield, and how a person names what was ingested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ragstack.protocols import Connector
from ragstack.types import DocumentInfo, Failure, Gone, Source, document_id_of

__all__ = ["fetched", "is_named", "names_of"]


def fetched(
    connectors: Sequence[Connector], fail: Callable[[Failure], None]
) -> Iterator[Source | Gone]:
    """Yield what the connectors yield; what they could not read goes to ``fail``."""
    for connector in connectors:
        yield from connector.fetch()
        for failure in getattr(connector, "failures", ()):
            fail(failure)


def names_of(source: str | Path) -> frozenset[str]:
    """Return every name under which a source that a person names may be stored."""
    text = str(source)
    return frozenset({text, Path(text).resolve().as_posix()})


def is_named(info: DocumentInfo, names: frozenset[str]) -> bool:
    """Return whether a document is named: by its id, its address, or a folder that holds it."""
    if info.id in names or info.source in names or document_id_of(info.source) in names:
        return True
    parents = {parent.as_posix() for parent in Path(info.source).parents}
    return not parents.isdisjoint(names - {"/", "."})
