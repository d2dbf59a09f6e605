"""Texts in, unit vectors out, by an encoder run by onnxruntime on every core. Knows no index."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragstack import models
from ragstack.embedding import graph_store
from ragstack.embedding.encoder_files import Asked, choose_graph
from ragstack.embedding.encoders import (
    ENCODERS,
    MODELS,
    BuiltEncoder,
    Encoder,
    FolderEncoder,
    Loaded,
    OnnxModel,
)
from ragstack.embedding.inputs import checked, encodable, unit
from ragstack.errors import ConfigError, UnknownModel
from ragstack.models import repository
from ragstack.protocols import TokenVectors, Vectors
from ragstack.types import Span

__all__ = ["ENCODERS", "MODELS", "OnnxEmbedder", "OnnxModel"]

# Texts tokenised and sorted by length at a time: enough that a batch's texts are alike.
_WINDOW = 1024
# Within 0.005 nDCG@10 of fp32 wherever it was measured, and twice as fast: see docs/LOG.md.
_DEFAULT_PRECISION = "int8"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class _Held:
    encoder: Loaded
    pool: ThreadPoolExecutor


class OnnxEmbedder:
    """An Embedder, TokenCounter and TokenEmbedder; nothing is loaded before it is needed.

    The default model's graph is built from its weights at first use (seconds), checked against
    reference vectors, and kept in the cache folder; other models run as they were published.
    Documents are sorted by length, batched, and the batches run side by side, one core each:
    onnxruntime's own threads wait for each other at every operator, which costs a quarter of the
    speed on an idle machine and half of it on a busy one.
    """

    def __init__(  # noqa: PLR0913 - the options of a plug-in are its arguments
        self,
        *,
        model: str = "all-minilm-l6-v2",
        precision: str = "auto",
        threads: int = 0,
        batch_tokens: int = 512,
        pull: bool = True,
        pooling: str = "",
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        length: int = 0,
        file: str = "",
        revision: str = "main",
        dimensions: int = 0,
        binary: bool = False,
        table: Mapping[str, OnnxModel] = MODELS,
    ) -> None:
        """Choose a model; see the class for when it is loaded.

        Args:
            model: A name of the model table whose task is ``embed``, a folder that holds an ONNX
                graph and ``tokenizer.json``, or ``owner/name`` on the hub.
            precision: Of the default model: ``fp32``, ``int8``, or ``auto``, which is ``int8`` in
                this release. Other models have the precision of their file.
            threads: Batches run at once; 0 is every core.
            batch_tokens: Tokens of one batch, padding counted; a graph that rounds by batch runs
                each text by itself.
            pull: Fetch the model when it is first needed and not on this machine.
            pooling: ``mean``, ``cls``, ``last`` or ``graph`` (it gives vectors of texts itself);
                empty is what the model's files say.
            query_prefix: Stands before every question; None is what the files say.
            document_prefix: Stands before every other text; None is what the files say.
            length: Tokens read of a text; 0 is what the files say.
            file: The graph in a folder or repository of several, as ``onnx/model_fp16.onnx``.
            revision: Of a repository: a commit, a tag or a branch.
            dimensions: Keep so many numbers of each vector, for models trained for that
                (Matryoshka); 0 keeps all.
            binary: Keep the sign of each number alone.
            table: The models that are built here, by name.

        Raises:
            UnknownModel: No embedding model has that name.
            ConfigError: Another option cannot be used.
        """
        if precision not in ("auto", *graph_store.LEAST_COSINE):
            raise ConfigError(f"precision is 'auto', 'fp32' or 'int8', got {precision!r}")
        if threads < 0 or batch_tokens < 1 or dimensions < 0:
            raise ConfigError(
                "threads, batch_tokens and dimensions are not negative, "
                f"got {threads!r}, {batch_tokens!r} and {dimensions!r}"
            )
        asked = Asked(pooling, query_prefix, document_prefix, length)
        if model in table:
            if not asked.is_empty or file:
                raise ConfigError(
                    f"{model!r} reads texts in one way: it takes no pooling, prefix, length or file"
                )
            exact = _DEFAULT_PRECISION if precision == "auto" else precision
            self._encoder: Encoder = BuiltEncoder(model, table[model], precision=exact, pull=pull)
        else:
            if precision != "auto":
                raise ConfigError(
                    f"{model!r} runs as its file is, got precision = {precision!r}",
                    hint='name another graph of it: file = "onnx/model.onnx"',
                )
            self._encoder = _published(model, asked, file, revision=revision, pull=pull)
        self._asked_dimensions, self._binary = dimensions, binary
        self._threads = threads or _cores()
        self._batch_tokens = batch_tokens
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._earlier: dict[str, OnnxEmbedder] = {}

    @property
    def dimensions(self) -> int:
        """Length of a vector.

        Raises:
            ConfigError: More were asked for than the model has.
        """
        whole = self._encoder.dimensions
        if self._asked_dimensions > whole:
            raise ConfigError(
                f"the model's vectors have {whole} dimensions, got {self._asked_dimensions!r}"
            )
        return self._asked_dimensions or whole

    @property
    def fingerprint(self) -> str:
        """All that a vector depends on."""
        cut = f":d{self._asked_dimensions}" if self._asked_dimensions else ""
        return f"{self._encoder.identity}{cut}{':binary' if self._binary else ''}"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, in order; of a long text its first tokens count."""
        return self._all(texts, self._encoder.reading.document_prefix)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, in order, read as the model reads questions."""
        return self._all(texts, self._encoder.reading.query_prefix)

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Return each text's token vectors, unit rows, with their characters.

        A text longer than the model reads is embedded in stretches, each of which knows only
        itself and the prefix of documents. Signs alone are never kept of them.
        """
        return [self._tokens_of(text) for text in checked(texts)]

    def count(self, text: str) -> int:
        """Return the number of tokens, special ones and the prefix not counted."""
        return self._loaded().encoder.tokens.count(text)

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters, in order."""
        return self._loaded().encoder.tokens.offsets(text)

    def as_of(self, fingerprint: str) -> OnnxEmbedder:
        """Return the embedder with the graph that an earlier release built, where that is meant.

        Args:
            fingerprint: What a base recorded; any but an earlier one of this embedder gives itself.
        """
        with self._lock:
            if fingerprint not in self._earlier and isinstance(self._encoder, BuiltEncoder):
                for encoder in self._encoder.earlier():
                    other = copy(self)
                    other._encoder, other._held, other._earlier = encoder, None, {}
                    other._lock = threading.Lock()
                    if other.fingerprint == fingerprint:
                        self._earlier[fingerprint] = other
            return self._earlier.get(fingerprint, self)

    def close(self) -> None:
        """Let go of the model; it is loaded again if it is used again."""
        with self._lock:
            held, self._held = self._held, None
            earlier = list(self._earlier.values())
        for embedder in earlier:
            embedder.close()
        if held is not None:
            held.pool.shutdown()

    def _all(self, texts: Sequence[str], prefix: str) -> Vectors:
        texts = checked(texts)
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        if prefix:
            texts = [prefix + text for text in texts]
        for start in range(0, len(texts), _WINDOW):
            self._embed(texts[start : start + _WINDOW], vectors[start : start + _WINDOW])
        return vectors

    def _embed(self, texts: list[str], vectors: Vectors) -> None:
        held = self._loaded()
        ids = held.encoder.tokens.ids(texts, length=self._encoder.reading.length)
        batches = list(self._batches([len(row) for row in ids]))

        def run(batch: list[int]) -> None:
            vectors[batch] = self._finished(held.encoder.pooled([ids[row] for row in batch]))

        if len(batches) == 1:
            # A lone query skips the pool: handing over costs more than it gains.
            run(batches[0])
        else:
            deque(held.pool.map(run, batches), maxlen=0)

    def _finished(self, rows: Vectors) -> Vectors:
        cut = unit(rows[:, : self.dimensions])
        if not self._binary:
            return cut
        signs: Vectors = np.where(cut >= 0.0, 1.0, -1.0).astype(np.float32)
        signs /= np.float32(np.sqrt(signs.shape[1]))
        return signs

    def _batches(self, lengths: list[int]) -> Iterator[list[int]]:
        """Yield rows of like length, longest first, so that padding stays small."""
        batch: list[int] = []
        alone = self._encoder.alone
        for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
            if batch and (alone or lengths[batch[0]] * (len(batch) + 1) > self._batch_tokens):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _tokens_of(self, text: str) -> TokenVectors:
        tokens, prefix = self._loaded().encoder.tokens, self._encoder.reading.document_prefix
        ids, spans = tokens.pieces(encodable(prefix + text))
        # The first token that holds a character of the text itself.
        first = next((n for n, (_, end) in enumerate(spans) if end > len(prefix)), len(ids))
        ahead, ids = ids[:first], ids[first:]
        stretch = max(1, self._encoder.reading.length - tokens.added - first)
        parts = [
            self._loaded().encoder.by_token(tokens.enclose([*ahead, *ids[i : i + stretch]]))[first:]
            for i in range(0, len(ids), stretch)
        ]
        empty = np.empty((0, self.dimensions), dtype=np.float32)
        rows = [unit(part[:, : self.dimensions]) for part in parts]
        shift = len(prefix)
        own = tuple((max(start, shift) - shift, end - shift) for start, end in spans[first:])
        return TokenVectors(np.concatenate([empty, *rows]), own)

    def _loaded(self) -> _Held:
        with self._lock:
            if self._held is None:
                pool = ThreadPoolExecutor(self._threads, thread_name_prefix="embed")
                self._held = _Held(self._encoder.load(), pool)
            return self._held


def _published(model: str, asked: Asked, file: str, *, revision: str, pull: bool) -> FolderEncoder:
    if model in ENCODERS:
        if file:
            raise ConfigError(
                f"{model!r} has one graph here, got file = {file!r}",
                hint='another of its graphs runs by its repository: model = "owner/name"',
            )
        return FolderEncoder(
            model, lambda: models.path(model, pull=pull), asked=asked, known=ENCODERS[model]
        )
    folder = Path(model).expanduser()
    if folder.is_dir():
        return FolderEncoder(folder.resolve().name, lambda: folder, asked=asked, file=file)
    if _REPOSITORY.fullmatch(model):
        return FolderEncoder(
            model,
            lambda: repository.encoder_folder(
                model,
                revision=revision,
                pull=pull,
                choose=lambda there: choose_graph(there, file, origin=model),
            ),
            asked=asked,
            file=file,
        )
    raise UnknownModel(
        f"no embedding model is named {model!r}; known: {', '.join(sorted((*MODELS, *ENCODERS)))}",
        hint='else a folder with an ONNX graph, or "owner/name" on the hub',
    )


def _cores() -> int:
    """Return the cores this process may use: a container often has fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
