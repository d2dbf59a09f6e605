"""Texts in, unit vectors out, by a BERT run by onnxruntime on every core. Knows no index."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ragstack import models
from ragstack.embedding import graph_store
from ragstack.embedding.bert_graph import BertShape
from ragstack.embedding.graph_store import BUILDER, Recipe
from ragstack.embedding.inputs import checked
from ragstack.embedding.wordpiece import WordPiece
from ragstack.errors import ConfigError, UnknownModel
from ragstack.models.places import cache_folder
from ragstack.protocols import TokenVectors, Vectors
from ragstack.types import Span

__all__ = ["MODELS", "OnnxEmbedder", "OnnxModel"]

# Texts tokenised and sorted by length at a time: enough that a batch's texts are alike.
_WINDOW = 1024
# Within 0.005 nDCG@10 of fp32 wherever it was measured, and twice as fast: see docs/LOG.md.
_DEFAULT_PRECISION = "int8"


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A BERT with mean pooling that this embedder can run.

    Attributes:
        digest: SHA-256 of its weights.
        dimensions: Length of a vector.
        shape: What its weights do not tell.
        length: Tokens it reads of a text, the opening and the closing one counted.
        reference: JSON file of ``texts`` and the ``vectors`` the publisher's own code gives them.
        folder: Where ``model.safetensors`` and ``tokenizer.json`` are; None asks the model table.
    """

    digest: str
    dimensions: int
    shape: BertShape
    length: int
    reference: Path
    folder: Path | None = None


MODELS: Mapping[str, OnnxModel] = {
    "all-minilm-l6-v2": OnnxModel(
        digest="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        dimensions=384,
        shape=BertShape(heads=12),
        length=256,
        reference=Path(__file__).parent / "data" / "all-minilm-l6-v2.json",
    )
}
"""The models known by name."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    tokens: WordPiece
    session: Any
    pool: ThreadPoolExecutor


class OnnxEmbedder:
    """An Embedder, TokenCounter and TokenEmbedder; nothing is loaded before it is needed.

    The graph is built from the model's weights at first use (seconds), checked against reference
    vectors, and kept in the cache folder. Documents are sorted by length, batched, and the batches
    run side by side, one core each: onnxruntime's own threads wait for each other at every
    operator, which costs a quarter of the speed on an idle machine and half of it on a busy one.
    """

    def __init__(
        self,
        *,
        model: str = "all-minilm-l6-v2",
        precision: str = "auto",
        threads: int = 0,
        batch_tokens: int = 512,
        pull: bool = True,
        table: Mapping[str, OnnxModel] = MODELS,
    ) -> None:
        """Choose a model; see the class for when it is loaded.

        Args:
            model: A name of the model table whose task is ``embed``.
            precision: ``fp32``, ``int8``, or ``auto``, which is ``int8`` in this release.
            threads: Batches run at once; 0 is every core.
            batch_tokens: Tokens of one batch, padding counted; int8 runs each text by itself.
            pull: Fetch the model when it is first needed and not on this machine.
            table: The models there are, by name.

        Raises:
            UnknownModel: No embedding model has that name.
            ConfigError: Another option cannot be used.
        """
        if model not in table:
            raise UnknownModel(
                f"no embedding model is named {model!r}; known: {', '.join(sorted(table))}",
                hint='any model of the hub runs with use = "sentence_transformers"',
            )
        if precision not in ("auto", *graph_store.LEAST_COSINE):
            raise ConfigError(f"precision is 'auto', 'fp32' or 'int8', got {precision!r}")
        if threads < 0 or batch_tokens < 1:
            raise ConfigError(
                f"threads and batch_tokens are not negative, got {threads!r} and {batch_tokens!r}"
            )
        self._name, self._model = model, table[model]
        self._precision = _DEFAULT_PRECISION if precision == "auto" else precision
        self._threads = threads or _cores()
        self._batch_tokens = batch_tokens
        self._pull = pull
        self._lock = threading.Lock()
        self._held: _Loaded | None = None

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._model.dimensions

    @property
    def fingerprint(self) -> str:
        """Model, weights, builder, precision, pooling and length."""
        model = self._model
        return (
            f"onnx:{self._name}:{model.digest[:16]}:v{BUILDER}:"
            f"{self._precision}:mean:{model.length}"
        )

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, in order; of a long text its first tokens count."""
        texts = checked(texts)
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _WINDOW):
            self._embed(texts[start : start + _WINDOW], vectors[start : start + _WINDOW])
        return vectors

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, in order: this model reads both alike."""
        return self.embed_documents(texts)

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Return each text's token vectors, unit rows, with their characters.

        A text longer than the model reads is embedded in stretches, each of which knows only
        itself.
        """
        return [self._tokens_of(text) for text in checked(texts)]

    def count(self, text: str) -> int:
        """Return the number of tokens, special ones not counted."""
        return self._loaded().tokens.count(text)

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters, in order."""
        return self._loaded().tokens.offsets(text)

    def close(self) -> None:
        """Let go of the model; it is loaded again if it is used again."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.pool.shutdown()

    def _embed(self, texts: list[str], vectors: Vectors) -> None:
        held = self._loaded()
        ids = held.tokens.ids(texts, length=self._model.length)
        batches = list(self._batches([len(row) for row in ids]))

        def run(batch: list[int]) -> None:
            vectors[batch] = graph_store.embed(held.session, [ids[row] for row in batch])

        if len(batches) == 1:
            # A lone query skips the pool: handing over costs more than it gains.
            run(batches[0])
        else:
            deque(held.pool.map(run, batches), maxlen=0)

    def _batches(self, lengths: list[int]) -> Iterator[list[int]]:
        """Yield rows of like length, longest first, so that padding stays small."""
        batch: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
            # In int8 one scale serves a whole batch: a vector would depend on its neighbours.
            alone = self._precision == "int8"
            if batch and (alone or lengths[batch[0]] * (len(batch) + 1) > self._batch_tokens):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _tokens_of(self, text: str) -> TokenVectors:
        held = self._loaded()
        ids, spans = held.tokens.pieces(text)
        stretch = self._model.length - 2
        parts = [
            graph_store.embed_tokens(held.session, held.tokens.enclose(ids[i : i + stretch]))
            for i in range(0, len(ids), stretch)
        ]
        empty = np.empty((0, self.dimensions), dtype=np.float32)
        return TokenVectors(np.concatenate([empty, *parts]), tuple(spans))

    def _loaded(self) -> _Loaded:
        with self._lock:
            if self._held is None:
                self._held = self._load()
            return self._held

    def _files(self) -> tuple[Path, Path]:
        folder = self._model.folder or models.path(self._name, pull=self._pull)
        return folder / "model.safetensors", folder / "tokenizer.json"

    def _load(self) -> _Loaded:
        recipe = Recipe(
            name=self._name,
            digest=self._model.digest,
            shape=self._model.shape,
            precision=self._precision,
            length=self._model.length,
            reference=_reference(self._model.reference),
        )
        folder = graph_store.prepare(cache_folder() / "graphs", recipe, files=self._files)
        return _Loaded(
            WordPiece(folder / "tokenizer.json"),
            graph_store.open_session(folder),
            ThreadPoolExecutor(self._threads, thread_name_prefix="embed"),
        )


def _cores() -> int:
    """Return the cores this process may use: a container often has fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _reference(file: Path) -> tuple[list[str], Vectors]:
    data = json.loads(file.read_text("utf-8"))
    return data["texts"], np.array(data["vectors"], dtype=np.float32)
