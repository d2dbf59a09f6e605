"""A model that reads a text once from its beginning, with the logits after every token: for tools.

One context of its own, one sequence, no thread, no cache kept between calls. What serves requests
is elsewhere.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ragstack.engine.guard import Limits, check_batch, check_fit, check_limits
from ragstack.engine.library import llama, take_error
from ragstack.engine.machine import physical_cores
from ragstack.engine.model import Model
from ragstack.engine.perplexity import Row
from ragstack.errors import GenerationError, ModelError

__all__ = ["Forward"]

_BATCH = 128
_SEQUENCE = 0


class Forward:
    """Weights and a window, for one thread at a time.

    Attributes:
        model: The weights and the vocabulary.
        begin: Token to put before a text, None where the model wants none.
    """

    def __init__(
        self,
        path: Path,
        *,
        window: int,
        threads: int = 0,
        batch: int = _BATCH,
        gpu_layers: int = -1,
    ) -> None:
        """Load a model and reserve its window.

        Args:
            window: The most tokens that are read together.
            threads: 0 is one for each physical core.
            batch: Tokens read in one step, each with a row of logits: 0.6 MB a row of a vocabulary
                of 150,000.

        Raises:
            InputError: A size is out of range.
            ModelError: The file cannot be used, or is of a kind that writes no text.
        """
        self.model = Model(path, gpu_layers=gpu_layers)
        try:
            batch = min(batch, window)
            vocabulary = self.model.vocabulary
            self._limits = Limits(window, batch, batch, batch, vocabulary.size)
            check_limits(self._limits)
            self._context = self._open(threads or physical_cores())
        except BaseException:
            self.model.close()
            raise
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(batch, 0, 1)
        # Only where the model was trained to see it before any text: after the mark that begins a
        # turn of a conversation, plain text comes as a surprise.
        marked = vocabulary.adds_bos and 0 <= vocabulary.bos < vocabulary.size
        self.begin = vocabulary.bos if marked else None

    def _open(self, threads: int) -> int:
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = self._limits.context
        parameters.n_batch = parameters.n_ubatch = self._limits.batch
        parameters.n_outputs_max = self._limits.outputs
        parameters.n_seq_max = self._limits.sequences
        parameters.n_threads = parameters.n_threads_batch = threads
        take_error()
        handle = llama.llama_init_from_model(self.model.handle, parameters)
        if not handle:
            raise ModelError(
                f"llama.cpp cannot make a context of {self._limits.context} tokens: "
                f"{take_error() or 'it gives no reason'}"
            )
        if not llama.llama_get_memory(handle):
            llama.llama_free(handle)
            raise ModelError("the model is an encoder: it keeps no sequence and writes no text")
        return int(handle)

    def rows(self, tokens: Sequence[int]) -> Iterator[Row]:
        """Yield the logits after each token, read from the beginning.

        Each row is a view, gone when the next one is asked for; copy what is to stay.

        Raises:
            InputError: A token is out of range.
            ContextOverflow: There are more tokens than the window holds.
            GenerationError: llama.cpp failed.
        """
        check_fit(len(tokens), 0, self._limits)
        self.clear()
        step = self._limits.batch
        for start in range(0, len(tokens), step):
            piece = tokens[start : start + step]
            self._decode(piece, start, all_rows=True)
            for i in range(len(piece)):
                yield self._row(i)

    def speed(self, tokens: Sequence[int], *, written: int) -> tuple[float, float]:
        """Return tokens/s of reading a text as a prompt is read, and of writing after it.

        Args:
            written: Tokens to write, greedily; the window must hold them too.

        Raises:
            InputError: There is nothing to read or to write.
            ContextOverflow: The window does not hold them.
        """
        check_fit(len(tokens), written, self._limits)
        check_fit(written, 0, self._limits)
        self.clear()
        began = time.perf_counter()
        for start in range(0, len(tokens), self._limits.batch):
            self._decode(tokens[start : start + self._limits.batch], start)
        token = int(np.argmax(self._row(-1)))  # waits for a GPU too
        read = time.perf_counter()
        for place in range(len(tokens), len(tokens) + written):
            self._decode([token], place)
            token = int(np.argmax(self._row(-1)))
        ended = time.perf_counter()
        return len(tokens) / (read - began), written / (ended - read)

    def clear(self) -> None:
        """Forget what was read."""
        llama.llama_memory_clear(self._memory, False)

    def _decode(self, tokens: Sequence[int], start: int, *, all_rows: bool = False) -> None:
        check_batch(tokens, len(tokens) if all_rows else 1, self._limits)
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = start + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = _SEQUENCE
            batch.logits[i] = all_rows or i == len(tokens) - 1
        status = llama.llama_decode(self._context, batch)
        if status != 0:
            raise GenerationError(
                f"llama.cpp stopped with {status}: {take_error() or 'no reason given'}"
            )

    def _row(self, index: int) -> Row:
        pointer = llama.llama_get_logits_ith(self._context, index)
        if not pointer:
            raise GenerationError(f"there are no logits for row {index} of the last batch")
        return np.ctypeslib.as_array(
            ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self._limits.vocabulary,)
        )

    def close(self) -> None:
        """Give the memory back. A second call does nothing."""
        if self._context:
            llama.llama_batch_free(self._batch)
            llama.llama_free(self._context)
            self._context = 0
            self.model.close()

    def __enter__(self) -> Forward:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
