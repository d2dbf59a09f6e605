"""How much memory a model takes at a window, and how much there is. Knows nothing of llama.cpp."""

from __future__ import annotations

from pathlib import Path

from ragstack.engine.gguf import Header
from ragstack.errors import NotEnoughSpace

__all__ = ["available", "cache_bytes", "check_memory"]

# Buffers for one batch's activations and logits; 300 MB with a vocabulary of 150,000.
_WORK_BYTES = 350_000_000
_HALF_FLOAT = 2


def cache_bytes(header: Header, context: int) -> int:
    """Return the bytes of keys and values of a whole window, 0 where the header does not say."""
    heads = header.number("attention.head_count")
    if not heads:
        return 0
    kv_heads = header.number("attention.head_count_kv") or heads
    width = header.number("embedding_length") // heads
    key = header.number("attention.key_length") or width
    value = header.number("attention.value_length") or width
    return context * header.number("block_count") * kv_heads * (key + value) * _HALF_FLOAT


def available() -> int | None:
    """Return the bytes this process may still take, None where the system does not say."""
    limits = [found for found in (_of_machine(), _of_container()) if found is not None]
    return min(limits, default=None)


def check_memory(header: Header, context: int) -> None:
    """Refuse a model that would bring the machine to its knees.

    Raises:
        NotEnoughSpace: Says what weights and window take, and what there is, in MB.
    """
    there = available()
    weights = sum(tensor.bytes for tensor in header.tensors)
    cache = cache_bytes(header, context)
    work = min(_WORK_BYTES, weights)
    if there is None or weights + cache + work <= there:
        return
    raise NotEnoughSpace(
        f"{header.path.name!r} needs {(weights + cache + work) / 1e6:,.0f} MB of memory "
        f"(weights {weights / 1e6:,.0f}, a window of {context} tokens {cache / 1e6:,.0f}), "
        f"{there / 1e6:,.0f} MB are free",
        hint="use a smaller model (`ragstack models list`) or a smaller context_size",
    )


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _of_container() -> int | None:
    """Return what the control group leaves, its page cache counted as free."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        stat = (folder / "memory.stat").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    counts = dict(line.split() for line in stat.splitlines())
    return (
        int(limit) - used + int(counts.get("inactive_file", 0)) + int(counts.get("active_file", 0))
    )
