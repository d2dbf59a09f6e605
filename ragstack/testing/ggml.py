"""As much of llama.cpp's ggml as computes one operation, for tests of its kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragstack.engine import library

__all__ = ["TYPES", "Ggml", "Graph", "Kind"]


class Kind(NamedTuple):
    """How a tensor's numbers lie: a `ggml_type`, and its blocks."""

    number: int
    weights: int = 1
    size: int = 0  # bytes


TYPES = {
    "F32": Kind(0),
    "F16": Kind(1),
    "Q4_0": Kind(2, 32, 18),
    "Q4_1": Kind(3, 32, 20),
    "Q5_0": Kind(6, 32, 22),
    "Q5_1": Kind(7, 32, 24),
    "Q8_0": Kind(8, 32, 34),
    "Q4_K": Kind(12, 256, 144),
    "Q5_K": Kind(13, 256, 176),
    "Q6_K": Kind(14, 256, 210),
}
_MEMORY = 64 * 1024**2


class _Parameters(ctypes.Structure):
    """ggml_init_params."""

    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


class Ggml:
    """The operations of the library that ragstack's engine runs on.

    Arrays lie as ggml has them, the last axis side by side: a tensor's sizes are an array's from
    the last to the first.
    """

    def __init__(self) -> None:
        library.start()
        folder = library.library_file().parent
        self._base = ctypes.CDLL(str(next(folder.glob("*ggml-base*"))))
        self._cpu = ctypes.CDLL(str(library.library_file()))

    def compute(
        self, build: Callable[[Graph], int], shape: tuple[int, ...], threads: int = 2
    ) -> NDArray[np.float32]:
        """Return the result of an operation, in single precision.

        Args:
            build: Makes the operation's tensor of its inputs.
            shape: The result's.
            threads: That compute it.
        """
        memory = ctypes.create_string_buffer(_MEMORY)
        context = self.call("init")(_Parameters(_MEMORY, ctypes.addressof(memory), False))
        try:
            result = build(Graph(self, context))
            graph = self.call("new_graph")(context)
            self.call("build_forward_expand")(graph, result)
            status = self._compute(context, graph, threads)
            if status:
                raise RuntimeError(f"ggml computes nothing: {status}")
            place = ctypes.cast(self.call("get_data")(result), ctypes.POINTER(ctypes.c_float))
            return np.ctypeslib.as_array(place, shape).copy()
        finally:
            self.call("free")(context)

    def quantized(self, weights: NDArray[np.float32], kind: str) -> NDArray[np.uint8]:
        """Return rows of weights in a format, as bytes."""
        rows, columns = weights.shape
        of = TYPES[kind]
        to = np.zeros((rows, columns // of.weights * of.size), np.uint8)
        source = np.ascontiguousarray(weights)
        places = source.ctypes.data, to.ctypes.data
        self.call("quantize_chunk")(of.number, *places, 0, rows, columns, None)
        return to

    def call(self, name: str) -> Any:
        """Return a function of ggml's."""
        found = getattr(self._base, f"ggml_{name}")
        found.restype, found.argtypes = _CALLS[name]
        return found

    @cached_property
    def _compute(self) -> Any:
        found = self._cpu.ggml_graph_compute_with_ctx
        found.restype, found.argtypes = (
            ctypes.c_int,
            (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int),
        )
        return found


class Graph:
    """Makes tensors."""

    def __init__(self, ggml: Ggml, context: int) -> None:
        self._ggml = ggml
        self._context = context

    def tensor(self, array: NDArray[np.generic], kind: str) -> int:
        """Copy an array of numbers, or of a quantised format's bytes; return the tensor."""
        of = TYPES[kind]
        sizes = [*reversed(array.shape), 1, 1, 1][:4]
        if of.size:
            sizes[0] = sizes[0] // of.size * of.weights
        tensor: int = self._ggml.call("new_tensor_4d")(self._context, of.number, *sizes)
        ctypes.memmove(self._ggml.call("get_data")(tensor), array.tobytes(), array.nbytes)
        return tensor

    def rows(self, array: NDArray[np.generic], kind: str, *, count: int, name: str) -> int:
        """Return a tensor of a matrix's first rows; what it is a part of has a name."""
        whole = self.tensor(array, kind)
        self._ggml.call("set_name")(whole, name.encode())
        columns = array.shape[1]
        row = columns * array.itemsize
        sizes, steps = (columns, count, 1, 1), (row, row * count, row * count)
        return self.make("view_4d", whole, *sizes, *steps, 0)

    def make(self, name: str, *arguments: int | float | None) -> int:
        """Return the tensor of an operation."""
        result: int = self._ggml.call(name)(self._context, *arguments)
        return result


_POINTER, _NUMBER, _WHOLE = ctypes.c_void_p, ctypes.c_float, ctypes.c_int64
_CALLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "init": (_POINTER, (_Parameters,)),
    "free": (None, (_POINTER,)),
    "new_tensor_4d": (_POINTER, (_POINTER, ctypes.c_int, *[_WHOLE] * 4)),
    "set_name": (_POINTER, (_POINTER, ctypes.c_char_p)),
    "view_4d": (_POINTER, (*[_POINTER] * 2, *[_WHOLE] * 4, *[ctypes.c_size_t] * 4)),
    "get_data": (_POINTER, (_POINTER,)),
    "new_graph": (_POINTER, (_POINTER,)),
    "build_forward_expand": (None, (_POINTER, _POINTER)),
    "quantize_chunk": (
        ctypes.c_size_t,
        (ctypes.c_int, _POINTER, _POINTER, *[_WHOLE] * 3, _POINTER),
    ),
    "mul_mat": (_POINTER, (_POINTER, _POINTER, _POINTER)),
    "cast": (_POINTER, (_POINTER, _POINTER, ctypes.c_int)),
    "flash_attn_ext": (_POINTER, (*[_POINTER] * 5, _NUMBER, _NUMBER, _NUMBER)),
    "flash_attn_ext_add_sinks": (None, (_POINTER, _POINTER)),
}
