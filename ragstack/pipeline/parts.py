"""A Config in, the plug-ins it names out, each made when it is first needed and closed together."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ragstack import registry
from ragstack.config import Config, Plugin
from ragstack.documents.limits import Limits
from ragstack.errors import UnsupportedCapability
from ragstack.pipeline.fused import fused, some_of
from ragstack.pipeline.generations import (
    check_collection,
    folder_of,
    generation_of,
    in_force,
    of_now,
    sweep,
)
from ragstack.pipeline.kept import Answers
from ragstack.pipeline.live import is_live, with_live
from ragstack.pipeline.origins import as_recorded, check_embedder, cutting, record_embedder
from ragstack.pipeline.reranking import make_reranker
from ragstack.pipeline.resolving import named, resolved
from ragstack.pipeline.retrieve import Retriever
from ragstack.pipeline.standing import emptied, fault, late, make_index, standing
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


def _unwatched(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


class Parts:
    """The plug-ins of one base. Safe to use from many threads.

    Attributes:
        fetch: Whether a model that is not on this machine is fetched.
        fetching: Called with what is fetched, the bytes so far and the bytes in all.
        describing: Called with the lines of context written for a document, and those in all.
        notes: What the reader of every answer should know.

    Args:
        generation: Build this one, with what the configuration names; else the one in force is
            used, with what it was made with.
    """

    def __init__(
        self,
        folder: Path,
        config: Config,
        *,
        generator: Generator | None = None,
        generation: int | None = None,
    ) -> None:
        self.folder = folder
        self._pinned = generation
        self._follows: set[str] = set()  # sections in which the base's own record is meant
        self.config = config
        self.fetch = True
        self.fetching: Callable[[str, int, int], None] = _unwatched
        self.describing: Callable[[int, int], None] = lambda _done, _total: None
        self.notes: tuple[str, ...] = ()
        self._made: dict[str, Any] = {"generator": generator} if generator else {}
        self._own: list[Closeable] = []
        self._lock = threading.RLock()

    @property
    def catalog(self) -> Catalog:
        """The base's catalog."""
        return self._once("catalog", self._open_catalog)  # type: ignore[no-any-return]

    @property
    def embedder(self) -> Embedder:
        """The configured embedder behind a cache by content, kept in the base."""
        raw = self.raw_embedder
        found: Embedder = self._once(
            f"embedder:{id(raw)}",
            lambda: registry.load("caches", "vectors")(raw, self.folder / "embeddings.sqlite"),
        )
        return found

    @property
    def raw_embedder(self) -> Embedder:
        """The configured embedder itself, with the vectors that the base has."""
        plugin = self.plugin("embed")
        newest: Embedder = self._once(
            f"raw_embedder:{plugin!r}", lambda: self._create("embedders", plugin)
        )
        there = self._pinned is None and self.folder.is_dir()
        return as_recorded(self.catalog, newest) if there else newest

    @property
    def counter(self) -> TokenCounter:
        """Counts tokens as the embedder does."""
        embedder: Any = self.raw_embedder
        if hasattr(embedder, "offsets") and hasattr(embedder, "count"):
            counter: TokenCounter = embedder
            return counter
        return self._once("counter", registry.load("counters", "words"))  # type: ignore[no-any-return]

    @property
    def chunker(self) -> Chunker:
        """The configured chunker."""
        plugin, embed = self.plugin("chunk"), self.plugin("embed")
        found: Chunker = self._once(
            f"chunker:{plugin!r}:{embed!r}",
            lambda: self._create(
                "chunkers",
                plugin,
                counter=self.counter,
                embedder=self.raw_embedder,
                generator=lambda: self.generator,
                cache=self.folder / "contexts.sqlite",
                progress=lambda done, total: self.describing(done, total),
            ),
        )
        return found

    @property
    def generator(self) -> Generator:
        """The configured generator, or the one that was given."""
        found: Generator = self._once(
            "generator", lambda: self._make_generator(self.config.generate)
        )
        return found

    def generator_named(self, name: str) -> Generator:
        """Return a generator of ``[generators]``; the configured one for an empty name.

        Raises:
            ConfigError: No generator has that name.
        """
        if not name:
            return self.generator
        plugin = named(self.config.generators, name)
        found: Generator = self._once(f"generator:{name}", lambda: self._make_generator(plugin))
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
        return generator  # type: ignore[no-any-return]

    @property
    def reranker(self) -> Reranker | None:
        """The configured reranker; None where ``use = "none"``."""
        if self.config.rerank.use == "none":
            return None
        return self._once("reranker", self._make_reranker)  # type: ignore[no-any-return]

    @property
    def answers(self) -> Answers | None:
        """Answers that were given, kept in the base; None where they are not to be."""
        cache = self.config.cache
        if not cache.enabled or is_live(self.config.index):
            return None
        found: Answers = self._once(
            "answers",
            lambda: registry.load("caches", "answers")(
                self.folder / "answers.sqlite", size=cache.size, threshold=cache.threshold
            ),
        )
        return found

    @property
    def load(self) -> Callable[[Source], Document]:
        """Reads documents where a crash costs one of them."""
        ingest = self.config.ingest
        limits = Limits(
            max_bytes=ingest.max_bytes, max_pages=ingest.max_pages, max_seconds=ingest.max_seconds
        )
        found: Any = self._once("loader", lambda: registry.load("readers", "worker")(limits=limits))
        return found.load  # type: ignore[no-any-return]

    @property
    def generation(self) -> int:
        """Which generation of the indexes is used."""
        return generation_of(self.catalog) if self._pinned is None else self._pinned

    def plugin(self, section: str) -> Plugin:
        """Return the plug-in in force for ``embed`` or ``chunk``.

        It is the configured one, unless the base was built anew with another and the configuration
        has not been changed since; and while a new generation is built, the one that is searched.
        """
        configured: Plugin = getattr(self.config, section)
        if self._pinned is not None or not self.folder.is_dir():
            return configured
        return in_force(self.catalog, section, configured, self._follows)

    def indexes(self, collection: str) -> dict[str, Index]:
        """Return the collection's indexes by slot.

        Raises:
            InputError: A name that cannot be a folder.
            EmbedderMismatch: The base was built with another embedder.
        """
        check_collection(collection if self._pinned is None else collection.removeprefix("~"))
        return of_now(lambda: self.generation, partial(self._indexes, collection))

    def mend(self, collection: str) -> None:
        """Throw away indexes that do not hold together; for who may write.

        One whose files are damaged, that has applied changes the catalog never made (the catalog
        was brought back from an older copy), or that missed changes which are forgotten, starts
        anew and is filled from the catalog.
        """
        for slot in self.config.index:
            make = partial(self._index, collection, slot, self.generation)
            reason = fault(make, self.catalog, collection=collection)
            if reason:
                _logger.warning("the %s index of %r is built anew: %s", slot, collection, reason)
                self.discard(collection, slot)

    def open_index(self, collection: str, slot: str) -> Index:
        """Return an index of its own, for the caller to close."""
        return self._index(collection, slot, self.generation)  # type: ignore[no-any-return]

    def release(self, collection: str) -> None:
        """Close the collection's indexes; they are opened again when they are needed."""
        generation = self.generation
        with self._lock:
            beginning = f"retriever:{collection}@{generation}:"
            for made in [name for name in self._made if name.startswith(beginning)]:
                del self._made[made]
            for index in self._made.pop(f"indexes:{collection}@{generation}", {}).values():
                index.close()

    def discard(self, collection: str, slot: str) -> None:
        """Delete the files of one index; for who may write."""
        self.release(collection)
        folder = self._place(collection, self.generation) / slot
        if folder.exists():
            shutil.rmtree(folder)

    def sweep(self) -> None:
        """Delete what nobody is shown any more; for who may write."""
        for collection in emptied(self._made, self.catalog):
            self.release(collection)
        sweep(self.catalog, self.folder / "collections")

    def retriever(self, collection: str, slots: Sequence[str] = ()) -> Retriever:
        """Return what finds passages in a collection.

        Args:
            slots: Only these indexes; those that the base does not have are passed over, and if
                none is left, or none is named, it is all of them.
        """
        check_collection(collection)
        some = tuple(slot for slot in self.config.index if slot in slots)
        some = () if len(some) == len(self.config.index) else some

        def made(generation: int) -> Retriever:
            found: Retriever = self._once(
                f"retriever:{collection}@{generation}:{','.join(some)}",
                partial(self._make_retriever, collection, generation, some),
            )
            return found

        return of_now(lambda: self.generation, made)

    def cutting(self) -> str:
        """Return what decides how a document is cut."""
        return cutting(self.plugin("chunk"), self.plugin("embed"), self.config.generate)

    def record_embedder(self) -> None:
        """Remember the embedder with the base; it never changes silently."""
        record_embedder(self.catalog, self.config.embed, self.raw_embedder)

    def close(self) -> None:
        """Close every part that was made here."""
        with self._lock:
            while self._own:
                self._own.pop().close()
            self._made.clear()

    def _indexes(self, collection: str, generation: int) -> dict[str, Index]:
        def make() -> dict[str, Index]:
            if self._pinned is None:
                check_embedder(self.catalog, self.raw_embedder, self.folder)
            place = self._place(collection, generation)
            return {
                slot: self._open(standing(plugin, place / slot), place / slot, collection)
                for slot, plugin in self.config.index.items()
            }

        found: dict[str, Index] = self._once(f"indexes:{collection}@{generation}", make)
        return found

    def _make_retriever(self, collection: str, generation: int, slots: Sequence[str]) -> Retriever:
        retrieve = self.config.retrieve
        indexes = some_of(self._indexes(collection, generation), slots)
        second = None
        if self.reranker is not None:
            second = Second(self.reranker, retrieve.rerank_depth, retrieve.rerank_ms)
        known = self.raw_embedder.fingerprint
        return Retriever(
            self.catalog,
            fused(indexes, retrieve, self.folder, fingerprint=known, partial=bool(slots)),
            tuple(indexes.values()),
            collection,
            retrieve.depth,
            second,
            getattr(self.chunker, "expansion", None),
            renew=partial(self.retriever, collection, slots),
        )

    def _make_reranker(self) -> Any:
        makers: dict[str, Callable[[], object]] = {
            "embedder": lambda: self.embedder,
            "token_embedder": lambda: self.raw_embedder,
            "generator": lambda: self.generator,
        }
        return make_reranker(self.config.rerank, makers)

    def _make_generator(self, plugin: Plugin) -> Any:
        if plugin.use not in ("local", "isolated"):
            return self._create("generators", plugin)
        found, note = resolved(plugin, pull=self.fetch, progress=self.fetching)
        if note:
            self.notes = (*self.notes, note)
        return self._create("generators", found)

    def _open_catalog(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / "catalog.sqlite"
        found = self._create("catalogs", self.config.catalog, path=place)
        return with_live(found, self.config.index)

    def _place(self, collection: str, generation: int) -> Path:
        # A generation that is being built keeps the name it will be known by.
        return self.folder / "collections" / folder_of(collection.removeprefix("~"), generation)

    def _index(self, collection: str, slot: str, generation: int) -> Any:
        folder = self._place(collection, generation) / slot
        return self._open(self.config.index[slot], folder, collection)

    def _open(self, plugin: Plugin, folder: Path, collection: str) -> Any:
        return make_index(
            plugin,
            folder,
            late(
                self.chunker,
                self.raw_embedder,
                lambda document_id: self.catalog.document(document_id, collection=collection),
            )
            or self.embedder,
            self.raw_embedder,
            lambda: self._once(
                "sparse", lambda: self._create("sparse_embedders", self.config.sparse)
            ),
            self.catalog,
        )

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
