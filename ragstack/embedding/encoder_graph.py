"""Token ids in, vectors of texts and of tokens out, by an ONNX graph as it was published.

Knows what such graphs call their inputs and outputs, and how token vectors become one vector.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.embedding.graph_store import open_graph
from ragstack.errors import ConfigError, ModelError
from ragstack.protocols import Vectors

__all__ = ["EncoderGraph", "is_shared_scale", "pool"]

_KNOWN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})
_TOKENS = ("last_hidden_state", "token_embeddings")
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_SCALES = (b"DynamicQuantize", b"QAttention", b"MatMulInteger")


class EncoderGraph:
    """A graph that is loaded."""

    def __init__(self, path: Path, *, pooling: str, pad: int = 0) -> None:
        """Open a graph.

        Args:
            pooling: ``mean``, ``cls``, ``last``, ``graph``; empty is ``graph`` where it can be.
            pad: The id that fills up short rows; it is masked.

        Raises:
            ModelError: onnxruntime refuses it, or it is no encoder of token ids.
            ConfigError: Nobody says how its token vectors become one.
        """
        self._session = open_graph(path)
        self._place = str(path)
        self._types = {item.name: _TYPES.get(item.type) for item in self._session.get_inputs()}
        strange = sorted(set(self._types) - _KNOWN_INPUTS)
        if strange or "input_ids" not in self._types or None in self._types.values():
            raise ModelError(
                f"{self._place!r} is no text encoder: it asks for {sorted(self._types)!r}; "
                f"expected input_ids and some of {sorted(_KNOWN_INPUTS)!r}, as integers"
            )
        self._pad = pad
        ranks = {item.name: len(item.shape or ()) for item in self._session.get_outputs()}
        by_token = [name for name in (*_TOKENS, *ranks) if ranks.get(name) == 3]
        by_text = [name for name in ("sentence_embedding", *ranks) if ranks.get(name) == 2]
        self._tokens = by_token[0] if by_token else ""
        self._text = by_text[0] if by_text else ""
        self.pooling = self._checked(pooling, named="sentence_embedding" in ranks)
        self.dimensions = int(self.pooled([[0, 0]]).shape[1])

    def pooled(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """Return one row for each list of ids, of any length, run as one batch."""
        padded, mask = self._padded(ids)
        if self.pooling == "graph":
            rows: Vectors = self._run(self._text, padded, mask)
            return rows
        return pool(self._run(self._tokens, padded, mask), mask, self.pooling)

    def by_token(self, ids: Sequence[int]) -> Vectors:
        """Return one row for each id.

        Raises:
            ModelError: The graph gives the vectors of whole texts alone.
        """
        if not self._tokens:
            raise ModelError(f"{self._place!r} gives no token vectors, only those of whole texts")
        rows: Vectors = self._run(self._tokens, *self._padded([ids]))[0]
        return rows

    def _checked(self, pooling: str, *, named: bool) -> str:
        chosen = pooling or ("graph" if named or not self._tokens else "")
        if not chosen:
            raise ConfigError(
                f"nothing says how the token vectors of {self._place!r} become one",
                hint='say it: pooling = "mean" (most models), "cls" (BGE, Arctic) or "last"',
            )
        if not (self._text if chosen == "graph" else self._tokens):
            raise ConfigError(
                f"pooling = {chosen!r} cannot be had of {self._place!r}: it gives the vectors of "
                f"{'tokens' if self._tokens else 'whole texts'} alone"
            )
        return chosen

    def _padded(self, ids: Sequence[Sequence[int]]) -> tuple[NDArray[Any], NDArray[Any]]:
        padded = np.full((len(ids), max(len(row) for row in ids)), self._pad, dtype=np.int64)
        mask = np.zeros_like(padded)
        for row, values in enumerate(ids):
            padded[row, : len(values)] = values
            mask[row, : len(values)] = 1
        return padded, mask

    def _run(self, output: str, padded: NDArray[Any], mask: NDArray[Any]) -> Any:
        given = {
            "input_ids": padded,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(padded),
            "position_ids": np.broadcast_to(np.arange(padded.shape[1]), padded.shape),
        }
        wanted = {name: given[name].astype(kind) for name, kind in self._types.items()}
        try:
            (found,) = self._session.run([output], wanted)
        except Exception as error:  # onnxruntime's own errors share no base
            raise ModelError(f"the graph {self._place!r} failed: {error}") from error
        return np.asarray(found, dtype=np.float32)


def pool(tokens: Vectors, mask: NDArray[Any], how: str) -> Vectors:
    """Return one row for each text, shape (texts, width), of rows by token.

    Args:
        tokens: Shape (texts, tokens, width); padding stands at the end.
        mask: 1 for a token, 0 for padding.
        how: ``mean``, ``cls`` (the first token's) or ``last`` (the last token's).
    """
    if how == "cls":
        first: Vectors = tokens[:, 0]
        return first
    if how == "last":
        rows: Vectors = tokens[np.arange(len(tokens)), mask.sum(axis=1) - 1]
        return rows
    weights = mask[:, :, None].astype(np.float32)
    mean: Vectors = (tokens * weights).sum(axis=1) / weights.sum(axis=1)
    return mean


def is_shared_scale(path: Path) -> bool:
    """Return whether the graph rounds a whole batch by one scale, so that neighbours would count.

    Dynamically quantised graphs do; their operators' names stand in the file.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(name) >= 0 for name in _SCALES)
