"""Texts in, weights of vocabulary terms out, by a masked language model run by onnxruntime.

SPLADE (Formal et al. 2021, arXiv:2107.05720; max pooling as in v2, arXiv:2109.10086): a term weighs
log(1 + relu(logit)), at the place of the text where that is most.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from ragstack.embedding.inputs import checked
from ragstack.embedding.wordpiece import WordPiece
from ragstack.errors import ConfigError, ModelError

__all__ = ["SpladeEmbedder"]

_GRAPHS = ("model.onnx", "onnx/model.onnx")
_ENDS = 1 << 20  # bytes at both ends of a file that, with its size, tell one model from another
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


class _Loaded(NamedTuple):
    tokens: WordPiece
    session: Any
    inputs: tuple[str, ...]


class SpladeEmbedder:
    """A SparseEmbedder of a model that the user has; nothing is loaded before it is needed.

    Args:
        folder: Holds ``tokenizer.json`` (a BERT vocabulary) and ``model.onnx`` or
            ``onnx/model.onnx``, whose first output is logits of shape (texts, tokens, vocabulary).
        length: Tokens read of a text, the opening and the closing one counted.
        terms: Terms kept of a text, the heaviest; a whole vocabulary would make postings long.

    Raises:
        ConfigError: No folder is named, it lacks a file, or a number is too small.
    """

    def __init__(self, *, folder: str = "", length: int = 256, terms: int = 256) -> None:
        if length < 3 or terms < 1:
            raise ConfigError(
                f"length is 3 or more and terms 1 or more, got {length!r} and {terms!r}"
            )
        place = Path(folder).expanduser()
        graphs = [place / name for name in _GRAPHS if folder and (place / name).is_file()]
        if not graphs or not (place / "tokenizer.json").is_file():
            raise ConfigError(
                f"the folder {folder!r} holds no SPLADE model: expected tokenizer.json and "
                f"{' or '.join(_GRAPHS)}",
                hint='name one: [sparse] use = "splade", folder = "…"',
            )
        self._graph, self._tokenizer = graphs[0], place / "tokenizer.json"
        self._length, self._terms = length, terms
        self._lock = threading.Lock()
        self._held: _Loaded | None = None

    @property
    def fingerprint(self) -> str:
        """Model, vocabulary and how much is read and kept."""
        digest = hashlib.sha256()
        for path in (self._graph, self._tokenizer):
            digest.update(_ends_of(path))
        return f"splade:{digest.hexdigest()[:16]}:{self._length}:{self._terms}"

    def embed_documents(self, texts: Sequence[str]) -> list[Mapping[int, float]]:
        """Return the heaviest terms of each text, in order, by their number in the vocabulary."""
        # One by one: in a batch the padding of a text would depend on its neighbours.
        return [self._weights(text) for text in checked(texts)]

    def embed_queries(self, texts: Sequence[str]) -> list[Mapping[int, float]]:
        """Return the same for questions."""
        return self.embed_documents(texts)

    def close(self) -> None:
        """Let go of the model; it is loaded again if it is used again."""
        with self._lock:
            self._held = None

    def _weights(self, text: str) -> Mapping[int, float]:
        held = self._loaded()
        (ids,) = held.tokens.ids([text], length=self._length)
        row = np.array([ids], dtype=np.int64)
        given = {name: np.zeros_like(row) for name in held.inputs}
        given |= {"input_ids": row}
        if "attention_mask" in given:
            given["attention_mask"] = np.ones_like(row)
        try:
            logits = np.asarray(held.session.run(None, given)[0])
        except Exception as error:  # onnxruntime has many, and no common one
            raise ModelError(f"{str(self._graph)!r} failed: {error}") from error
        if logits.ndim != 3 or logits.shape[:2] != row.shape or not np.isfinite(logits).all():
            raise ModelError(
                f"{str(self._graph)!r} gave an array of shape {logits.shape}, expected finite "
                f"logits of shape (1, {row.shape[1]}, vocabulary)",
                hint="export the model with its masked-language-model head",
            )
        most = np.log1p(np.maximum(logits[0].max(axis=0).astype(np.float64), 0.0))
        found = np.flatnonzero(most > 0)
        best = found[np.lexsort((found, -most[found]))][: self._terms]
        return {int(term): float(most[term]) for term in best}

    def _loaded(self) -> _Loaded:
        with self._lock:
            if self._held is None:
                self._held = self._load()
            return self._held

    def _load(self) -> _Loaded:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = len(os.sched_getaffinity(0)) if _affine() else 0
        try:
            session = onnxruntime.InferenceSession(
                str(self._graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # as above
            raise ModelError(f"{str(self._graph)!r} cannot be loaded: {error}") from error
        inputs = tuple(each.name for each in session.get_inputs())
        if "input_ids" not in inputs or not _INPUTS.issuperset(inputs):
            raise ModelError(
                f"{str(self._graph)!r} takes {', '.join(inputs)}; "
                f"expected input_ids and, of {', '.join(sorted(_INPUTS))}, what it needs"
            )
        return _Loaded(WordPiece(self._tokenizer), session, inputs)


def _affine() -> bool:
    return hasattr(os, "sched_getaffinity")


def _ends_of(path: Path) -> bytes:
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(_ENDS)
        file.seek(max(0, size - _ENDS))
        return str(size).encode() + head + file.read(_ENDS)
