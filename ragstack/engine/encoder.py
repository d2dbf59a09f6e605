"""Sequences of tokens in, one row of numbers for each out: a vector, or what a rank head says.

Knows tokens and no text. One context of its own, used by one caller at a time.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragstack.engine.batch import Batch, Piece
from ragstack.engine.context import Row
from ragstack.engine.gguf import Header
from ragstack.engine.guard import Limits, check_batch, check_limits
from ragstack.engine.kinds import kind_of
from ragstack.engine.library import gpu_build, llama, physical_cores, take_error
from ragstack.engine.memory import Window
from ragstack.engine.model import Model
from ragstack.errors import GenerationError, InputError, ModelError, UnsupportedCapability

__all__ = ["POOLINGS", "Encoder", "Encoding", "encoding", "room_of"]

POOLINGS = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}
"""How a sequence becomes one row, by llama.cpp's numbers."""

_FLASH_OFF, _FLASH_AUTO = 0, -1
_F32 = 0  # ggml_type
_TOGETHER = 64  # sequences of one step
_LENGTH = 512  # tokens of a sequence, where nobody says more
_RANK_TENSORS = frozenset({"cls.weight", "cls.output.weight"})
_ENCODES = ("encoder", "dense", "mixture of experts")
_NO_ENCODERS = frozenset({"t5encoder", "wavtokenizer-dec"})


@dataclass(frozen=True, slots=True)
class Encoding:
    """How sequences are read.

    Attributes:
        pooling: One of ``POOLINGS``, but for ``none``.
        length: Tokens of a sequence at most.
        batch: Tokens of one step, at least ``length``.
    """

    pooling: str
    length: int
    batch: int


def encoding(header: Header, *, pooling: str = "", length: int = 0, batch: int = 512) -> Encoding:
    """Return how a model's sequences are to be read; all that would abort is refused.

    Args:
        pooling: Empty is what the file says; where it says nothing, ``mean``.
        length: 0 is the model's own window, at most 512.
        batch: Tokens read in one step; raised to the length.

    Raises:
        InputError: A pooling that is not known, or a length beyond the model's window.
        ModelError: The file's own pooling is not known.
        UnsupportedCapability: Its kind cannot be pooled, or it has no rank head.
    """
    kind = kind_of(header)
    if kind.name not in _ENCODES or header.architecture in _NO_ENCODERS:
        raise UnsupportedCapability(
            f"{header.path.name!r} cannot turn texts into vectors here: its kind is "
            f"{kind.name!r} ({header.architecture}), expected one of {', '.join(_ENCODES)}"
        )
    window = header.context_length
    if length < 0 or batch < 1 or (window and length > window):
        raise InputError(
            f"length={length}, batch={batch}: expected 1 or more, the model reads {window} tokens"
        )
    length = length or min(window or _LENGTH, _LENGTH)
    chosen = pooling or _said(header)
    if chosen not in POOLINGS or chosen == "none":
        known = ", ".join(name for name in POOLINGS if name != "none")
        raise InputError(f"no pooling is named {chosen!r}; known: {known}")
    if chosen == "rank" and not _RANK_TENSORS & {tensor.name for tensor in header.tensors}:
        raise UnsupportedCapability(f"{header.path.name!r} has no head that ranks")
    return Encoding(chosen, length, max(batch, length))


def room_of(chosen: Encoding) -> Window:
    """Return what a step takes beside the weights, for ``check_memory``."""
    size = chosen.batch
    return Window(size, cache_type="f32", batch=size, outputs=size)


