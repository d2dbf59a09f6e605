"""What, beside the bytes of a source, decides how it is read, cut and embedded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ragstack import registry
from ragstack.config import Plugin
from ragstack.errors import EmbedderMismatch
from ragstack.pipeline.generations import Made, as_data, record
from ragstack.protocols import Catalog, DatedEmbedder, Embedder

__all__ = ["as_recorded", "check_embedder", "cutting", "reading", "record_embedder"]

_READING, _CUTTING = "1", "1"  # raised when the house's own part in it changes


def reading() -> str:
    """Return what decides how a source is read."""
    return repr((_READING, registry.load("readers", "fingerprint")()))


def cutting(chunk: Plugin, embed: Plugin, generate: Plugin) -> str:
    """Return what decides how a document is cut, in 16 hex digits."""
    plugins = [as_data(chunk), as_data(embed)]
    if chunk.options.get("source") == "generator":
        # Lines of context that another generator would write otherwise.
        plugins.append(as_data(generate))
    return hashlib.sha256(repr((_CUTTING, plugins)).encode()).hexdigest()[:16]


def record_embedder(catalog: Catalog, plugin: Plugin, embedder: Embedder) -> None:
    """Remember the embedder with the base; it never changes silently."""
    if catalog.setting("embedder") is None:
        settings = {**record({"embed": Made(plugin, plugin)}), "embedder": embedder.fingerprint}
        catalog.rename({}, settings=settings)


def as_recorded(catalog: Catalog, embedder: Embedder) -> Embedder:
    """Return the embedder with the vectors that the base has, where it still can give them."""
    recorded = catalog.setting("embedder")
    if recorded is None or not isinstance(embedder, DatedEmbedder):
        return embedder
    return embedder.as_of(recorded)


def check_embedder(catalog: Catalog, embedder: Embedder, folder: Path) -> None:
    """Refuse another embedder than the base was built with.

    Raises:
        EmbedderMismatch: It is another one.
    """
    recorded = catalog.setting("embedder")
    if recorded is not None and recorded != embedder.fingerprint:
        raise EmbedderMismatch(
            f"the base in {str(folder)!r} was built with the embedder {recorded!r}, "
            f"the configuration names {embedder.fingerprint!r}",
            hint="`ragstack reindex` builds it anew with the second; or set "
            "[embed] in ragstack.toml to the first",
        )
