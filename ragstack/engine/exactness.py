"""A model's header in, whether what its network makes of a token hangs on the step it is in.

The kernels of ``scripts/kernels`` come to the same bits for a token whatever else is in its step;
llama.cpp's own order their sums by how many tokens there are.
"""

from __future__ import annotations

from ragstack.engine.gguf import Header
from ragstack.engine.library import multiplies

__all__ = ["is_exact"]

_CACHES = ("f16", "f32")
_LOOKED_UP = "token_embd.weight"  # rows are taken from it; nothing is multiplied, unless it is tied
_OUTPUT = "output.weight"


def is_exact(header: Header, *, cache_type: str, flash_attention: str) -> bool:
    """Return whether each token comes to the same bits in any step, on the processor.

    So for a model all of whose matrices those kernels multiply: a mixture of experts, a state that
    runs through a sequence, or weights in half or single precision are llama.cpp's.

    Args:
        cache_type: What keys and values are kept as.
        flash_attention: ``auto``, ``on`` or ``off``.
    """
    if cache_type not in _CACHES or flash_attention == "off":
        return False
    tied = all(tensor.name != _OUTPUT for tensor in header.tensors)
    return all(
        len(shape) == 2 and multiplies(tensor.kind, shape[1])
        for tensor in header.tensors
        if len(shape := _shape(tensor.shape)) > 1 and (tied or tensor.name != _LOOKED_UP)
    )


def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return sizes without the last ones that are 1."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
