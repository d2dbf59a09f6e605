"""Texts in, unit vectors out, by a GGUF model run by llama.cpp: encoders, and decoders pooled.

Knows text and its marks; the engine knows tokens. For small encoders on a CPU the ``onnx`` embedder
was measured to be several times faster; this one is for models that are had as GGUF, and for a GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

import numpy as np

from ragstack import models
from ragstack.embedding.inputs import checked, unit
from ragstack.engine.encoder import Encoder, encoding, room_of
from ragstack.engine.gguf import read_header
from ragstack.engine.library import library_file
from ragstack.engine.memory import check_memory
from ragstack.engine.prefix_file import origin
from ragstack.engine.probe import check_loads
from ragstack.errors import ConfigError
from ragstack.protocols import Vectors

__all__ = ["GgufEmbedder"]

_VERSION = 1  # raised when the same text would be read otherwise


class GgufEmbedder:
    """An Embedder. Its model is loaded when it is first needed, and again after ``close``."""

    def __init__(  # noqa: PLR0913 - the options of a plug-in are its arguments
        self,
        *,
        model: str,
        pooling: str = "",
        length: int = 0,
        query_prefix: str = "",
        document_prefix: str = "",
        batch_tokens: int = 512,
        threads: int = 0,
        gpu_layers: int = -1,
    ) -> None:
        """Find the model and read its metadata.

        Args:
            model: A name, or the path of a GGUF file.
            pooling: ``mean``, ``cls`` or ``last``; empty is what the file says, else ``mean``.
            length: Tokens read of a text; 0 is the model's window, at most 512.
            query_prefix: Stands before every question, where a model was trained with one.
            document_prefix: Stands before every other text.
            batch_tokens: Tokens read in one step.
            threads: 0 is one for each physical core.
            gpu_layers: Layers on a GPU where llama.cpp was built for one; -1 is all.

        Raises:
            UnknownModel: No model has the name.
            ModelUnavailable: It is not on this machine.
            ModelError: Its file is broken.
            UnsupportedCapability: It is of a kind that gives no vectors.
        """
        if threads < 0 or gpu_layers < -1:
            raise ConfigError(
                f"threads={threads}, gpu_layers={gpu_layers}: expected at least 0 and -1"
            )
        self._header = read_header(models.path(model))
        self._encoding = encoding(self._header, pooling=pooling, length=length, batch=batch_tokens)
        if self._encoding.pooling == "rank":
            raise ConfigError(
                f"{model!r} ranks texts and gives no vectors",
                hint='use = "gguf" under [rerank]',
            )
        self._prefixes = {"query": query_prefix, "document": document_prefix}
        self._threads, self._gpu_layers = threads, gpu_layers
        made_of = origin(self._header, adapter="", library="")
        self._digest = f"{made_of.size}-{made_of.model[:16]}"
        self._dimensions = self._header.number("embedding_length_out") or self._header.number(
            "embedding_length"
        )
        self._lock = threading.Lock()
        self._held: Encoder | None = None

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    @property
    def fingerprint(self) -> str:
        """Weights, pooling, length and prefixes."""
        chosen = self._encoding
        prefixes = "".join(f":{self._prefixes[kind]!r}" for kind in ("query", "document"))
        return f"gguf:{self._digest}:v{_VERSION}:{chosen.pooling}:{chosen.length}{prefixes}"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, in order; of a long text its first tokens count."""
        return self._embed(texts, self._prefixes["document"])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, in order."""
        return self._embed(texts, self._prefixes["query"])

    def close(self) -> None:
        """Let go of the model; it is loaded again if it is used again."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.close()

    def _embed(self, texts: Sequence[str], prefix: str) -> Vectors:
        found = checked(texts)
        vectors = np.zeros((len(found), self._dimensions), dtype=np.float32)
        if not found:
            return vectors
        encoder = self._loaded()
        read = [self._tokens(encoder, prefix + text) for text in found]
        # A text without a token, in a model without marks, has no vector of its own.
        told = [i for i, tokens in enumerate(read) if tokens]
        vectors[told] = encoder.encode([read[i] for i in told])
        return unit(vectors)

    def _tokens(self, encoder: Encoder, text: str) -> list[int]:
        """Return what is read of a text: its marks, and as much between them as there is room."""
        vocabulary = encoder.model.vocabulary
        opening, closing = vocabulary.opening, vocabulary.closing
        room = self._encoding.length - len(opening) - len(closing)
        tokens = vocabulary.tokenize(text, begins=True)[: max(room, 0)]
        return [*opening, *tokens, *closing][: self._encoding.length]

    def _loaded(self) -> Encoder:
        with self._lock:
            if self._held is None:
                path, chosen = self._header.path, self._encoding
                check_memory(self._header, room_of(chosen))
                trial = partial(check_loads, path, pooling=chosen.pooling)
                models.try_once(path, trial, beside=library_file())
                self._held = Encoder(
                    path, chosen, threads=self._threads, gpu_layers=self._gpu_layers
                )
                self._dimensions = self._held.width
            return self._held
