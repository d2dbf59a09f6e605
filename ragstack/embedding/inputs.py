"""What every embedder asks of its input, and of its rows, said once."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ragstack.errors import InputError
from ragstack.protocols import Vectors

__all__ = ["checked", "encodable", "unit"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def checked(texts: Sequence[str]) -> list[str]:
    """Return the texts as a list, each as a tokenizer or a server can take it.

    Raises:
        InputError: A lone string, or something in the sequence that is not one.
    """
    if isinstance(texts, str):
        raise InputError(f"expected a sequence of texts, got one text: {texts[:40]!r}")
    found = list(texts)
    for text in found:
        if not isinstance(text, str):
            raise InputError(f"expected texts, got {text!r} among them")
    return [encodable(text) for text in found]


def encodable(text: str) -> str:
    """Return the text with question marks for lone surrogates, which UTF-8 cannot hold."""
    return _SURROGATE.sub("?", text)


def unit(rows: Vectors) -> Vectors:
    """Return the rows at length 1, as float32; a row of zeros becomes the first axis."""
    vectors = np.array(rows, dtype=np.float32, ndmin=2)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    empty = lengths[:, 0] == 0
    vectors[empty, :1] = lengths[empty] = 1
    vectors /= lengths
    return vectors
