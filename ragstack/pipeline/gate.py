"""The choice of what to do with near duplicates in, what looks for them out.

What compares texts is loaded only where it is asked for: every command would wait for numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from ragstack import registry
from ragstack.errors import ConfigError
from ragstack.protocols import Catalog
from ragstack.types import Document, NearDuplicate

__all__ = ["FILE_NAME", "THRESHOLD", "Gate", "gated"]

FILE_NAME = "signatures.sqlite"
THRESHOLD = 0.8
_NEAR = ("keep", "report", "skip")


class Gate(Protocol):
    """What an ingest asks of each document; see ``duplicates.Gate``."""

    def near(self, document: Document) -> NearDuplicate | None:
        """Return the likest document there is, if one is alike."""
        ...

    def took(self, document: Document) -> None:
        """Remember a document that was stored."""
        ...


@contextmanager
def gated(near: str, catalog: Catalog, folder: Path, *, collection: str) -> Iterator[Gate | None]:
    """Give what looks for near duplicates; None where ``near`` is ``keep``.

    Raises:
        ConfigError: ``near`` is none of ``keep``, ``report`` and ``skip``.
    """
    if near not in _NEAR:
        raise ConfigError(f"near_duplicates is one of {', '.join(_NEAR)}, got {near!r}")
    if near == "keep":
        yield None
        return
    made = registry.load("near_duplicates", "gate")(catalog, folder, collection=collection)
    with closing(made) as gate:
        yield gate
