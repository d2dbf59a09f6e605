"""Chunks in, Hits out by vectors that Chroma keeps: in the index's own folder, or on its server.

Which chunk stands in which row, and up to which row a commit reaches, is said by our own log and
manifest: Chroma may hold more (what a killed process wrote, what was just deleted) and none of it
is ever a hit. Scores are computed from its vectors in float64. Knows nothing of words.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import chromadb
import httpx
import numpy as np
from chromadb.config import Settings
from chromadb.errors import ChromaError, NotFoundError
from numpy.typing import NDArray

from ragstack.config import secret
from ragstack.errors import ConfigError, IndexStateError, InputError, RagstackError, RemoteError
from ragstack.filters import Filter
from ragstack.index.attributes import Bits, Rows
from ragstack.index.chroma_filters import described, pushed
from ragstack.index.folder import check_search
from ragstack.index.rowed import RowedIndex
from ragstack.protocols import Embedder, Vectors
from ragstack.types import Chunk, Hit

__all__ = ["ChromaIndex"]

_logger = logging.getLogger(__name__)

_SPARE = 16  # candidates beyond k, so that ties at the end are seen
_NOISE = 1e-5  # Chroma's float32 distances of unit vectors are nearer than this to the true ones
_FEW = 256  # passing rows that are sooner fetched and compared than searched for
_DEEP = 4_096  # candidates from which on all are compared
_BLOCK = 2_000  # rows sent or fetched at once; Chroma takes 5,461


class _View(NamedTuple):
    """What a search works on; nothing a writer does later changes it."""

    collection: Any
    ids: Sequence[str]
    passing: Bits


class ChromaIndex(RowedIndex):
    """Implements ``protocols.Index`` over Chroma's HNSW of inner products: cosine, best 1.

    Without ``url`` Chroma runs in this process, and one process at a time should hold the folder;
    with it any number may search.

    Args:
        folder: Where the log, the manifest and an embedded Chroma's files are.
        embedder: Its fingerprint is recorded, and another one is refused.
        url: Of a Chroma server, such as ``http://localhost:8000``.
        token: ``{ env = "NAME" }``, sent as ``X-Chroma-Token``.
        effort: Chroma's ``ef_search`` and ``ef_construction``: higher finds more, slower.

    Raises:
        ConfigError: An address that is none, an effort under 1.
        EmbedderMismatch: The folder was built with another embedder.
        IndexStateError: Its files, or those of Chroma, do not hold together.
        RemoteError: The server does not answer, or with an error.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        embedder: Embedder,
        url: str = "",
        token: Mapping[str, Any] | None = None,
        effort: int = 200,
    ) -> None:
        if effort < 1:
            raise ConfigError(f"effort is 1 or more, got {effort!r}")
        self._embedder, self._effort = embedder, effort
        self._url, self._token = url, secret(token)
        self._client: Any = None
        self._at = ""
        if url and not urlsplit(url).hostname:
            raise ConfigError(f"url is such as 'http://localhost:8000', got {url!r}")
        super().__init__(folder, kind="chroma", fingerprint=embedder.fingerprint)

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Embed and index the chunks; one whose id is there is replaced."""
        fresh = list({chunk.id: chunk for chunk in chunks}.values())
        if not fresh:
            return
        vectors = self._checked(
            self._embedder.embed_documents([chunk.indexed_text for chunk in fresh]), len(fresh)
        )
        with self._guard:
            self._begin()
            first = self._rows.size
            metas = [described(chunk.meta, chunk.readers) for chunk in fresh]
            # Before the rows count: a failure here leaves nothing that could be found.
            with self._translated():
                _send(self._collection, first, vectors, metas)
            self._place(fresh)

    def search(
        self, queries: Sequence[str], *, k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return at most ``k`` hits for each query, best first, ties by chunk id."""
        check_search(queries, k)
        wanted: Vectors | None = None
        while True:
            with self._guard:
                self._refresh()
                seen = self._stamp
                view = _View(self._collection, self._rows.ids, self._rows.alive(where))
            count = int(np.count_nonzero(view.passing))
            if not queries or not k or not count:
                break
            if wanted is None:
                wanted = self._checked(self._embedder.embed_queries(queries), len(queries))
            try:
                with self._translated():
                    return _answers(view, wanted, (min(k, count), count), where)
            except (IndexStateError, RemoteError):
                with self._guard:
                    self._refresh()
                    if self._stamp == seen:
                        raise
                # A commit meanwhile let Chroma forget what this view still names, and a server says
                # so in ways of its own ("Error finding id"): look again.
        return [[] for _ in queries]

    def close(self) -> None:
        """Let go of files and of Chroma. What was not committed is lost."""
        super().close()
        with self._guard:
            self._disconnect()

    def _forget(self) -> None:
        self._collection: Any = None
        self._died: list[int] = []
        self._left: str = ""

    def _take(self, manifest: Mapping[str, Any]) -> None:
        place, name = str(manifest["place"]), str(manifest["collection"])
        self._connect(place)
        if self._collection is None or self._collection.name != name:
            self._collection = self._existing(name)
        self._died = []

    def _existing(self, name: str) -> Any:
        with self._translated():
            try:
                return self._client.get_collection(name, embedding_function=None)
            except NotFoundError as error:
                raise self._folder.broken(f"Chroma has no collection {name!r}") from error

    def _opened(self) -> None:
        if self._collection is None:
            self._connect(self._at or f"chroma-{uuid.uuid4().hex[:12]}")
            self._collection = self._made()

    def _made(self) -> Any:
        """Return a new collection; its name is not used on any server yet."""
        graph = {"space": "ip", "ef_search": self._effort, "ef_construction": self._effort}
        with self._translated():
            return self._client.create_collection(
                f"ragstack-{uuid.uuid4().hex}",
                configuration={"hnsw": graph},
                embedding_function=None,
            )

    def _flush(self) -> Mapping[str, Any]:
        return {"place": self._at, "collection": self._collection.name}

    def _names(self) -> list[str]:
        return [self._at]

    def _buried(self, rows: Sequence[int]) -> None:
        self._died += rows

    def _renumber(self, old: Rows, generation: int) -> None:
        before, self._collection = self._collection, self._made()
        with self._translated():
            for start in range(0, len(old), _BLOCK):
                rows = old[start : start + _BLOCK]
                vectors, metas = _fetched(before, rows)
                _send(self._collection, start, vectors, metas)
        self._left, self._died = before.name, []

    def _committed(self) -> None:
        """Let Chroma forget what died: before the commit it might have come back."""
        with self._guard:
            died, self._died, left, self._left = self._died, [], self._left, ""
            collection, client = self._collection, self._client
        try:
            for start in range(0, len(died), _BLOCK):
                collection.delete(ids=[str(row) for row in died[start : start + _BLOCK]])
            if left:
                client.delete_collection(left)
        except (ChromaError, httpx.HTTPError, ValueError) as error:
            # What is left there is no row of ours any more: it takes room and is never a hit.
            _logger.warning("Chroma keeps %d dead rows: %s", len(died), error)

    def _connect(self, place: str) -> None:
        if self._client is not None and self._at == place:
            return
        self._disconnect()
        settings = Settings(anonymized_telemetry=False)
        with self._translated():
            if self._url:
                parts = urlsplit(self._url)
                self._client = chromadb.HttpClient(
                    host=str(parts.hostname),
                    port=parts.port or (443 if parts.scheme == "https" else 8000),
                    ssl=parts.scheme == "https",
                    headers={"X-Chroma-Token": self._token} if self._token else {},
                    settings=settings,
                )
            else:
                path = self._folder.path / place
                self._client = chromadb.PersistentClient(path=str(path), settings=settings)
        self._at = place

    def _disconnect(self) -> None:
        client, self._client, self._at = self._client, None, ""
        if client is not None:
            client.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise Chroma's errors as ours."""
        where = self._url or str(self._folder.path)
        try:
            yield
        except NotFoundError as error:
            raise self._folder.broken(f"Chroma does not have what it names: {error}") from error
        except (ChromaError, httpx.HTTPError, ValueError, OSError) as error:
            if isinstance(error, RagstackError):
                raise
            if self._url:
                raise RemoteError(
                    f"the Chroma server at {where!r} failed: {error}",
                    hint="is it running? chroma run --path FOLDER",
                    retryable=isinstance(error, (httpx.TransportError, ValueError)),
                ) from error
            raise IndexStateError(
                f"Chroma failed in {where!r}: {error}",
                hint="delete the folder: the index is rebuilt from the catalog",
            ) from error

    def _checked(self, vectors: Vectors, count: int) -> Vectors:
        found = np.ascontiguousarray(vectors, dtype=np.float32)
        expected = (count, self._embedder.dimensions)
        if found.shape != expected or not np.isfinite(found).all():
            raise InputError(
                f"the embedder returned an array of shape {found.shape}, "
                f"expected finite numbers of shape {expected}"
            )
        return found


