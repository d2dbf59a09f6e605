"""A Config in, the plug-ins it names out, each made when it is first needed and closed together."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ragstack import registry
from ragstack.config import Config, Plugin
from ragstack.documents.limits import Limits
from ragstack.errors import (
    BaseError,
    EmbedderMismatch,
    UnsupportedCapability,
)
from ragstack.index.calibration import Calibration
from ragstack.index.hybrid import HybridIndex
from ragstack.pipeline.generations import (
    Made,
    as_data,
    check_collection,
    folder_of,
    generation_of,
    made_with,
    record,
    sweep,
    under_way,
)
from ragstack.pipeline.reranking import make_reranker
from ragstack.pipeline.retrieve import Retriever
from ragstack.pipeline.standing import fault, late, standing
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

_READING, _CUTTING = "1", "1"  # raised when the house's own part in it changes


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
        found: Catalog = self._once("catalog", self._open_catalog)
        return found

    @property
    def embedder(self) -> Embedder:
        """The configured embedder behind a cache by content, kept in the base."""
        plugin = self.plugin("embed")
        found: Embedder = self._once(
            f"embedder:{plugin!r}",
            lambda: registry.load("caches", "vectors")(
                self.raw_embedder, self.folder / "embeddings.sqlite"
            ),
        )
        return found

    @property
    def raw_embedder(self) -> Embedder:
        """The configured embedder itself."""
        plugin = self.plugin("embed")
        found: Embedder = self._once(
            f"raw_embedder:{plugin!r}", lambda: self._create("embedders", plugin)
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
        made = made_with(self.catalog).get(section)
        if made is None:
            return configured
        if as_data(made.configured) == as_data(configured):
            self._follows.add(section)
        building = under_way(self.catalog) is not None
        return made.plugin if building or section in self._follows else configured

    def indexes(self, collection: str) -> dict[str, Index]:
        """Return the collection's indexes by slot.

        Raises:
            InputError: A name that cannot be a folder.
            EmbedderMismatch: The base was built with another embedder.
        """
        check_collection(collection if self._pinned is None else collection.removeprefix("~"))
        return self._indexes(collection, self.generation)

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
        found: Index = self._index(collection, slot, self.generation)
        return found

    def release(self, collection: str) -> None:
        """Close the collection's indexes; they are opened again when they are needed."""
        generation = self.generation
        with self._lock:
            self._made.pop(f"retriever:{collection}@{generation}", None)
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
        sweep(self.catalog, self.folder / "collections")

    def retriever(self, collection: str) -> Retriever:
        """Return what finds passages in a collection."""
        check_collection(collection)
        while True:
            generation = self.generation
            try:
                found: Retriever = self._once(
                    f"retriever:{collection}@{generation}",
                    partial(self._make_retriever, collection, generation),
                )
                return found
            except BaseError:
                # Another process may have put a new generation in its place while it was opened.
                if self.generation == generation:
                    raise

    def reading(self) -> str:
        """Return what, beside the bytes, decides how a source is read."""
        return repr((_READING, registry.load("readers", "fingerprint")()))

    def cutting(self) -> str:
        """Return what decides how a document is cut, in 16 hex digits."""
        plugins = [as_data(self.plugin(section)) for section in ("chunk", "embed")]
        if self.plugin("chunk").options.get("source") == "generator":
            # Lines of context that another generator would write otherwise.
            plugins.append(as_data(self.config.generate))
        return hashlib.sha256(repr((_CUTTING, plugins)).encode()).hexdigest()[:16]

    def record_embedder(self) -> None:
        """Remember the embedder with the base; it never changes silently."""
        if self.catalog.setting("embedder") is None:
            made = {"embed": Made(self.config.embed, self.config.embed)}
            self.catalog.rename(
                {}, settings={**record(made), "embedder": self.raw_embedder.fingerprint}
            )

    def close(self) -> None:
        """Close every part that was made here."""
        with self._lock:
            while self._own:
                self._own.pop().close()
            self._made.clear()

    def _check_embedder(self) -> None:
        recorded = None if self._pinned is not None else self.catalog.setting("embedder")
        if recorded is None:
            return
        found = self.raw_embedder.fingerprint
        if recorded != found:
            raise EmbedderMismatch(
                f"the base in {str(self.folder)!r} was built with the embedder {recorded!r}, "
                f"the configuration names {found!r}",
                hint="`ragstack reindex` builds it anew with the second; or set "
                "[embed] in ragstack.toml to the first",
            )

    def _indexes(self, collection: str, generation: int) -> dict[str, Index]:
        def make() -> dict[str, Index]:
            self._check_embedder()
            place = self._place(collection, generation)
            return {
                slot: self._open(standing(plugin, place / slot), place / slot, collection)
                for slot, plugin in self.config.index.items()
            }

        found: dict[str, Index] = self._once(f"indexes:{collection}@{generation}", make)
        return found

    def _make_retriever(self, collection: str, generation: int) -> Retriever:
        retrieve = self.config.retrieve
        indexes = self._indexes(collection, generation)
        index = HybridIndex(
            indexes,
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
        return Retriever(
            self.catalog,
            index,
            tuple(indexes.values()),
            collection,
            retrieve.depth,
            second,
            getattr(self.chunker, "expansion", None),
            renew=partial(self.retriever, collection),
        )

    def _make_reranker(self) -> Any:
        makers: dict[str, Callable[[], object]] = {
            "embedder": lambda: self.embedder,
            "token_embedder": lambda: self.raw_embedder,
            "generator": lambda: self.generator,
        }
        return make_reranker(self.config.rerank, makers)

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

    def _place(self, collection: str, generation: int) -> Path:
        # A generation that is being built keeps the name it will be known by.
        name = folder_of(collection.removeprefix("~"), generation)
        return self.folder / "collections" / name

    def _index(self, collection: str, slot: str, generation: int) -> Any:
        folder = self._place(collection, generation) / slot
        return self._open(self.config.index[slot], folder, collection)

    def _open(self, plugin: Plugin, folder: Path, collection: str) -> Any:
        embedder = late(
            self.chunker,
            self.raw_embedder,
            lambda document_id: self.catalog.document(document_id, collection=collection),
        )
        return self._create("indexes", plugin, folder=folder, embedder=embedder or self.embedder)

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