class Encoder:
    """A model that reads whole sequences. Safe to call from many threads: they take turns.

    Attributes:
        model: The weights; its vocabulary may be used freely.
        encoding: How sequences are read.
        width: Numbers of a row.
    """

    def __init__(
        self, path: Path, chosen: Encoding, *, threads: int = 0, gpu_layers: int = -1
    ) -> None:
        """Load a model and make room for one step.

        Args:
            threads: 0 is one for each physical core.

        Raises:
            InputError: A size is out of range.
            ModelError: The file cannot be used.
        """
        self.encoding = chosen
        self.model = Model(path, gpu_layers=gpu_layers)
        self._limits = Limits(
            context=chosen.batch,
            window=chosen.length,
            batch=chosen.batch,
            micro_batch=chosen.batch,
            outputs=chosen.batch,
            vocabulary=self.model.vocabulary.size,
            sequences=min(_TOGETHER, chosen.batch),
        )
        self._lock = threading.Lock()
        self._handle: int | None = None
        try:
            check_limits(self._limits)
            self._handle = self._create(threads or physical_cores())
        except BaseException:
            self.model.close()
            raise
        self._memory = llama.llama_get_memory(self._handle)
        self._batch = Batch(chosen.batch)
        ranks = chosen.pooling == "rank"
        count = llama.llama_model_n_cls_out if ranks else llama.llama_model_n_embd_out
        self.width = int(count(self.model.handle))

    def _create(self, threads: int) -> int:
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = self._limits.context
        parameters.n_batch = self._limits.batch
        # One piece: pooling sees no more than one, and encoders assert on it.
        parameters.n_ubatch = self._limits.micro_batch
        parameters.n_seq_max = self._limits.sequences
        parameters.n_outputs_max = self._limits.outputs
        parameters.n_threads = parameters.n_threads_batch = threads
        # On a CPU it works in half precision, and a row would depend on what stands beside it; so
        # it would with keys and values of half precision, which here are gone after a step.
        parameters.flash_attn_type = _FLASH_AUTO if gpu_build() else _FLASH_OFF
        parameters.type_k = parameters.type_v = _F32
        parameters.pooling_type = POOLINGS[self.encoding.pooling]
        parameters.embeddings = True
        parameters.kv_unified = True
        take_error()
        handle = llama.llama_init_from_model(self.model.handle, parameters)
        if not handle:
            raise ModelError(
                f"llama.cpp cannot make a context for steps of {self._limits.batch} tokens: "
                f"{take_error() or 'it gives no reason'}",
                hint="fewer tokens a step take less memory",
            )
        return int(handle)

    def encode(self, sequences: Sequence[Sequence[int]]) -> Row:
        """Return a row for each sequence, float32, shape (n, width), as the model gives it.

        Raises:
            InputError: A sequence is empty, longer than ``encoding.length``, or has an unknown id.
            GenerationError: The encoder is closed, or llama.cpp failed.
        """
        for sequence in sequences:
            if not 0 < len(sequence) <= self.encoding.length:
                raise InputError(
                    f"a sequence has {len(sequence)} tokens, expected 1 to {self.encoding.length}"
                )
        rows = np.empty((len(sequences), self.width), dtype=np.float32)
        for group in self._groups([len(sequence) for sequence in sequences]):
            with self._lock:
                self._step([sequences[i] for i in group], group, rows)
        return rows

    def _groups(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Yield which sequences make a step, longest first, by tokens."""
        group: list[int] = []
        tokens = 0
        for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            full = tokens + lengths[i] > self._limits.batch or len(group) == self._limits.sequences
            if group and full:
                yield group
                group, tokens = [], 0
            group.append(i)
            tokens += lengths[i]
        if group:
            yield group

    def _step(self, sequences: Sequence[Sequence[int]], places: Sequence[int], rows: Row) -> None:
        if self._handle is None:
            raise GenerationError("the encoder is closed")
        pieces = [Piece(n, 0, tokens, rows=len(tokens)) for n, tokens in enumerate(sequences)]
        check_batch(pieces, self._limits)
        if self._memory:
            llama.llama_memory_clear(self._memory, False)
        take_error()
        status = llama.llama_decode(self._handle, self._batch.filled(pieces))
        if status != 0:
            raise GenerationError(
                f"llama.cpp stopped with {status}: {take_error() or 'no reason given'}"
            )
        for number, place in enumerate(places):
            pointer = llama.llama_get_embeddings_seq(self._handle, number)
            if not pointer:
                raise GenerationError("llama.cpp gave no row for a sequence it read")
            values = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float))
            rows[place] = np.ctypeslib.as_array(values, (self.width,))

    def close(self) -> None:
        """Give the memory back, once no call is at work. A second call does nothing."""
        with self._lock:
            if self._handle is not None:
                llama.llama_free(self._handle)
                self._handle = None
                self.model.close()


def _said(header: Header) -> str:
    """Return the pooling a file names; ``mean`` where it names none.

    Raises:
        ModelError: llama.cpp would abort over it.
    """
    said = header.metadata.get(f"{header.architecture}.pooling_type", -1)
    names = {number: name for name, number in POOLINGS.items()}
    if said not in (-1, *names):
        raise ModelError(f"{str(header.path)!r} names a pooling {said!r}, expected 0 to 4")
    name = names.get(int(said), "none")
    return "mean" if name == "none" else name
