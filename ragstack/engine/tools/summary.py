"""A GGUF header in, what a person wants to know of the model out. Loads nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ragstack.engine.gguf import Header, read_header
from ragstack.engine.kinds import kind_of
from ragstack.engine.machine import available
from ragstack.engine.memory import Need, Window, need
from ragstack.engine.projector_file import projector_beside
from ragstack.engine.tools.formats import format_of, tensor_type

__all__ = ["Summary", "TensorShare", "summary_of"]


@dataclass(frozen=True, slots=True)
class TensorShare:
    """The tensors of one type: how many, and how large they are."""

    type: str
    tensors: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a model is, what it cannot do, and what it takes.

    Attributes:
        kind: In words.
        cannot: What the engine leaves off with it: ability to reason.
        heads: Attention heads of the layer that has most; ``kv_heads`` likewise.
        vocabulary: Number of tokens.
        trained_context: Tokens of the window it was trained for, 0 where it is not said.
        licence: As the file says it; empty where it does not.
        projector: File name of a vision projector beside it, or empty.
        projector_bytes: Memory that it takes beside the model, once there is an image.
        parts: Files the model is split over; 1 for a whole one.
        available: Bytes this process may still take; None where the system does not say.
    """

    name: str
    architecture: str
    kind: str
    cannot: dict[str, str]
    format: str
    parameters: int
    bytes: int
    layers: int
    heads: int
    kv_heads: int
    width: int
    vocabulary: int
    trained_context: int
    chat_template: bool
    licence: str
    projector: str
    projector_bytes: int
    parts: int
    tensors: tuple[TensorShare, ...]
    window: Window
    need: Need
    available: int | None

    @property
    def fits(self) -> bool | None:
        """Whether this machine has the memory, None where that cannot be known."""
        return None if self.available is None else self.need.total <= self.available


def summary_of(header: Header, window: Window) -> Summary:
    """Return what a header says, and the memory it takes at a window.

    Raises:
        InputError: The window's sizes are out of range.
    """
    kind = kind_of(header)
    layers = header.number("block_count")
    projector = projector_beside(header.path)
    parameters = 0
    counts: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for tensor in header.tensors:
        counts[tensor.kind] += 1
        sizes[tensor.kind] += tensor.bytes
        parameters += tensor.values
    split = header.metadata.get("split.count")
    return Summary(
        name=str(header.metadata.get("general.name", "")),
        architecture=header.architecture,
        kind=kind.description,
        cannot=kind.cannot(full_window=window.full_window),
        format=format_of(header),
        parameters=parameters,
        bytes=sum(sizes.values()),
        layers=layers,
        heads=_heads(header, "attention.head_count"),
        kv_heads=_heads(header, "attention.head_count_kv")
        or _heads(header, "attention.head_count"),
        width=header.number("embedding_length"),
        vocabulary=header.lengths.get("tokenizer.ggml.tokens", header.number("vocab_size")),
        trained_context=header.context_length,
        chat_template=bool(header.chat_template),
        licence=str(header.metadata.get("general.license", "")),
        projector=projector.name if projector else "",
        projector_bytes=sum(tensor.bytes for tensor in read_header(projector).tensors)
        if projector
        else 0,
        parts=split if isinstance(split, int) and split > 1 else 1,
        tensors=tuple(
            TensorShare(tensor_type(number), counts[number], size)
            for number, size in sizes.most_common()
        ),
        window=window,
        need=need(header, window),
        available=available(),
    )


def _heads(header: Header, key: str) -> int:
    return max(header.per_layer(key, min(header.number("block_count"), 512)) or (0,))
