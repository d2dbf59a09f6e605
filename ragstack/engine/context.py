"""Tokens in, logits out, over one sequence whose read prefix is kept. For one thread at a time."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragstack.engine.guard import Limits, check_batch, check_limits
from ragstack.engine.library import llama, physical_cores, take_error
from ragstack.engine.model import Model
from ragstack.errors import GenerationError, ModelError

__all__ = ["Context", "Options", "Row"]

Row = NDArray[np.float32]

_SEQUENCE = 0
_FLASH_AUTO = -1
# A row of logits of a 150,000-token vocabulary is 0.6 MB, and llama.cpp reserves this many.
_OUTPUTS = 64


@dataclass(frozen=True, slots=True)
class Options:
    """How a context is made.

    Attributes:
        size: Tokens of the window.
        threads: 0 is one for each physical core.
        batch: Tokens read in one step.
    """

    size: int = 8192
    threads: int = 0
    batch: int = 512


class Context:
    """What a model has read, and what it makes of it.

    Attributes:
        tokens: What the cache holds, in order.
    """

    def __init__(self, model: Model, options: Options) -> None:
        """Reserve the memory of a window.

        Raises:
            InputError: A size is out of range.
            ModelError: llama.cpp cannot make the context.
        """
        batch = min(options.batch, options.size)
        self.limits = Limits(
            context=options.size,
            batch=batch,
            micro_batch=batch,
            outputs=min(_OUTPUTS, batch),
            vocabulary=model.vocabulary.size,
        )
        check_limits(self.limits)
        self.tokens: list[int] = []
        self._model = model
        self._handle: int | None = self._create(model, options.threads or physical_cores())
        self._memory = llama.llama_get_memory(self._handle)
        if not self._memory:
            llama.llama_free(self._handle)
            raise ModelError("the model is an encoder: it keeps no sequence and writes no text")
        self._batch = llama.llama_batch_init(batch, 0, 1)

    def _create(self, model: Model, threads: int) -> int:
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = self.limits.context
        parameters.n_batch = self.limits.batch
        parameters.n_ubatch = self.limits.micro_batch
        parameters.n_seq_max = self.limits.sequences
        parameters.n_outputs_max = self.limits.outputs
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.flash_attn_type = _FLASH_AUTO
        take_error()
        handle = llama.llama_init_from_model(model.handle, parameters)
        if not handle:
            raise ModelError(
                f"llama.cpp cannot make a context of {self.limits.context} tokens: "
                f"{take_error() or 'it gives no reason'}",
                hint="a smaller context_size takes less memory",
            )
        return int(handle)

    def read(
        self, tokens: Sequence[int], *, keep_going: Callable[[], bool] = lambda: True
    ) -> tuple[int, bool]:
        """Bring the cache to hold exactly these tokens, with the logits of the last one ready.

        What the cache holds already is not read again.

        Args:
            keep_going: Asked between steps; False leaves the cache with what was read so far.

        Returns:
            How many tokens were not read again, and whether it went to the end.
        """
        cached = self.keep_common(tokens)
        for start in range(cached, len(tokens), self.limits.batch):
            if not keep_going():
                return cached, False
            piece = tokens[start : start + self.limits.batch]
            last = start + len(piece) == len(tokens)
            self.decode(piece, rows=[len(piece) - 1] if last else [])
        return cached, True

    def keep_common(self, tokens: Sequence[int]) -> int:
        """Drop what follows the common prefix, and at least the last token; return what is left."""
        common = _common_prefix(self.tokens, tokens)
        self.forget(min(common, len(tokens) - 1))
        return len(self.tokens)

    def forget(self, keep: int) -> None:
        """Drop all after the first ``keep`` tokens; all of it, where a model cannot drop part."""
        self._open()
        if keep >= len(self.tokens):
            return
        if (
            keep > 0
            and self._model.can_forget
            and llama.llama_memory_seq_rm(self._memory, _SEQUENCE, keep, -1)
        ):
            del self.tokens[keep:]
            return
        llama.llama_memory_clear(self._memory, False)
        self.tokens.clear()

    def decode(self, tokens: Sequence[int], *, rows: Iterable[int]) -> None:
        """Read tokens after those in the cache, at most a batch.

        Args:
            rows: Indices into ``tokens`` whose logits are wanted.

        Raises:
            InputError: The batch would abort llama.cpp.
            GenerationError: llama.cpp failed; the cache is empty after it.
        """
        handle = self._open()
        wanted = frozenset(rows)
        check_batch(tokens, len(wanted), self.limits)
        batch, start = self._batch, len(self.tokens)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = start + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = _SEQUENCE
            batch.logits[i] = i in wanted
        status = llama.llama_decode(handle, batch)
        if status != 0:
            llama.llama_memory_clear(self._memory, False)
            self.tokens.clear()
            raise GenerationError(
                f"llama.cpp stopped with {status}: {take_error() or 'no reason given'}"
            )
        self.tokens += tokens

    def logits(self, row: int = -1) -> Row:
        """Return the logits after a token of the last batch: a view, gone with the next ``decode``.

        Args:
            row: Index into that batch; -1 is the last row that was asked for.
        """
        pointer = llama.llama_get_logits_ith(self._open(), row)
        if not pointer:
            raise GenerationError(f"there are no logits for row {row} of the last batch")
        return np.ctypeslib.as_array(
            ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self.limits.vocabulary,)
        )

    def _open(self) -> int:
        if self._handle is None:
            raise GenerationError("the context is closed")
        return self._handle

    def close(self) -> None:
        """Give the memory back. A second call does nothing."""
        if self._handle is not None:
            llama.llama_batch_free(self._batch)
            llama.llama_free(self._handle)
            self._handle = None


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return i
    return min(len(left), len(right))
