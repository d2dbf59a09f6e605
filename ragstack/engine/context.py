"""Pieces of many sequences in, logits out, in one step. For one thread at a time.

Holds the keys and values of everything read; which tokens those were is for the caller to know.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragstack.engine.batch import Batch, Piece, image_batch, pointer
from ragstack.engine.exactness import is_exact
from ragstack.engine.guard import (
    Limits,
    check_batch,
    check_cache,
    check_image,
    check_limits,
    check_sequence,
)
from ragstack.engine.images import Image
from ragstack.engine.kinds import kind_of
from ragstack.engine.library import llama, own_kernels, physical_cores, take_error
from ragstack.engine.model import Model
from ragstack.engine.shelf import State
from ragstack.errors import GenerationError, ModelError

__all__ = ["Context", "Options", "Row"]

Row = NDArray[np.float32]

_FLASH = {"auto": -1, "off": 0, "on": 1}
_CACHE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}  # ggml_type (ggml.h)
_NO_CELLS = "cells in kv cache"  # of its two messages where a state does not fit
_LOOKED_BACK = 64  # tokens of a block of llama.cpp's flash attention (``GGML_FA_TILE_Q``)
_NO_ROOM = 1  # what llama_decode returns when the cache is full; nothing has changed then


@dataclass(frozen=True, slots=True)
class Options:
    """How a context is made.

    Attributes:
        size: Tokens of the window: prompt and answer of one request.
        cells: Tokens that are kept for all requests together; 0 is one window.
        threads: 0 is one for each physical core.
        batch: Tokens read in one step.
        streams: Requests at work at once.
        kept: Sequences kept beside those, for prompts that begin alike.
        outputs: Rows of logits in one step, at least one for each sequence; of a vocabulary of
            150,000 each takes 0.6 MB.
        cache_type: What keys and values are kept as, one of ``memory.CACHE_TYPES``.
        flash_attention: ``auto`` is on wherever the device has it; ``on`` or ``off``.
        full_window: Layers with a sliding window keep everything nevertheless, so that what was
            read can be returned to; without it they keep the window alone.
    """

    size: int = 8192
    cells: int = 0
    threads: int = 0
    batch: int = 512
    streams: int = 8
    kept: int = 24
    outputs: int = 96
    cache_type: str = "f16"
    flash_attention: str = "auto"
    full_window: bool = True


class Context:
    """What a model has read, by sequence, and what it makes of it.

    One cache serves all sequences, so that what two of them share is held once.

    Attributes:
        can_cut: Whether the end of a sequence can be dropped.
        whole_states: Whether a sequence that was restored can be cut anywhere. Of layers with a
            window a state has the last window alone, also where the cache keeps everything.
        quick_states: Whether ``state`` and ``restore`` copy rows; without flash attention the
            values lie crosswise in the cache and are copied number by number.
        alike: Steps of fewer tokens cost the same whether they read, write or do both. On a CPU
            llama.cpp looks back in blocks of 64 tokens, each at all that one of them looks at,
            where it was built without the changes of ``scripts/kernels``.
        exact: Whether what a token comes to hangs on its own sequence alone, to the last bit: not
            on what else is in its step, nor on how many tokens are read at once. Adapters aside.
        passes_over: Whether what other sequences hold in the cache costs a step next to nothing.
        keeps: What it keeps and how, in words; a saved state fits one that keeps the same.
    """

    def __init__(self, model: Model, options: Options) -> None:
        """Reserve the memory.

        Raises:
            InputError: A size is out of range.
            ModelError: llama.cpp cannot make the context.
        """
        cells = options.cells or options.size
        batch = min(options.batch, cells)
        self.limits = Limits(
            context=cells,
            window=min(options.size, cells),
            batch=batch,
            micro_batch=batch,
            outputs=min(options.outputs, batch),
            vocabulary=model.vocabulary.size,
            row=int(llama.llama_model_n_embd_inp(model.handle)),
            sequences=options.streams + options.kept,
        )
        check_limits(self.limits)
        check_cache(model.header, options.cache_type, options.flash_attention)
        has_window = any(kind_of(model.header).windowed)
        windowed = has_window and not options.full_window
        self.can_cut = model.can_forget and not windowed
        self.whole_states = self.can_cut and not has_window
        self.quick_states = options.flash_attention != "off"
        self.passes_over = bool(own_kernels()) and not model.on_gpu
        self.exact = not model.on_gpu and is_exact(
            model.header,
            cache_type=options.cache_type,
            flash_attention=options.flash_attention,
        )
        self.alike = batch + 1 if model.on_gpu or self.passes_over else _LOOKED_BACK
        self.keeps = (
            f"{options.cache_type}, flash attention {options.flash_attention}, "
            f"{'a window' if windowed else 'everything'}"
        )
        self._handle: int | None = self._create(model, options)
        self._memory = llama.llama_get_memory(self._handle)
        if not self._memory:
            llama.llama_free(self._handle)
            raise ModelError("the model is an encoder: it keeps no sequence and writes no text")
        self._batch = Batch(batch)
        self._rows: Row | None = None  # of the last step, once one is asked for

    def _create(self, model: Model, options: Options) -> int:
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = self.limits.context
        parameters.n_batch = self.limits.batch
        parameters.n_ubatch = self.limits.micro_batch
        parameters.n_seq_max = self.limits.sequences
        parameters.n_outputs_max = self.limits.outputs
        parameters.n_threads = parameters.n_threads_batch = options.threads or physical_cores()
        parameters.flash_attn_type = _FLASH[options.flash_attention]
        parameters.type_k = parameters.type_v = _CACHE_TYPES[options.cache_type]
        parameters.swa_full = options.full_window
        parameters.kv_unified = True  # else part of a sequence cannot be copied: it aborts
        take_error()
        handle = llama.llama_init_from_model(model.handle, parameters)
        if not handle:
            raise ModelError(
                f"llama.cpp cannot make a context of {self.limits.context} tokens: "
                f"{take_error() or 'it gives no reason'}",
                hint="a smaller context_size takes less memory",
            )
        return int(handle)

    def decode(self, pieces: Sequence[Piece]) -> bool:
        """Read pieces of different sequences; False if the cache has no room, and nothing changed.

        Raises:
            InputError: The step would abort llama.cpp.
            GenerationError: llama.cpp failed; every sequence is empty after it.
        """
        self._open()
        check_batch(pieces, self.limits)
        return self._step(self._batch.filled(pieces))

    def look(self, sequence: int, image: Image, start: int, end: int) -> bool:
        """Read rows of an image, as ``decode`` reads tokens; errors as there.

        Args:
            start: The first row; the sequence holds those before it, and the prompt before them.
            end: The row after the last; all of them where the image is to be read whole.
        """
        handle = self._open()
        check_image(sequence, image, (start, end), self.limits)
        batch, kept = image_batch(sequence, image, start, end)
        if image.whole:
            llama.llama_set_causal_attn(handle, False)
        try:
            return self._step(batch)
        finally:
            del kept  # until here llama.cpp reads it
            if image.whole:
                llama.llama_set_causal_attn(handle, True)

    def _step(self, batch: llama.llama_batch) -> bool:
        self._rows = None
        status = llama.llama_decode(self._open(), batch)
        if status == 0:
            return True
        if status == _NO_ROOM:
            return False
        self.clear()
        raise GenerationError(
            f"llama.cpp stopped with {status}: {take_error() or 'no reason given'}"
        )

    def logits(self, row: int) -> Row:
        """Return the logits after a token of the last step: a view, gone with the next ``decode``.

        Args:
            row: Index of the token among all of that step, piece after piece.
        """
        place = self._batch.wanted.get(row)
        if place is None:
            raise GenerationError(f"there are no logits for row {row} of the last step")
        if self._rows is None:
            pointer = llama.llama_get_logits(self._open())
            if not pointer:
                raise GenerationError("there are no logits of the last step")
            shape = (len(self._batch.wanted), self.limits.vocabulary)
            self._rows = np.ctypeslib.as_array(
                ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), shape
            )
        found: Row = self._rows[place]
        return found

    def copy(self, source: int, target: int, upto: int) -> None:
        """Let an empty sequence begin with the first tokens of another; nothing is read again."""
        self._open()
        check_sequence(source, self.limits)
        check_sequence(target, self.limits)
        llama.llama_memory_seq_cp(self._memory, source, target, 0, upto if self.can_cut else -1)

    def cut(self, sequence: int, keep: int) -> bool:
        """Drop all after the first ``keep`` tokens; False where this kind of model cannot."""
        self._open()
        check_sequence(sequence, self.limits)
        if keep > 0 and not self.can_cut:
            return False
        return bool(llama.llama_memory_seq_rm(self._memory, sequence, max(keep, 0), -1))

    def drop(self, sequence: int, start: int, end: int) -> bool:
        """Forget tokens in the midst of a sequence; those after them keep their positions.

        Returns False where this kind of model cannot. Other sequences keep what they share.
        """
        self._open()
        check_sequence(sequence, self.limits)
        if not self.can_cut:
            return False
        return bool(llama.llama_memory_seq_rm(self._memory, sequence, start, end))

    def clear(self) -> None:
        """Empty every sequence."""
        self._open()
        llama.llama_memory_clear(self._memory, False)

    def adapt(self, adapter: int | None) -> None:
        """Let an adapter, or none, take part in every step from here on."""
        count = 0 if adapter is None else 1
        handles = (llama.llama_adapter_lora_p_ctypes * 1)()
        if adapter is not None:
            handles[0] = ctypes.cast(adapter, llama.llama_adapter_lora_p_ctypes)
        scales = (ctypes.c_float * 1)(1.0)
        if llama.llama_set_adapters_lora(self._open(), handles, count, scales):
            raise GenerationError("llama.cpp does not take the adapter")

    def state(self, sequence: int, into: State | None = None) -> State:
        """Return what a sequence holds, in llama.cpp's own form.

        Args:
            into: A state that nobody needs any more, whose memory is written over where it is
                enough and at most twice that: memory that was never used costs many times the
                copying.

        Raises:
            GenerationError: llama.cpp cannot tell.
        """
        handle = self._open()
        check_sequence(sequence, self.limits)
        size = int(llama.llama_state_seq_get_size(handle, sequence))
        room = into.obj if isinstance(into, memoryview) else None
        if not isinstance(room, bytearray) or not size <= len(room) <= 2 * size:
            room = bytearray(size)
        place = (ctypes.c_uint8 * size).from_buffer(room)
        written = llama.llama_state_seq_get_data(handle, place, size, sequence)
        if not 0 < written <= size:
            raise GenerationError("llama.cpp cannot say what it has read of the prompt")
        return memoryview(room)[:written]

    def restore(self, sequence: int, state: State, count: int) -> bool:
        """Fill an empty sequence with what ``state`` returned; False if the cache has no room.

        Args:
            count: Tokens that it must hold then.

        Raises:
            ModelError: The state is of another model, or damaged; the sequence is empty.
        """
        handle = self._open()
        check_sequence(sequence, self.limits)
        take_error()
        buffer = pointer(np.frombuffer(state, np.uint8), ctypes.c_uint8)
        taken = llama.llama_state_seq_set_data(handle, buffer, len(state), sequence)
        last = llama.llama_memory_seq_pos_max(self._memory, sequence)
        if taken == len(state) and last == count - 1:
            return True
        reason = take_error()
        llama.llama_memory_seq_rm(self._memory, sequence, 0, -1)
        if _NO_CELLS in reason:
            return False
        raise ModelError(f"llama.cpp does not take the saved state: {reason or 'no reason given'}")

    @property
    def handle(self) -> int:
        """The C pointer.

        Raises:
            GenerationError: The context is closed.
        """
        return self._open()

    def _open(self) -> int:
        if self._handle is None:
            raise GenerationError("the context is closed")
        return self._handle

    def close(self) -> None:
        """Give the memory back. A second call does nothing."""
        if self._handle is not None:
            llama.llama_free(self._handle)
            self._handle = None
