"""Pieces of sequences in, the batch that llama.cpp reads in one step out."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragstack.engine.images import Image
from ragstack.engine.library import llama

__all__ = ["Batch", "Piece", "image_batch", "pointer"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens of one sequence in a step.

    Attributes:
        at: Position of the first; how many tokens the sequence holds before it.
        rows: Of the last so many tokens, logits are wanted.
    """

    sequence: int
    at: int
    tokens: Sequence[int]
    rows: int = 0


class Batch:
    """A ``llama_batch`` over arrays of our own, so that filling it costs no loop over tokens.

    Attributes:
        wanted: Which row of logits those after a token are, by the token's index.
    """

    def __init__(self, size: int) -> None:
        """Make room for so many tokens."""
        self._tokens, self._positions, self._counts, self._sequences = (
            np.ones(size, dtype=np.int32) for _ in range(4)
        )
        self._wanted = np.zeros(size, dtype=np.int8)
        self.wanted: dict[int, int] = {}
        start, step = self._sequences.ctypes.data, self._sequences.itemsize
        self._pointers = (ctypes.c_void_p * size)(*(start + step * i for i in range(size)))
        self._struct = llama.llama_batch(
            n_tokens=0,
            token=pointer(self._tokens, ctypes.c_int32),
            embd=None,
            pos=pointer(self._positions, ctypes.c_int32),
            n_seq_id=pointer(self._counts, ctypes.c_int32),
            seq_id=ctypes.cast(self._pointers, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=pointer(self._wanted, ctypes.c_int8),
        )

    def filled(self, pieces: Sequence[Piece]) -> llama.llama_batch:
        """Return the batch of some pieces; the next call changes it."""
        end = 0
        self.wanted.clear()
        for piece in pieces:
            start, end = end, end + len(piece.tokens)
            self._tokens[start:end] = piece.tokens
            self._positions[start:end] = np.arange(piece.at, piece.at + end - start)
            self._sequences[start:end] = piece.sequence
            self._wanted[start:end] = 0
            self._wanted[end - piece.rows : end] = 1
            for token in range(end - piece.rows, end):
                self.wanted[token] = len(self.wanted)
        self._struct.n_tokens = end
        return self._struct


def image_batch(
    sequence: int, image: Image, start: int, end: int
) -> tuple[llama.llama_batch, object]:
    """Return the batch of an image's rows from ``start`` to ``end``, and what must outlive it."""
    count = end - start
    rows = np.ascontiguousarray(image.rows[start:end])
    if image.places is None:
        positions = np.arange(image.at + start, image.at + end, dtype=np.int32)
    else:
        positions = image.places[:, start:end].copy()
        positions[:-1] += image.at  # the fourth dimension is no place in the prompt
    counts, sequences = np.ones(count, np.int32), np.array([sequence], np.int32)
    logits = np.zeros(count, np.int8)
    pointers = (ctypes.c_void_p * count)(*(sequences.ctypes.data,) * count)
    batch = llama.llama_batch(
        n_tokens=count,
        token=None,
        embd=pointer(rows, ctypes.c_float),
        pos=pointer(positions, ctypes.c_int32),
        n_seq_id=pointer(counts, ctypes.c_int32),
        seq_id=ctypes.cast(pointers, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        logits=pointer(logits, ctypes.c_int8),
    )
    return batch, (rows, positions, counts, sequences, logits, pointers)


def pointer(array: NDArray[np.generic], kind: type) -> object:
    """Return an array's memory as C sees it; the array must outlive it."""
    return array.ctypes.data_as(ctypes.POINTER(kind))