def _send(
    collection: Any, first: int, vectors: Vectors, metas: Sequence[Mapping[str, Any]]
) -> None:
    for start in range(0, len(vectors), _BLOCK):
        some = slice(start, start + _BLOCK)
        collection.upsert(
            ids=[str(first + start + place) for place in range(len(vectors[some]))],
            embeddings=vectors[some],
            metadatas=list(metas[some]),
        )


def _fetched(collection: Any, rows: Rows) -> tuple[Vectors, list[Mapping[str, Any]]]:
    """Return vectors and metadata of some rows, in their order."""
    found = collection.get(ids=[str(row) for row in rows], include=["embeddings", "metadatas"])
    place = {int(name): at for at, name in enumerate(found["ids"])}
    if len(place) != len(rows):
        raise NotFoundError(f"{len(rows) - len(place)} of {len(rows)} vectors")
    order = [place[int(row)] for row in rows]
    vectors = np.asarray(found["embeddings"], dtype=np.float32)[order]
    return vectors, [found["metadatas"][at] for at in order]


def _answers(
    view: _View, wanted: Vectors, sizes: tuple[int, int], where: Filter | None
) -> list[list[Hit]]:
    if sizes[1] <= _FEW:
        return _compared(view, wanted, sizes[0])
    return [_searched(view, asked, sizes, where) for asked in wanted]


