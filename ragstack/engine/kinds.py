"""What kind of model a GGUF header describes, and what that kind cannot do. Pure functions.

Which layers keep a window, and which a state, is said by metadata or fixed by the architecture;
the fixed ones are those of llama.cpp's ``src/models``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ragstack.engine.gguf import Header
from ragstack.errors import UnsupportedCapability

__all__ = ["ABILITIES", "Kind", "kind_of", "require_ability"]

ABILITIES = ("generation", "prefix sharing", "rollback", "speculation", "several sequences")
"""What the engine does with a model, where its kind allows it."""

# Layers of which one in so many attends to everything (``load_swa_pattern``), and whether that one
# comes first. A header's own ``sliding_window_pattern`` goes before.
_WINDOW_PERIODS: Mapping[str, tuple[int, bool]] = {
    "afmoe": (4, False), "cohere2": (4, False), "exaone-moe": (4, False), "exaone4": (4, False),
    "gemma-embedding": (6, False), "gemma2": (2, False), "gemma3": (6, False),
    "gemma3n": (5, False), "gpt-oss": (2, False), "llama4": (4, False), "mellum": (4, False),
    "modern-bert": (3, True), "olmo2": (4, False), "plamo3": (8, False),
    "smallthinker": (4, True),
}  # fmt: skip
# llama.cpp reads the window of these from the code where the header does not say it.
_WINDOW_DEFAULTS = {"gemma2": 4096, "llama4": 8192, "smallthinker": 4096}

_ENCODERS = frozenset({
    "bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert",
    "neo-bert", "nomic-bert", "nomic-bert-moe", "t5encoder", "wavtokenizer-dec",
})  # fmt: skip
_ENCODER_DECODERS = frozenset(("t5",))
_DIFFUSION = frozenset(("dream", "llada", "llada-moe", "rnd1"))
_RECURRENT = frozenset(("arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"))
_ALL_LAYERS_BOTH = frozenset(("falcon-h1",))  # each layer attends, and carries a state as well
_STATE_KEYS = ("ssm.state_size", "ssm.conv_kernel", "wkv.head_size", "shortconv.l_cache")

_MOST_LAYERS = 512  # LLAMA_MAX_LAYERS

_NO_TEXT = {
    "encoder": "the model is an encoder: it turns text into vectors and writes none",
    "encoder-decoder": "the model reads with an encoder and writes with a decoder; "
    "the engine runs decoders alone",
    "diffusion": "the model writes by filling in a whole text step by step, not token by token",
    "vision projector": "the file turns images into vectors for a model beside it; "
    "it is no model of text",
    "adapter": "the file is a LoRA adapter, to be used on top of the model it was made for",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What a header says of how its network reads.

    Attributes:
        name: ``dense``, ``mixture of experts``, ``recurrent``, ``hybrid``, ``encoder``,
            ``encoder-decoder``, ``diffusion``, ``vision projector`` or ``adapter``.
        experts: How many there are, and how many of them read each token; 0 and 0 without.
        window: Tokens that the layers of ``windowed`` look back on; 0 where all look back on all.
        windowed: For each layer, whether it has that window.
        states: For each layer, whether a state of fixed size runs through it.
        attends: For each layer, whether it keeps keys and values.
    """

    name: str
    experts: tuple[int, int]
    window: int
    windowed: tuple[bool, ...]
    states: tuple[bool, ...]
    attends: tuple[bool, ...]

    @property
    def description(self) -> str:
        """The kind in a few words, as in ``mixture of experts, 8 of 64, sliding window``."""
        parts = [self.name]
        if self.experts[0]:
            of = f"{self.experts[1]} of {self.experts[0]} experts read each token"
            parts.append(of if self.name == "mixture of experts" else f"mixture of experts: {of}")
        if self.window:
            layers = f"{sum(self.windowed)} of {len(self.windowed)} layers"
            parts.append(f"sliding window of {self.window} tokens in {layers}")
        if self.name == "hybrid":
            parts.append(f"a running state in {sum(self.states)} of {len(self.states)} layers")
        return ", ".join(parts)

    def cannot(self, *, full_window: bool = True) -> dict[str, str]:
        """Return what does not hold for this kind: ability to reason.

        Args:
            full_window: Layers with a sliding window keep everything nevertheless, as they do by
                default in llama.cpp (``swa_full``); it costs memory and nothing else.
        """
        if self.name in _NO_TEXT:
            return dict.fromkeys(ABILITIES, _NO_TEXT[self.name])
        if any(self.states):
            why = (
                "a state runs through the text and only its latest value is kept, "
                "so what was read can be continued or forgotten as a whole, not cut"
            )
            return {name: why for name in ("prefix sharing", "rollback", "speculation")}
        if self.window and not full_window:
            why = (
                f"some layers keep only the last {self.window} tokens, "
                "so an earlier place cannot be returned to"
            )
            return {name: why for name in ("prefix sharing", "rollback", "speculation")}
        return {}

    def notice(self, *, full_window: bool = True) -> str:
        """Return what is switched off and why, as one line; empty where all of it holds."""
        cannot = self.cannot(full_window=full_window)
        if not cannot:
            return ""
        return f"{self.description}: no {', no '.join(cannot)}; {next(iter(cannot.values()))}"


