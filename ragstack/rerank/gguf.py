"""Passages in, scores out by a GGUF cross-encoder: it reads question and passage together.

Knows text and its marks; the engine knows tokens.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import partial

from ragstack import models
from ragstack.engine.encoder import Encoder, encoding, room_of
from ragstack.engine.gguf import read_header
from ragstack.engine.library import library_file
from ragstack.engine.memory import check_memory
from ragstack.engine.probe import check_loads
from ragstack.errors import ConfigError
from ragstack.types import Passage

__all__ = ["GgufReranker"]

_TEMPLATE = "tokenizer.chat_template.rerank"
_PLACES = re.compile(r"(\{query\}|\{document\})")
_QUESTION_SHARE = 2  # a question may take one part in so many of the length


class GgufReranker:
    """A Reranker. Its model is loaded when it is first needed, and again after ``close``.

    The score is what the model's head says, higher for what answers; only its order means
    something. llama.cpp reads both texts as of one kind (token type 0): models that tell question
    and passage apart by it, such as the MiniLM ones of MS MARCO, lose some of their accuracy, those
    of the RoBERTa family, such as bge-reranker, do not.
    """

    def __init__(
        self,
        *,
        model: str,
        length: int = 0,
        batch_tokens: int = 1024,
        threads: int = 0,
        gpu_layers: int = -1,
    ) -> None:
        """Find the model and read its metadata.

        Args:
            model: A name, or the path of a GGUF file with a rank head.
            length: Tokens of question and passage together; 0 is the model's window, at most 512.
                A passage that is too long is cut.
            batch_tokens: Tokens read in one step.
            threads: 0 is one for each physical core.
            gpu_layers: Layers on a GPU where llama.cpp was built for one; -1 is all.

        Raises:
            UnknownModel: No model has the name.
            ModelUnavailable: It is not on this machine.
            ModelError: Its file is broken.
            UnsupportedCapability: It has no rank head.
        """
        if threads < 0 or gpu_layers < -1:
            raise ConfigError(
                f"threads={threads}, gpu_layers={gpu_layers}: expected at least 0 and -1"
            )
        self._header = read_header(models.path(model))
        self._encoding = encoding(self._header, pooling="rank", length=length, batch=batch_tokens)
        self._template = str(self._header.metadata.get(_TEMPLATE, ""))
        if self._template and not {"{query}", "{document}"} <= {*_PLACES.findall(self._template)}:
            raise ConfigError(f"the rerank template of {model!r} has no place for both texts")
        self._threads, self._gpu_layers = threads, gpu_layers
        self._lock = threading.Lock()
        self._held: Encoder | None = None

    def score(self, query: str, passages: Sequence[Passage]) -> list[float]:
        """Return one score for each passage, in order; higher is better."""
        if not passages:
            return []
        encoder = self._loaded()
        pairs = [self._pair(encoder, query, p.chunk.indexed_text) for p in passages]
        # A head of several labels has the one that fits first.
        return [float(row[0]) for row in encoder.encode(pairs)]

    def close(self) -> None:
        """Let go of the model; it is loaded again if it is used again."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.close()

    def _pair(self, encoder: Encoder, query: str, text: str) -> list[int]:
        """Return what is read of a pair: the passage gives way where it is too long."""
        vocabulary, length = encoder.model.vocabulary, self._encoding.length
        asked = vocabulary.tokenize(query, begins=True)[: length // _QUESTION_SHARE]
        found = vocabulary.tokenize(text, begins=True)
        if not self._template:
            before = [*vocabulary.opening, *asked, *vocabulary.between]
            after = vocabulary.closing
            return [*before, *found[: max(length - len(before) - len(after), 0)], *after][:length]
        pieces = _PLACES.split(self._template)
        marks = [
            [] if piece in ("{query}", "{document}") else vocabulary.tokenize(piece, special=True)
            for piece in pieces
        ]
        room = length - sum(map(len, marks)) - len(asked)
        places = {"{query}": asked, "{document}": found[: max(room, 0)]}
        read = [places.get(piece, mark) for piece, mark in zip(pieces, marks, strict=True)]
        return [token for tokens in read for token in tokens][:length]

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
            return self._held
