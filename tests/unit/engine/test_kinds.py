"""What a header says of its network, and what the engine leaves off with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ragstack.engine.gguf import Header, read_header
from ragstack.engine.kinds import ABILITIES, kind_of, require_ability
from ragstack.errors import UnsupportedCapability
from ragstack.testing.tiny_model import write_gguf

Write = Callable[..., Header]


@pytest.fixture
def header(tmp_path: Path) -> Write:
    """Write a header with these keys of its architecture, and read it back."""

    def write(architecture: str, file: str = "x.gguf", /, **keys: object) -> Header:
        metadata: dict[str, object] = {"general.architecture": architecture}
        for key, value in keys.items():
            name = key.replace("__", ".")
            metadata[name if name.startswith("general.") else f"{architecture}.{name}"] = value
        write_gguf(tmp_path / file, metadata, {"x.weight": np.ones((4, 32), np.float32)})
        return read_header(tmp_path / file)

    return write


def test_a_dense_model_can_do_all(header: Write) -> None:
    kind = kind_of(header("llama", block_count=4, attention__head_count_kv=2))
    assert kind.name == kind.description == "dense"
    assert kind.attends == (True,) * 4
    assert kind.cannot() == {}
    for ability in ABILITIES:
        require_ability(kind, ability)


def test_experts_are_counted(header: Write) -> None:
    kind = kind_of(header("qwen3moe", block_count=2, expert_count=64, expert_used_count=8))
    assert kind.name == "mixture of experts"
    assert kind.experts == (64, 8)
    assert "8 of 64 experts" in kind.description
    assert kind.cannot() == {}


@pytest.mark.parametrize("architecture", ["mamba", "mamba2", "rwkv7"])
def test_a_recurrent_model_cannot_go_back(header: Write, architecture: str) -> None:
    kind = kind_of(header(architecture, block_count=3, ssm__state_size=16))
    assert kind.name == "recurrent"
    assert kind.attends == (False,) * 3
    assert set(kind.cannot()) == {"prefix sharing", "rollback", "speculation"}
    with pytest.raises(UnsupportedCapability, match=r"speculation .* a state runs through"):
        require_ability(kind, "speculation")
    require_ability(kind, "several sequences")
    require_ability(kind, "generation")


def test_layers_without_heads_carry_the_state_of_a_hybrid(header: Write) -> None:
    kind = kind_of(
        header("jamba", block_count=4, ssm__state_size=8, attention__head_count_kv=[0, 2, 0, 0])
    )
    assert kind.name == "hybrid"
    assert kind.states == (True, False, True, True)
    assert kind.attends == (False, True, False, False)
    assert "3 of 4 layers" in kind.description


def test_every_so_many_layers_of_a_hybrid_attend(header: Write) -> None:
    kind = kind_of(
        header(
            "qwen3next",
            block_count=8,
            ssm__state_size=8,
            full_attention_interval=4,
            attention__head_count_kv=2,
            expert_count=16,
            expert_used_count=2,
        )
    )
    assert kind.name == "hybrid"
    assert kind.attends == (False, False, False, True) * 2
    assert "mixture of experts: 2 of 16" in kind.description


def test_layers_that_are_named_recurrent_are(header: Write) -> None:
    kind = kind_of(
        header(
            "qwen35", block_count=2, attention__recurrent_layers=[1, 0], attention__head_count_kv=2
        )
    )
    assert kind.states == (True, False)


def test_feed_forward_layers_of_nemotron_carry_no_state(header: Write) -> None:
    kind = kind_of(
        header(
            "nemotron_h",
            block_count=3,
            ssm__state_size=8,
            attention__head_count_kv=[0, 0, 2],
            feed_forward_length=[0, 64, 0],
        )
    )
    assert kind.states == (True, False, False)
    assert kind.attends == (False, False, True)


def test_each_layer_of_falcon_h1_does_both(header: Write) -> None:
    kind = kind_of(header("falcon-h1", block_count=2, attention__head_count_kv=2))
    assert kind.name == "hybrid"
    assert kind.states == kind.attends == (True, True)


@pytest.mark.parametrize(
    ("architecture", "keys", "expected"),
    [
        ("gemma2", {}, (4096, (True, False) * 3)),
        ("gemma3", {"attention__sliding_window": 512}, (512, (True,) * 5 + (False,))),
        ("gemma3", {}, (0, (False,) * 6)),
        ("smallthinker", {"attention__sliding_window": 64}, (64, (False, True, True, True) * 2)),
        (
            "unheard-of",
            {"attention__sliding_window": 9, "attention__sliding_window_pattern": [1, 0, 1]},
            (9, (True, False, True, False, False, False)),
        ),
        (
            "cohere2",
            {"attention__sliding_window": 9, "attention__sliding_window_pattern": 3},
            (9, (True, True, False) * 2),
        ),
        ("llama", {"attention__sliding_window": 4096}, (0, (False,) * 6)),
    ],
)
def test_which_layers_have_a_window(
    header: Write,
    architecture: str,
    keys: dict[str, object],
    expected: tuple[int, tuple[bool, ...]],
) -> None:
    kind = kind_of(header(architecture, block_count=6, attention__head_count=2, **keys))
    assert (kind.window, kind.windowed) == (expected[0], expected[1][:6])


def test_a_short_window_cannot_be_gone_back_on(header: Write) -> None:
    kind = kind_of(header("gemma3", block_count=6, attention__sliding_window=512))
    assert "sliding window of 512 tokens in 5 of 6 layers" in kind.description
    assert kind.cannot(full_window=True) == {}
    assert set(kind.cannot(full_window=False)) == {"prefix sharing", "rollback", "speculation"}


@pytest.mark.parametrize(
    ("architecture", "keys", "name"),
    [
        ("bert", {}, "encoder"),
        ("new-encoder", {"attention__causal": False}, "encoder"),
        ("t5", {}, "encoder-decoder"),
        ("dream", {}, "diffusion"),
        ("clip", {}, "vision projector"),
        ("llama", {"general__type": "adapter"}, "adapter"),
    ],
)
def test_what_writes_no_text_says_why(
    header: Write, architecture: str, keys: dict[str, object], name: str
) -> None:
    kind = kind_of(header(architecture, block_count=1, **keys))
    assert kind.name == name
    assert set(kind.cannot()) == set(ABILITIES)
    with pytest.raises(UnsupportedCapability, match="generation cannot be had"):
        require_ability(kind, "generation")


def test_impossible_numbers_of_layers_do_no_harm(header: Write) -> None:
    assert len(kind_of(header("llama", block_count=2**32 - 1)).attends) == 512
    assert kind_of(header("mamba", block_count=0)).name == "dense"
    assert kind_of(header("llama", block_count=2, attention__head_count_kv="many")).states
