"""Sources in, a report out: load, chunk, store, index. One bad document never stops a run."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from ragstack.errors import DocumentError, InputError
from ragstack.pipeline.catchup import no_space_reported
from ragstack.pipeline.gate import Gate
from ragstack.pipeline.indexing import Indexing
from ragstack.protocols import Catalog, Chunker
from ragstack.types import (
    Document,
    DocumentInfo,
    Failure,
    Gone,
    IngestReport,
    Meta,
    NearDuplicate,
    Scalar,
    Source,
    document_id_of,
)

__all__ = ["Ingest", "Step", "checked_meta"]

_AHEAD = 4  # documents parsed before they are needed


@dataclass(frozen=True, slots=True)
class Step:
    """What an ingest has just done, for a progress bar.

    Attributes:
        kind: ``added``, ``updated``, ``unchanged``, ``removed``, ``skipped``, ``failed``,
            ``incomplete`` (taken in, but a part could not be read), ``described`` (a line of
            context was written for one more chunk) or ``indexed``.
        source: The source it happened to; empty for ``described``, the index for ``indexed``.
        chunks: Chunks stored or indexed by this step, or described of this document so far.
        reason: Why it, or a part of it, failed.
        near: A document that says nearly the same, where that was looked for.
    """

    kind: str
    source: str = ""
    chunks: int = 0
    reason: str = ""
    near: NearDuplicate | None = None


@dataclass
class Ingest:
    """One run over some sources.

    Attributes:
        reading: Names everything but the bytes that decides how a source is read.
        cutting: Names what decides how a document is cut, without a full stop in it.
        index: Brings the indexes up to where the catalog is when it is called: whenever ``batch``
            chunks wait, in a thread of its own, and at the end.
        roots: A known source under one of these that was not met is removed.
        meta: Added to every document's metadata.
        readers: Who may see these documents; empty leaves it to the sources.
        gate: Looks for near duplicates; None looks for none.
        skip_near: A new document that is one is not taken in.
    """

    catalog: Catalog
    chunker: Chunker
    load: Callable[[Source], Document]
    index: Callable[[], None]
    collection: str
    reading: str
    cutting: str
    batch: int
    roots: Sequence[str] = ()
    meta: Meta = field(default_factory=dict)
    readers: tuple[str, ...] = ()
    progress: Callable[[Step], None] = lambda _step: None
    gate: Gate | None = None
    skip_near: bool = False
    _steps: list[Step] = field(default_factory=list)

    def run(self, sources: Iterable[Source | Gone]) -> IngestReport:
        """Take the sources in and return what happened to each."""
        begun = time.perf_counter()
        known = {info.id: info for info in self.catalog.documents(collection=self.collection)}
        met: set[str] = set()
        waiting = 0
        with Indexing(self.index) as indexing:
            try:
                for source, origin, loading in self._loaded(sources, known):
                    if source.uri in met:
                        continue
                    met.add(source.uri)
                    waiting += self._take(source, origin, loading, known)
                    if waiting >= self.batch:
                        indexing.begin()
                        waiting = 0
                self._remove_unmet(met, known)
            finally:
                # What is stored becomes searchable even when a source or the user broke it off.
                indexing.finish()
        return self._report(time.perf_counter() - begun)

    def fail(self, failure: Failure) -> None:
        """Report a source that never became bytes."""
        self._step(Step("failed", failure.source, reason=failure.reason))

    def _loaded(
        self, sources: Iterable[Source | Gone], known: Mapping[str, DocumentInfo]
    ) -> Iterator[tuple[Source, str, Future[Document] | None]]:
        """Yield sources in order with their origin; the changed ones are being read ahead."""
        queue: deque[tuple[Source, str, Future[Document] | None]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="ragstack-load") as pool:
            for source in sources:
                if isinstance(source, Gone):
                    self._remove(document_id_of(source.uri), source.uri, known)
                    continue
                origin = self._origin_of(source)
                info = known.get(document_id_of(source.uri))
                fresh = info is None or info.origin != origin
                queue.append((source, origin, pool.submit(self.load, source) if fresh else None))
                if len(queue) > _AHEAD:
                    yield queue.popleft()
            yield from queue

    def _origin_of(self, source: Source) -> str:
        state = hashlib.sha256(source.data)
        state.update(repr((self.reading, source.media_type, sorted(source.meta.items()))).encode())
        state.update(repr((sorted(self.meta.items()), self._readers_of(source))).encode())
        return f"{state.hexdigest()}.{self.cutting}"

    def _readers_of(self, source: Source) -> tuple[str, ...]:
        return self.readers or source.readers

    def _take(
        self,
        source: Source,
        origin: str,
        loading: Future[Document] | None,
        known: Mapping[str, DocumentInfo],
    ) -> int:
        if loading is None:
            self._step(Step("unchanged", source.uri))
            return 0
        try:
            document = loading.result()
            document = replace(
                document,
                meta={**document.meta, **self.meta},
                readers=self._readers_of(source),
            )
            chunks = self.chunker.chunk(document)
        except DocumentError as error:
            self._step(Step("failed", source.uri, reason=error.message))
            return 0
        kind = "updated" if document.id in known else "added"
        near = self.gate.near(document) if self.gate else None
        if near is not None and self.skip_near and kind == "added":
            self._step(Step("skipped", source.uri, near=near))
            return 0
        with no_space_reported("the catalog"):
            self.catalog.put(document, chunks, collection=self.collection, origin=origin)
        if self.gate:
            self.gate.took(document)
        self._step(Step(kind, source.uri, chunks=len(chunks), near=near))
        if document.meta.get("unread"):
            self._step(Step("incomplete", source.uri, reason=str(document.meta["unread"])))
        return len(chunks)

    def _remove_unmet(self, met: set[str], known: Mapping[str, DocumentInfo]) -> None:
        failed = {step.source for step in self._steps if step.kind == "failed"}
        for info in known.values():
            gone = info.source not in met and info.source not in failed
            if gone and any(_under(info.source, root) for root in self.roots):
                self._remove(info.id, info.source, known)

    def _remove(self, document_id: str, uri: str, known: Mapping[str, DocumentInfo]) -> None:
        if document_id in known:
            self.catalog.remove([document_id], collection=self.collection)
            self._step(Step("removed", uri))

    def _step(self, step: Step) -> None:
        self._steps.append(step)
        self.progress(step)

    def _report(self, seconds: float) -> IngestReport:
        by = {
            kind: tuple(step.source for step in self._steps if step.kind == kind)
            for kind in ("added", "updated", "unchanged", "removed", "skipped")
        }
        failed, incomplete = (
            tuple(Failure(step.source, step.reason) for step in self._steps if step.kind == kind)
            for kind in ("failed", "incomplete")
        )
        chunks = sum(step.chunks for step in self._steps)
        near = tuple(step.near for step in self._steps if step.near)
        return IngestReport(
            **by,
            failed=failed,
            incomplete=incomplete,
            chunks=chunks,
            seconds=seconds,
            near_duplicates=near,
        )


def _under(uri: str, root: str) -> bool:
    path, folder = PurePath(uri), PurePath(root)
    return path == folder or folder in path.parents


def checked_meta(meta: Mapping[str, object] | None) -> Meta:
    """Return metadata given by a caller, its values checked.

    Raises:
        InputError: A value that is no text, number, boolean or None.
    """
    found: dict[str, Scalar] = {}
    for key, value in (meta or {}).items():
        if value is not None and not isinstance(value, (str, int, float, bool)):
            raise InputError(
                f"metadata {key!r} is {value!r}; metadata holds text, numbers, booleans and None"
            )
        found[key] = value
    return found
