"""The number formats of tensors and of whole files: their names, and which a file can be made in.

Numbers are those of ``ggml_type`` (ggml.h) and ``llama_ftype`` (llama.h).
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping

from ragstack.engine.gguf import Header
from ragstack.errors import InputError

__all__ = ["FORMATS", "format_of", "is_quantised", "named_format", "tensor_type"]

_TENSOR_TYPES: Mapping[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS",
    17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S",
    23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16",
    34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}  # fmt: skip
_FULL = frozenset(("F32", "F16", "BF16", "F64"))

FORMATS: Mapping[str, int] = {
    "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9, "Q8_0": 7,
    "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15,
    "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30, "F16": 1, "BF16": 32,
}  # fmt: skip
"""Formats that a model can be made in without an importance matrix: name to ``llama_ftype``."""

_NEED_A_MATRIX = ("IQ1_", "IQ2_", "IQ3_", "Q2_K_S", "TQ1_", "TQ2_")
# What a file can be in besides, as its header says it.
_OTHER_FILES = {
    0: "F32", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 31: "IQ1_M", 36: "TQ1_0", 37: "TQ2_0",
    38: "MXFP4", 39: "NVFP4",
}  # fmt: skip


def tensor_type(number: int) -> str:
    """Return the name of a tensor's type."""
    return _TENSOR_TYPES.get(number, f"type {number}")


def format_of(header: Header) -> str:
    """Return a file's format: what its header says, else the type that most bytes have."""
    said = header.metadata.get("general.file_type")
    names = {number: name for name, number in FORMATS.items()} | _OTHER_FILES
    if isinstance(said, int) and said in names:
        return names[said]
    sizes: Counter[int] = Counter()
    for tensor in header.tensors:
        sizes[tensor.kind] += tensor.bytes
    return tensor_type(sizes.most_common(1)[0][0]) if sizes else "?"


def is_quantised(header: Header) -> bool:
    """Return whether a file's weights have been rounded to fewer bits before."""
    return any(tensor_type(tensor.kind) not in _FULL for tensor in header.tensors)


def named_format(name: str) -> str:
    """Return a format's name as llama.cpp writes it.

    Raises:
        InputError: A file cannot be made in it; the message lists those it can be made in.
    """
    upper = name.strip().upper().replace("-", "_")
    if upper in FORMATS:
        return upper
    if upper.startswith(_NEED_A_MATRIX):
        raise InputError(
            f"the format {name!r} needs an importance matrix, which ragstack does not make",
            hint="the smallest formats without one: Q2_K, Q3_K_S, Q4_0, IQ4_XS",
        )
    near = difflib.get_close_matches(upper, FORMATS, n=1)
    raise InputError(
        f"no format is named {name!r}; known: {', '.join(FORMATS)}",
        hint=f"did you mean {near[0]!r}?" if near else "",
    )