def require_ability(kind: Kind, ability: str, *, full_window: bool = True) -> None:
    """Refuse what a kind of model cannot do.

    Raises:
        UnsupportedCapability: Says which, and why.
    """
    reason = kind.cannot(full_window=full_window).get(ability)
    if reason is not None:
        raise UnsupportedCapability(f"{ability} cannot be had with this model: {reason}")


def kind_of(header: Header) -> Kind:
    """Return the kind of model that a header describes."""
    said = header.number("block_count") - header.number("nextn_predict_layers")
    layers = min(max(said, 0), _MOST_LAYERS)
    states = _states(header, layers)
    window, windowed = _window(header, layers)
    experts = header.number("expert_count")
    return Kind(
        _name(header, states, experts),
        (experts, _first(header, "expert_used_count")),
        window,
        windowed,
        states,
        _attends(header, states),
    )


def _name(header: Header, states: tuple[bool, ...], experts: int) -> str:
    architecture = header.architecture
    if header.metadata.get("general.type") == "adapter":
        return "adapter"
    if architecture == "clip" or header.metadata.get("general.type") == "mmproj":
        return "vision projector"
    if architecture in _ENCODER_DECODERS:
        return "encoder-decoder"
    if architecture in _DIFFUSION:
        return "diffusion"
    causal = header.metadata.get(f"{architecture}.attention.causal", True)
    if architecture in _ENCODERS or causal is False:
        return "encoder"
    if states and all(states) and architecture not in _ALL_LAYERS_BOTH:
        return "recurrent"
    if any(states):
        return "hybrid"
    return "mixture of experts" if experts else "dense"


def _states(header: Header, layers: int) -> tuple[bool, ...]:
    """Return the layers that a state runs through, as llama.cpp finds them (``is_recr``)."""
    architecture = header.architecture
    if architecture in _RECURRENT or architecture in _ALL_LAYERS_BOTH:
        return (True,) * layers
    said = header.per_layer("attention.recurrent_layers", layers)
    if said is not None:
        return tuple(bool(value) for value in said)
    if not any(header.number(key) for key in _STATE_KEYS):
        return (False,) * layers
    interval = header.number("full_attention_interval")
    if interval:
        return tuple((layer + 1) % interval != 0 for layer in range(layers))
    heads = header.per_layer("attention.head_count_kv", layers) or (0,) * layers
    feeds = header.per_layer("feed_forward_length", layers) or (0,) * layers
    alone = architecture.startswith("nemotron_h")  # its feed-forward layers stand alone
    return tuple(not (count or (alone and feed)) for count, feed in zip(heads, feeds, strict=True))


def _attends(header: Header, states: tuple[bool, ...]) -> tuple[bool, ...]:
    if header.architecture in _ALL_LAYERS_BOTH:
        return (True,) * len(states)
    heads = header.per_layer("attention.head_count_kv", len(states)) or (1,) * len(states)
    return tuple(not state and bool(count) for state, count in zip(states, heads, strict=True))


def _window(header: Header, layers: int) -> tuple[int, tuple[bool, ...]]:
    """Return the window and the layers that have it; 0 where llama.cpp gives it to none."""
    architecture = header.architecture
    said = f"{architecture}.attention.sliding_window" in header.metadata
    default = 0 if said else _WINDOW_DEFAULTS.get(architecture, 0)
    size = header.number("attention.sliding_window") or default
    pattern = header.metadata.get(f"{architecture}.attention.sliding_window_pattern")
    if not size or (architecture not in _WINDOW_PERIODS and pattern is None):
        # llama.cpp passes over the window of llama, mistral, qwen2 and phi3 headers.
        return 0, (False,) * layers
    if isinstance(pattern, tuple):
        return size, tuple(map(bool, (pattern + (False,) * layers)[:layers]))
    period, first = _WINDOW_PERIODS.get(architecture, (0, False))
    if isinstance(pattern, int) and not isinstance(pattern, bool):
        period = pattern
    if period == 0:
        return size, (True,) * layers
    full = 0 if first else period - 1
    return size, tuple(layer % period != full for layer in range(layers))


def _first(header: Header, key: str) -> int:
    values = header.per_layer(key, 1)
    return values[0] if values else 0
