"""A model's header in, whether what its network makes of a token hangs on the step it is in.

The kernels of ``scripts/kernels`` come to the same bits for a token whatever else is in its step,
and wherever in the cache lies what it looks at; llama.cpp's own order their sums by both.
"""

from __future__ import annotations

from ragstack.engine.gguf import Header
from ragstack.engine.library import multiplies, tells_positions

__all__ = ["is_exact"]

_CACHES = ("f16", "f32")
_LANES = 16  # numbers of a head that are computed together (scripts/kernels/heads.h)
_LOOKED_UP = "token_embd.weight"  # rows are taken from it; nothing is multiplied, unless it is tied
_OUTPUT = "output.weight"


def is_exact(header: Header, *, cache_type: str, flash_attention: str) -> bool:
    """Return whether each token comes to the same bits in any step, on the processor.

    So for a model all of whose matrices those kernels multiply: a mixture of experts, a state that
    runs through a sequence, or weights in half or single precision are llama.cpp's. Where images
    are read, many tokens have one position, and no order.

    Args:
        cache_type: What keys and values are kept as.
        flash_attention: ``auto``, ``on`` or ``off``.
    """
    if cache_type not in _CACHES or flash_attention == "off" or not tells_positions():
        return False
    if f"{header.architecture}.rope.dimension_sections" in {*header.metadata, *header.lengths}:
        return False
    tied = all(tensor.name != _OUTPUT for tensor in header.tensors)
    return _whole_heads(header) and all(
        len(shape) == 2 and multiplies(tensor.kind, shape[1])
        for tensor in header.tensors
        if len(shape := _shape(tensor.shape)) > 1 and (tied or tensor.name != _LOOKED_UP)
    )


def _whole_heads(header: Header) -> bool:
    """Return whether those kernels compute the attention of heads this long."""
    heads = max(header.per_layer("attention.head_count", 1) or (0,))
    width = header.number("embedding_length") // max(heads, 1)
    long = (header.number(f"attention.{of}_length") or width for of in ("key", "value"))
    return all(length % _LANES == 0 for length in long)


def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return sizes without the last ones that are 1."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