def _compared(view: _View, wanted: Vectors, k: int) -> list[list[Hit]]:
    """Return the best ``k`` hits for each vector, every passing row being fetched."""
    rows = np.flatnonzero(view.passing)
    scores = np.empty((len(wanted), len(rows)), dtype=np.float64)
    for start in range(0, len(rows), _BLOCK):
        vectors, _ = _fetched(view.collection, rows[start : start + _BLOCK])
        for place, asked in enumerate(wanted):
            scores[place, start : start + _BLOCK] = _scores(vectors, asked)
    return [_hits(view, rows, own)[:k] for own in scores]


def _searched(
    view: _View, asked: Vectors, sizes: tuple[int, int], where: Filter | None
) -> list[Hit]:
    """Return the best ``k`` of ``count`` passing rows, as Chroma finds them."""
    k, count = sizes
    needed = min(count, k + _SPARE)
    depth, condition = needed, pushed(where)
    while depth <= _DEEP and condition is not False:
        found = view.collection.query(
            query_embeddings=asked[np.newaxis],
            n_results=depth,
            where=None if condition is True else condition,
            include=["embeddings"],
        )
        rows = np.array([int(name) for name in found["ids"][0]], dtype=np.int64)
        known = rows < len(view.passing)
        known[known] = view.passing[rows[known]]
        if np.count_nonzero(known) >= needed:
            vectors = np.asarray(found["embeddings"][0], dtype=np.float32)[known]
            hits = _hits(view, rows[known], _scores(vectors, asked))
            # Only when the last is clearly worse than the k-th can no tie stand behind it.
            if len(hits) == count or hits[k - 1].score - hits[-1].score >= _NOISE:
                return hits[:k]
        elif len(rows) < depth:
            break
        depth *= 4
    return _compared(view, asked[np.newaxis], k)[0]


def _scores(vectors: Vectors, asked: Vectors) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (vectors.astype(np.float64) * asked).sum(axis=1)
    return found


def _hits(view: _View, rows: Rows, scores: NDArray[np.float64]) -> list[Hit]:
    hits = [Hit(view.ids[row], float(score)) for row, score in zip(rows, scores, strict=True)]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
