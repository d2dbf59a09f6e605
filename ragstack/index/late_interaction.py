"""Chunks in, Hits by late interaction out: a vector for each token, in eight bits.

Up to some hundreds of passing rows all are scored; above that centroids propose rows, and those are
scored over all their tokens. Knows no model.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import ConfigError, IndexStateError, InputError
from ragstack.filters import Filter
from ragstack.index import maxsim
from ragstack.index.attributes import Bits, Rows
from ragstack.index.folder import check_search
from ragstack.index.growing import GrowingFile
from ragstack.index.maxsim import Lists, Tokens
from ragstack.index.rowed import RowedIndex
from ragstack.protocols import Embedder, TokenEmbedder, TokenVectors, Vectors
from ragstack.types import Chunk, Hit

__all__ = ["LateInteractionIndex"]

_FROM = 100_000  # tokens from which centroids pay
_AGAIN = 4  # as many times the tokens: they are trained anew
_MOST = 4_096
_NOISE = 1e-9
_BLOCK = 1_024  # rows copied at once


class LateInteractionIndex(RowedIndex):
    """Implements ``protocols.Index`` over MaxSim: the mean of each question token's best cosine.

    A chunk without a token is no hit, and a question without one has none.

    Args:
        folder: Where it keeps its files; made when first written to.
        embedder: Its fingerprint is recorded, and another one is refused.
        token_embedder: What makes the vectors: the same model, token by token.
        candidates: Rows that centroids propose; where fewer pass all are scored.

    Raises:
        ConfigError: The embedder has no vectors of tokens, or ``candidates`` is under 1.
        EmbedderMismatch: The folder was built with another embedder.
        IndexStateError: Its files do not hold together; delete the folder, then build it anew.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        embedder: Embedder,
        token_embedder: TokenEmbedder,
        candidates: int = 512,
    ) -> None:
        if not hasattr(token_embedder, "embed_tokens"):
            raise ConfigError(
                f"{type(token_embedder).__name__} gives no vectors of tokens",
                hint='late interaction works with [embed] use = "onnx"',
            )
        if candidates < 1:
            raise ConfigError(f"candidates is 1 or more, got {candidates!r}")
        self._embedder = token_embedder
        self._candidates = candidates
        self._files: list[GrowingFile] = []
        self._held: tuple[Tokens, Lists | None] | None = None
        super().__init__(
            folder, kind="late_interaction", fingerprint=f"tokens:{embedder.fingerprint}"
        )

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Embed and index the chunks; one whose id is there is replaced."""
        fresh = list({chunk.id: chunk for chunk in chunks}.values())
        if not fresh:
            return
        texts = [chunk.indexed_text for chunk in fresh]
        found = self._checked(self._embedder.embed_tokens(texts), len(fresh))
        vectors = np.concatenate(found)
        numbers, scales = maxsim.quantised(vectors)
        with self._guard:
            self._begin()
            if self._width != vectors.shape[1]:
                self._fit(vectors.shape[1])
            self._place(fresh)
            self._numbers.append(numbers)
            self._scales.append(scales)
            self._lengths.append(np.array([len(each) for each in found]))
            if self._codes is not None:
                self._codes.append(maxsim.assigned(self._centroids, vectors))
            self._held = None

    def search(
        self, queries: Sequence[str], *, k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return at most ``k`` hits for each query, best first, ties by chunk id."""
        check_search(queries, k)
        with self._guard:
            self._refresh()
            ids, passing = self._rows.ids, self._rows.alive(where)
            tokens, lists = self._view()
        passing &= np.diff(tokens.starts) > 0
        if not queries or not k or not passing.any():
            return [[] for _ in queries]
        found = []
        for asked in self._checked(self._embedder.embed_tokens(queries), len(queries)):
            hits: list[Hit] = []
            if len(asked):
                rows, scores = self._best(tokens, lists, asked, k, passing)
                hits = [Hit(ids[r], float(s)) for r, s in zip(rows, scores, strict=True)]
            found.append(sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[:k])
        return found

    def _best(
        self, tokens: Tokens, lists: Lists | None, asked: Vectors, k: int, passing: Bits
    ) -> tuple[Rows, NDArray[np.float64]]:
        every = np.flatnonzero(passing)
        wanted = max(self._candidates, 2 * k)
        if lists is not None and wanted < len(every):
            rows = lists.likely(asked, passing, wanted)
            scores = tokens.scores(asked, rows)
            # Where the last is as good as the k-th, others like it may not have been proposed.
            if np.partition(scores, len(scores) - k)[len(scores) - k] - scores.min() > _NOISE:
                return rows, scores
        return every, tokens.scores(asked, every)

    def _view(self) -> tuple[Tokens, Lists | None]:
        held = self._held
        if held is None:
            lengths = self._lengths.mapped().astype(np.int64)
            starts = np.append(0, np.cumsum(lengths)).astype(np.int64)
            tokens = Tokens(self._numbers.mapped(), self._scales.mapped(), starts)
            lists = None
            if self._codes is not None:
                lists = Lists.of(self._centroids, self._codes.mapped(), starts)
            held = self._held = (tokens, lists)
        return held

    def _forget(self) -> None:
        self._width = 0
        self._held = None
        self._codes: GrowingFile | None = None
        self._book: Mapping[str, Any] = {}
        self._centroids: Vectors = np.zeros((0, 0), dtype=np.float32)
        self._lay(self._generation)

    def _lay(self, generation: int) -> None:
        """Name the files of a generation; nothing in them counts yet."""
        self._stopped()
        place, width = self._folder.path, max(self._width, 1)
        self._numbers = GrowingFile(place / f"tokens-{generation}.i8", np.int8, width)
        self._scales = GrowingFile(place / f"scales-{generation}.f32", np.float32)
        self._lengths = GrowingFile(place / f"lengths-{generation}.i32", np.int32)
        self._files = [self._numbers, self._scales, self._lengths]

    def _fit(self, width: int) -> None:
        """Take the length of a vector from the first that come."""
        if self._numbers.rows:
            raise InputError(
                f"the embedder returned token vectors of {width} numbers, "
                f"the index holds vectors of {self._width}"
            )
        self._width = width
        rows = self._lengths.rows
        self._lay(self._generation)
        self._lengths.rows = rows
        self._opened()

    def _take(self, manifest: Mapping[str, Any]) -> None:
        rows, tokens, width = (int(manifest[each]) for each in ("rows", "tokens", "dimensions"))
        if width != self._width:
            self._width = width
            self._lay(self._generation)
        self._lengths.take(rows)
        self._numbers.take(tokens)
        self._scales.take(tokens)
        if int(self._lengths.mapped().sum()) != tokens:
            raise IndexStateError("its rows and its tokens are not as many")
        book = manifest["book"]
        if book != self._book:
            self._book = book
            self._codes = None
            if book:
                self._centroids = np.fromfile(
                    self._folder.path / book["name"], dtype=np.float32
                ).reshape(int(book["count"]), width)
                self._codes = GrowingFile(self._folder.path / book["codes"], np.uint16)
        if self._codes is not None:
            self._codes.take(tokens)
            if int(self._codes.mapped().max(initial=0)) >= len(self._centroids):
                raise IndexStateError("a token stands for a centroid that is not there")
        self._held = None

    def _opened(self) -> None:
        for file in self._written():
            file.open()

    def _stopped(self) -> None:
        for file in self._written():
            file.close()

    def _written(self) -> list[GrowingFile]:
        codes = getattr(self, "_codes", None)
        return [*self._files, *([codes] if codes is not None else [])]

    def _flush(self) -> Mapping[str, Any]:
        tokens = self._numbers.rows
        if tokens >= max(_FROM, _AGAIN * int(self._book.get("trained", 0))):
            self._train()
        for file in self._written():
            file.open()
            file.sync()
        return {"tokens": tokens, "dimensions": self._width, "book": dict(self._book)}

    def _train(self) -> None:
        """Find centroids, and say of each token which one it stands for."""
        numbers, scales = self._numbers.mapped(), self._scales.mapped()
        count = min(_MOST, int(2 * np.sqrt(len(numbers))))
        self._centroids = maxsim.trained(numbers, scales, count)
        name = f"{self._generation}-{uuid.uuid4().hex[:12]}"
        path = self._folder.path / f"centroids-{name}.f32"
        with open(path, "wb") as file:
            file.write(np.ascontiguousarray(self._centroids).tobytes())
            file.flush()
            os.fsync(file.fileno())
        if self._codes is not None:
            self._codes.close()
        self._codes = GrowingFile(self._folder.path / f"codes-{name}.u16", np.uint16)
        # The scale of a vector does not move the centroid that it is nearest to.
        for start in range(0, len(numbers), 1 << 18):
            self._codes.append(maxsim.assigned(self._centroids, numbers[start : start + (1 << 18)]))
        self._book = {
            **{"name": path.name, "codes": self._codes.name},
            **{"count": count, "trained": len(numbers)},
        }
        self._held = None

    def _names(self) -> list[str]:
        book = [self._book["name"]] if self._book else []
        return [*(file.name for file in self._written()), *book]

    def _renumber(self, old: Rows, generation: int) -> None:
        tokens, _ = self._view()
        codes = self._codes.mapped() if self._codes is not None else None
        self._lay(generation)
        for file in self._files:
            file.path.unlink(missing_ok=True)
        if self._codes is not None:
            name = f"codes-{generation}-{uuid.uuid4().hex[:12]}.u16"
            self._codes = GrowingFile(self._folder.path / name, np.uint16)
            self._book = {**self._book, "codes": name}
        sizes = np.diff(tokens.starts)
        for start in range(0, len(old), _BLOCK):
            rows = old[start : start + _BLOCK]
            places = maxsim.spread(tokens.starts[rows], sizes[rows])
            self._numbers.append(tokens.numbers[places])
            self._scales.append(tokens.scales[places])
            self._lengths.append(sizes[rows])
            if self._codes is not None and codes is not None:
                self._codes.append(codes[places])
        self._held = None

    def _checked(self, found: Sequence[TokenVectors], count: int) -> list[Vectors]:
        rows = [np.asarray(each.vectors, dtype=np.float32) for each in found]
        widths = {each.shape[1] for each in rows if each.ndim == 2}
        finite = all(np.isfinite(each).all() for each in rows)
        if len(rows) != count or len(widths) > 1 or not finite or any(e.ndim != 2 for e in rows):
            raise InputError(
                f"the embedder returned token vectors of shapes {[e.shape for e in rows[:4]]} for "
                f"{count} texts, expected finite numbers, one array for each text"
            )
        return rows
