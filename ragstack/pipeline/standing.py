"""An index as it lies in its folder: what it has to be opened as, and whether it can be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ragstack import registry
from ragstack.config import Plugin
from ragstack.errors import IndexStateError
from ragstack.index.folder import standing_kind
from ragstack.protocols import Catalog, Chunker, Embedder, Index
from ragstack.types import Document

__all__ = ["emptied", "fault", "late", "make_index", "standing"]


def standing(plugin: Plugin, folder: Path) -> Plugin:
    """Return what a slot's index is read as: one that ``bm25`` will replace, as what it is.

    A base of an earlier version has ``tantivy`` there; mending builds the other from the catalog,
    and until then searches find what they found.
    """
    if plugin.use != "bm25" or standing_kind(folder) != "tantivy":
        return plugin
    takes = registry.options_of(registry.load("indexes", "tantivy"))
    return Plugin("tantivy", {name: v for name, v in plugin.options.items() if name in takes})


def emptied(made: Iterable[str], catalog: Catalog) -> list[str]:
    """Return the collections whose indexes are open and which are about to lose their folders.

    Args:
        made: Names of parts; those of indexes are ``indexes:COLLECTION@GENERATION``.
    """
    there = set(catalog.collections())
    opened = {name[8:].rpartition("@")[0] for name in made if name.startswith("indexes:")}
    return sorted(opened - there)


def fault(make: Callable[[], Index], catalog: Catalog, *, collection: str) -> str:
    """Return why an index has to be built anew; an empty string where it need not be."""
    try:
        index = make()
    except IndexStateError as error:
        return error.message
    try:
        position, size = index.position, len(index)
    except IndexStateError as error:
        return error.message
    finally:
        index.close()
    if position > catalog.position(collection=collection):
        return "it is ahead of the catalog"
    if size and position < catalog.floor(collection=collection):
        return "it missed changes that are forgotten"
    return ""


def late(
    chunker: Chunker, embedder: Embedder, document: Callable[[str], Document | None]
) -> Embedder | None:
    """Return the embedder of a chunker that wants its chunks read with what stands around them."""
    window = getattr(chunker, "late_window", None)
    if window is None:
        return None
    found: Embedder = registry.load("caches", "late")(embedder, document, window=window)
    return found


def make_index(
    plugin: Plugin,
    folder: Path,
    embedder: Embedder,
    token_embedder: Embedder,
    sparse: Callable[[], object],
    shelf: object,
) -> Any:
    """Return an index; the sparse embedder is made only for one that takes it."""
    given: dict[str, object] = {"folder": folder, "shelf": shelf}
    given |= {"embedder": embedder, "token_embedder": token_embedder}
    if "sparse_embedder" in registry.options_of(registry.load("indexes", plugin.use)):
        given["sparse_embedder"] = sparse()
    return registry.create("indexes", plugin.use, plugin.options, **given)
