"""How much memory a model takes at a window, and whether it is there. Knows nothing of llama.cpp.

The reckoning follows llama.cpp: ``llama_kv_cache`` and its sliding-window kin for keys and values,
``n_embd_r`` and ``n_embd_s`` of ``llama-hparams.cpp`` for states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ragstack.engine.gguf import Header
from ragstack.engine.kinds import Kind, kind_of
from ragstack.engine.machine import available
from ragstack.errors import InputError, NotEnoughSpace

__all__ = [
    "CACHE_TYPES",
    "Need",
    "Window",
    "cache_bytes",
    "check_memory",
    "layers_that_fit",
    "need",
]

CACHE_TYPES: Mapping[str, float] = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Kinds of number that keys and values are kept in, and the bytes of one."""

_CELLS = 256  # windows are rounded up to this many tokens
_FLOAT = 4


@dataclass(frozen=True, slots=True)
class Window:
    """What a context is to hold.

    Attributes:
        context: Tokens of each stream.
        streams: Sequences at once.
        cache_type: One of ``CACHE_TYPES``.
        full_window: Layers with a sliding window keep everything nevertheless (``swa_full``).
        batch: Tokens read in one step.
        outputs: Rows of logits of one step.
        sequences: Sequences held at once, where they are more than the streams: each has a state
            of its own, if the model has states.
    """

    context: int
    streams: int = 1
    cache_type: str = "f16"
    full_window: bool = True
    batch: int = 512
    outputs: int = 64
    sequences: int = 0


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a model takes.

    Attributes:
        weights: All tensors.
        cache: Keys and values of all streams.
        state: What recurrent layers carry, for all streams.
        work: Buffers of one step: activations and logits; an estimate.
    """

    weights: int
    cache: int
    state: int
    work: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.state + self.work


def need(header: Header, window: Window) -> Need:
    """Return what a model takes at a window.

    Raises:
        InputError: A size of the window is out of range.
    """
    if window.context < 1 or window.streams < 1:
        raise InputError(
            f"a window of {window.context} tokens for {window.streams} streams, "
            "expected at least 1 of each"
        )
    if window.cache_type not in CACHE_TYPES:
        raise InputError(
            f"the cache type {window.cache_type!r} is unknown; known: {', '.join(CACHE_TYPES)}"
        )
    kind = kind_of(header)
    weights = sum(tensor.bytes for tensor in header.tensors)
    return Need(
        weights,
        int(_values(header, kind, window) * CACHE_TYPES[window.cache_type]),
        _state_values(header, kind) * _FLOAT * max(window.streams, window.sequences),
        _work(header, window),
    )


def cache_bytes(header: Header, context: int, *, streams: int = 1) -> int:
    """Return the bytes of keys and values, 0 where the header does not say; see ``need``."""
    return need(header, Window(context, streams)).cache


def check_memory(header: Header, window: Window, *, beside: int = 0) -> None:
    """Refuse a model that would bring the machine to its knees.

    Args:
        beside: Bytes that something else is about to take.

    Raises:
        NotEnoughSpace: Says what weights and windows take, and what there is, in MB.
    """
    free = available()
    context, streams = window.context, window.streams
    takes = need(header, window)
    if free is None or takes.total <= free - beside:
        return
    there = max(free - beside, 0)
    most = _most_context(header, window, there)
    raise NotEnoughSpace(
        f"{header.path.name!r} needs {takes.total / 1e6:,.0f} MB of memory "
        f"(weights {takes.weights / 1e6:,.0f}, "
        + (f"{streams} windows" if streams > 1 else "a window")
        + f" of {context} tokens {takes.cache / 1e6:,.0f}"
        + (f", states {takes.state / 1e6:,.0f}" if takes.state else "")
        + f", work {takes.work / 1e6:,.0f}), {there / 1e6:,.0f} MB are free",
        hint=f"it fits with a context_size of {most}"
        if most
        else "use a smaller model (`ragstack models list`), or a smaller format of this one "
        "(`ragstack models quantize`)",
    )


def layers_that_fit(header: Header, window: Window, free: int) -> int:
    """Return how many layers a device of so many free bytes takes, the output counted as one.

    Layers are taken as equally large, which they are within a few percent.
    """
    takes = need(header, window)
    layers = max(header.number("block_count"), 0) + 1
    each = (takes.weights + takes.cache + takes.state) / layers
    room = free - takes.work
    return layers if each == 0 else max(0, min(layers, int(room / each)))


def _most_context(header: Header, window: Window, there: int) -> int:
    """Return the largest power of two of tokens that would fit, 0 where not even 512 do."""
    context = 1 << (window.context.bit_length() - 1)
    while context >= 512:
        smaller = replace(window, context=context)
        if context < window.context and need(header, smaller).total <= there:
            return context
        context //= 2
    return 0


def _padded(tokens: int) -> int:
    return -(-tokens // _CELLS) * _CELLS


def _values(header: Header, kind: Kind, window: Window) -> int:
    """Return how many numbers keys and values are, over all layers and streams."""
    layers = len(kind.attends)
    heads = header.per_layer("attention.head_count", layers)
    if not heads or max(heads) < 1 or kind.name in ("encoder", "diffusion"):
        return 0
    kv_heads = header.per_layer("attention.head_count_kv", layers) or heads
    width = header.number("embedding_length") // max(heads)
    key = header.number("attention.key_length") or width
    value = header.number("attention.value_length") or width
    if header.number("attention.key_length_mla"):
        value = 0  # multi-head latent attention: the values are a view of the keys
    window_key = header.number("attention.key_length_swa") or key
    window_value = header.number("attention.value_length_swa") or value
    cells = _padded(window.context) * window.streams
    # The sequences of one cache each keep a window in it (``llama_kv_cache_iswa``).
    kept = _padded(kind.window * max(window.streams, window.sequences) + window.batch)
    windowed = cells if window.full_window else min(cells, kept)
    keeping = layers - header.number("attention.shared_kv_layers")  # the last use others' values
    total = 0
    for layer in range(max(keeping, 0)):
        if not kind.attends[layer]:
            continue
        if kind.windowed[layer]:
            total += windowed * kv_heads[layer] * (window_key + window_value)
        else:
            total += cells * kv_heads[layer] * (key + value)
    return total


def _state_values(header: Header, kind: Kind) -> int:
    """Return how many numbers the states of one stream are (``n_embd_r`` and ``n_embd_s``)."""
    width, head = header.number("embedding_length"), header.number("wkv.head_size")
    short = header.number("shortconv.l_cache")
    if head:
        shifts = header.number("token_shift_count") or 2
        each = shifts * width + width * head
    elif short:
        each = width * (short - 1)
    else:
        state, inner = header.number("ssm.state_size"), header.number("ssm.inner_size")
        groups, kernel = header.number("ssm.group_count"), header.number("ssm.conv_kernel")
        each = max(kernel - 1, 0) * (inner + 2 * groups * state) + state * inner
    return each * sum(kind.states)


def _work(header: Header, window: Window) -> int:
    """Return about what one step takes: activations of a batch, its logits, and their copy.

    The factors were fitted to what llama.cpp reserved on a CPU with flash attention: 18, 43 and
    72 MB, and the copy of the logits, for models of 135M, 0.5B and 1.5B.
    """
    width = header.number("embedding_length")
    feed = max(header.per_layer("feed_forward_length", 1) or (0,))
    vocabulary = header.lengths.get("tokenizer.ggml.tokens", 0)
    step = min(window.batch, window.context)
    activations = step * (4 * width + feed * 5 // 4) * _FLOAT
    return activations + 2 * min(window.outputs, step) * vocabulary * _FLOAT
