"""A Config in, the plug-ins it names out, each made when it is first needed and closed together."""

from __future__ import annotations

import logging
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ragstack import registry
from ragstack.config import Config, Plugin
from ragstack.documents.limits import Limits
from ragstack.errors import EmbedderMismatch, IndexStateError, InputError, UnsupportedCapability
from ragstack.index.calibration import Calibration
from ragstack.index.folder import standing_kind
from ragstack.index.hybrid import HybridIndex
from ragstack.pipeline.retrieve import Retriever
from ragstack.protocols import (
    Catalog,
    Chunker,
    Closeable,
    Embedder,
    Generator,
    Index,
    Reranker,
    TokenCounter,
)
from ragstack.rerank.second import Second
from ragstack.types import Document, Source

__all__ = ["Parts"]

_logger = logging.getLogger(__name__)

_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CUTTING = "1"  # raised when the house's own part in reading and cutting changes


def _unwatched(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


class Parts:
    """The plug-ins of one base. Safe to use from many threads.

    Attributes:
        fetch: Whether a model that is not on this machine is fetched.
        fetching: Called with what is fetched, the bytes so far and the bytes in all.
        notes: What the reader of every answer should know.
    """

    def __init__(self, folder: Path, config: Config, *, generator: Generator | None = None) -> None:
        self.folder = folder
        self.config = config
        self.fetch = True
        self.fetching: Callable[[str, int, int], None] = _unwatched
        self.notes: tuple[str, ...] = ()
        self._made: dict[str, Any] = {"generator": generator} if generator else {}
        self._own: list[Closeable] = []
        self._lock = threading.RLock()

    @property
    def catalog(self) -> Catalog:
        """The base's catalog."""
        found: Catalog = self._once("catalog", self._open_catalog)
        return found

    @property
    def embedder(self) -> Embedder:
        """The configured embedder behind a cache by content, kept in the base."""
        found: Embedder = self._once(
            "embedder",
            lambda: registry.load("caches", "vectors")(
                self.raw_embedder, self.folder / "embeddings.sqlite"
            ),
        )
        return found

    @property
    def raw_embedder(self) -> Embedder:
        """The configured embedder itself."""
        found: Embedder = self._once(
            "raw_embedder", lambda: self._create("embedders", self.config.embed)
        )
        return found

    @property
    def counter(self) -> TokenCounter:
        """Counts tokens as the embedder does."""
        embedder: Any = self.raw_embedder
        if hasattr(embedder, "offsets") and hasattr(embedder, "count"):
            counter: TokenCounter = embedder
            return counter
        found: TokenCounter = self._once("counter", registry.load("counters", "words"))
        return found

    @property
    def chunker(self) -> Chunker:
        """The configured chunker."""
        found: Chunker = self._once(
            "chunker",
            lambda: self._create(
                "chunkers", self.config.chunk, counter=self.counter, embedder=self.raw_embedder
            ),
        )
        return found

    @property
    def generator(self) -> Generator:
        """The configured generator, or the one that was given."""
        found: Generator = self._once("generator", self._make_generator)
        return found

    @property
    def generator_counter(self) -> TokenCounter:
        """Counts tokens as the generator does.

        Raises:
            UnsupportedCapability: The generator's tokens cannot be had, as with a remote one.
        """
        generator: Any = self.generator
        if not hasattr(generator, "offsets"):
            raise UnsupportedCapability(
                f"{generator.name!r} does not show its tokens",
                hint="count with the embedder: ragstack tokens --embedder",
            )
        counter: TokenCounter = generator
        return counter

    @property
    def reranker(self) -> Reranker | None:
        """The configured reranker; None where ``use = "none"``."""
        if self.config.rerank.use == "none":
            return None
        found: Reranker = self._once("reranker", self._make_reranker)
        return found

    @property
    def load(self) -> Callable[[Source], Document]:
        """Reads documents where a crash costs one of them."""
        ingest = self.config.ingest
        limits = Limits(
            max_bytes=ingest.max_bytes,
            max_pages=ingest.max_pages,
            max_seconds=ingest.max_seconds,
        )
        worker = self._once("loader", lambda: registry.load("readers", "worker")(limits=limits))
        found: Callable[[Source], Document] = worker.load
        return found

    def indexes(self, collection: str) -> dict[str, Index]:
        """Return the collection's indexes by slot.

        Raises:
            InputError: A name that cannot be a folder.
            EmbedderMismatch: The base was built with another embedder.
        """
        if not _COLLECTION.fullmatch(collection):
            raise InputError(
                f"a collection's name is letters, digits, '-' and '_', got {collection!r}"
            )
        found: dict[str, Index] = self._once(
            f"indexes:{collection}", lambda: self._open_indexes(collection)
        )
        return found

    def mend(self, collection: str) -> None:
        """Throw away indexes that do not hold together; for who may write.

        One whose files are damaged, or that has applied changes the catalog never made (the
        catalog was brought back from an older copy), starts anew and is filled from the catalog.
        """
        known = self.catalog.position(collection=collection)
        for slot in self.config.index:
            try:
                index = self._index(collection, slot)
                reason = "" if index.position <= known else "it is ahead of the catalog"
                index.close()
            except IndexStateError as error:
                reason = error.message
            if reason:
                _logger.warning("the %s index of %r is built anew: %s", slot, collection, reason)
                self._drop_indexes(collection)
                shutil.rmtree(self._place(collection) / slot)

    def retriever(self, collection: str) -> Retriever:
        """Return what finds passages in a collection."""
        found: Retriever = self._once(
            f"retriever:{collection}", lambda: self._make_retriever(collection)
        )
        return found

    def origin(self) -> str:
        """Return what, beside the bytes, decides how a source is read and cut."""
        config = self.config
        reading = registry.load("readers", "fingerprint")()
        return repr((_CUTTING, reading, config.chunk, config.embed))

    def record_embedder(self) -> None:
        """Remember the embedder with the base; it never changes silently."""
        if self.catalog.setting("embedder") is None:
            self.catalog.set_setting("embedder", self.raw_embedder.fingerprint)

    def close(self) -> None:
        """Close every part that was made here."""
        with self._lock:
            while self._own:
                self._own.pop().close()
            self._made.clear()

    def _check_embedder(self) -> None:
        recorded = self.catalog.setting("embedder")
        if recorded is None:
            return
        found = self.raw_embedder.fingerprint
        if recorded != found:
            raise EmbedderMismatch(
                f"the base in {str(self.folder)!r} was built with the embedder {recorded!r}, "
                f"the configuration names {found!r}",
                hint="set [embed] in ragstack.toml to the first, or ingest into a new base",
            )

    def _open_indexes(self, collection: str) -> dict[str, Index]:
        self._check_embedder()
        return {slot: self._standing(collection, slot) for slot in self.config.index}

    def _make_retriever(self, collection: str) -> Retriever:
        retrieve = self.config.retrieve
        index = HybridIndex(
            self.indexes(collection),
            fusion=retrieve.fusion,
            constant=retrieve.constant,
            weights=retrieve.weights,
            calibration=Calibration.read(self.folder / retrieve.calibration)
            if retrieve.calibration
            else None,
        )
        second = None
        if self.reranker is not None:
            second = Second(self.reranker, retrieve.rerank_depth, retrieve.rerank_ms)
        return Retriever(self.catalog, index, collection, retrieve.depth, second)

    def _make_reranker(self) -> Any:
        plugin = self.config.rerank
        makers: dict[str, Callable[[], object]] = {
            "embedder": lambda: self.embedder,
            "token_embedder": lambda: self.raw_embedder,
            "generator": lambda: self.generator,
        }
        # Only what it takes is made: a search that needs no generator loads none.
        takes = _taken(plugin.use, plugin.options)
        given = {name: make() for name, make in makers.items() if name in takes}
        return self._create("rerankers", plugin, **given)

    def _make_generator(self) -> Any:
        plugin = self.config.generate
        if plugin.use not in ("local", "isolated"):
            return self._create("generators", plugin)
        # A model that cannot be had gives way to a smaller one, and every answer says so.
        named = [plugin.options["model"]] if "model" in plugin.options else []
        resolve = registry.load("models", "resolve")
        resolved = resolve(*named, pull=self.fetch, progress=self.fetching)
        self.notes = (resolved.note,) if resolved.note else ()
        options = {**plugin.options, "model": resolved.name}
        return self._create("generators", Plugin(plugin.use, options))

    def _open_catalog(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / "catalog.sqlite"
        return self._create("catalogs", self.config.catalog, path=place)

    def _place(self, collection: str) -> Path:
        return self.folder / "collections" / collection

    def _index(self, collection: str, slot: str) -> Any:
        folder = self._place(collection) / slot
        return self._create(
            "indexes", self.config.index[slot], folder=folder, embedder=self.embedder
        )

    def _standing(self, collection: str, slot: str) -> Any:
        """Return a slot's index; one that ``bm25`` will replace is read until a writer does so.

        A base of an earlier version has ``tantivy`` there; ``mend`` builds the other from the
        catalog, and until then searches find what they found.
        """
        plugin, folder = self.config.index[slot], self._place(collection) / slot
        if plugin.use == "bm25" and standing_kind(folder) == "tantivy":
            takes = registry.options_of(registry.load("indexes", "tantivy"))
            options = {name: value for name, value in plugin.options.items() if name in takes}
            return self._create("indexes", Plugin("tantivy", options), folder=folder)
        return self._index(collection, slot)

    def _drop_indexes(self, collection: str) -> None:
        with self._lock:
            self._made.pop(f"retriever:{collection}", None)
            for index in self._made.pop(f"indexes:{collection}", {}).values():
                index.close()

    def _create(self, kind: str, plugin: Plugin, **given: object) -> Any:
        return registry.create(kind, plugin.use, plugin.options, **given)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._made:
                made = make()
                self._made[name] = made
                parts = made.values() if isinstance(made, dict) else (made,)
                self._own += [part for part in parts if isinstance(part, Closeable)]
            return self._made[name]


def _taken(use: str, options: Mapping[str, Any]) -> set[str]:
    """Return what a reranker takes; one of several stages takes what any of these does."""
    takes = set(registry.options_of(registry.load("rerankers", use)))
    stages = options.get("stages")
    if not isinstance(stages, list):
        return takes
    named = [stage["use"] for stage in stages if isinstance(stage, dict) and "use" in stage]
    return takes & {option for name in named for option in _taken(name, {})}
