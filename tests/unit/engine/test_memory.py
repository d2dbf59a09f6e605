"""Memory is reckoned before a model is loaded."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.engine import memory
from ragstack.engine.context import Context, Options
from ragstack.engine.gguf import Header, Tensor, read_header
from ragstack.engine.model import Model
from ragstack.engine.tools.summary import summary_of
from ragstack.errors import InputError, NotEnoughSpace


def _header(architecture: str, **keys: object) -> Header:
    said = {f"{architecture}.{key.replace('__', '.')}": value for key, value in keys.items()}
    return Header(Path("x.gguf"), {"general.architecture": architecture, **said}, {}, ())  # type: ignore[dict-item]


_ATTENTION = {
    "embedding_length": 64,
    "attention__head_count": 4,
    "attention__head_count_kv": 2,
}


def test_the_window_takes_what_the_formula_says(tiny_path: Path) -> None:
    # windows are rounded up to 256; 2 layers, 2 heads of 16 for keys and values each, half floats
    assert memory.cache_bytes(read_header(tiny_path), 100) == 256 * 2 * 2 * (16 + 16) * 2
    assert memory.cache_bytes(read_header(tiny_path), 300, streams=3) == 3 * 512 * 2 * 2 * 32 * 2


def test_a_header_that_does_not_say_takes_nothing() -> None:
    assert memory.cache_bytes(Header(Path("x"), {"general.architecture": "a"}, {}, ()), 100) == 0


def test_a_model_that_fits_passes(tiny_path: Path) -> None:
    memory.check_memory(read_header(tiny_path), memory.Window(512))


def test_a_model_that_does_not_is_refused_with_numbers(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = read_header(tiny_path)
    weights = sum(tensor.bytes for tensor in header.tensors)
    monkeypatch.setattr(memory, "available", lambda: weights)
    with pytest.raises(NotEnoughSpace, match="MB are free"):
        memory.check_memory(header, memory.Window(512))
    huge = Header(Path("huge.gguf"), {}, {}, (Tensor("t", (1,), 0, 0, 2**60),))
    monkeypatch.undo()
    if memory.available() is not None:
        with pytest.raises(NotEnoughSpace, match=r"huge\.gguf"):
            memory.check_memory(huge, memory.Window(512))


def test_unknown_memory_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.check_memory(
        Header(Path("x"), {}, {}, (Tensor("t", (1,), 0, 0, 2**60),)), memory.Window(512)
    )


def test_llama_cpp_reserves_what_was_reckoned(
    tiny_model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "ragstack.engine.library"):
        Context(tiny_model, Options(size=4096)).close()
    said = re.search(r"CPU KV buffer size = +([\d.]+) MiB", caplog.text)
    assert said is not None
    reckoned = memory.cache_bytes(tiny_model.header, 4096) / 1024**2
    assert float(said[1]) == pytest.approx(reckoned, abs=0.01)


def test_smaller_numbers_take_less() -> None:
    header = _header("llama", block_count=2, **_ATTENTION)
    takes = {
        kind: memory.need(header, memory.Window(1024, 1, kind)).cache for kind in memory.CACHE_TYPES
    }
    assert takes["f16"] == 1024 * 2 * 2 * 32 * 2
    assert takes["q8_0"] == takes["f16"] * 34 // 64
    assert takes["q4_0"] == takes["f16"] * 18 // 64
    assert takes["f32"] == takes["f16"] * 2


def test_windowed_layers_keep_their_window_and_a_batch() -> None:
    header = _header("gemma3", block_count=6, attention__sliding_window=512, **_ATTENTION)
    each = 2 * 32 * 2  # bytes of a token in a layer
    full = memory.Window(8192)
    assert memory.need(header, full).cache == 6 * 8192 * each
    short = memory.Window(8192, full_window=False, batch=512)
    assert memory.need(header, short).cache == (8192 + 5 * 1024) * each


def test_layers_may_differ_in_heads_and_share_values() -> None:
    varied = _header(
        "deci", block_count=3, **(_ATTENTION | {"attention__head_count_kv": (0, 1, 4)})
    )
    assert memory.cache_bytes(varied, 256) == 256 * 5 * 32 * 2
    shared = _header("gemma3n", block_count=4, attention__shared_kv_layers=3, **_ATTENTION)
    assert memory.cache_bytes(shared, 256) == 256 * 2 * 32 * 2


def test_latent_attention_keeps_keys_alone() -> None:
    header = _header(
        "deepseek2",
        block_count=1,
        attention__key_length=576,
        attention__value_length=512,
        attention__key_length_mla=192,
        **(_ATTENTION | {"attention__head_count_kv": 1}),
    )
    assert memory.cache_bytes(header, 256) == 256 * 576 * 2


def test_a_state_is_the_same_at_any_window() -> None:
    mamba = _header(
        "mamba", block_count=2, ssm__conv_kernel=4, ssm__inner_size=32, ssm__state_size=8
    )
    for context in (256, 65536):
        takes = memory.need(mamba, memory.Window(context, streams=3))
        assert takes.cache == 0
        assert takes.state == 3 * 2 * (3 * 32 + 8 * 32) * 4
    rwkv = _header("rwkv7", block_count=1, embedding_length=64, wkv__head_size=16)
    assert memory.need(rwkv, memory.Window(256)).state == (2 * 64 + 64 * 16) * 4
    short = _header("lfm2", block_count=2, shortconv__l_cache=3, **_ATTENTION)
    assert memory.need(short, memory.Window(256)).state == 0  # no layer without heads
    mixed = _header(
        "lfm2",
        block_count=2,
        shortconv__l_cache=3,
        **(_ATTENTION | {"attention__head_count_kv": (0, 2)}),
    )
    assert memory.need(mixed, memory.Window(256)).state == 64 * 2 * 4


def test_a_refusal_names_a_window_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    header = _header("llama", block_count=2, **_ATTENTION)
    takes = memory.need(header, memory.Window(4096, 4)).total
    monkeypatch.setattr(memory, "available", lambda: takes)
    memory.check_memory(header, memory.Window(4096, 4))
    with pytest.raises(NotEnoughSpace, match="4 windows of 8192 tokens") as caught:
        memory.check_memory(header, memory.Window(8192, 4))
    assert "context_size of 4096" in caught.value.hint
    with pytest.raises(NotEnoughSpace):
        memory.check_memory(header, memory.Window(4096, 4), beside=1_000_000)
    memory.check_memory(header, memory.Window(8192, 4, "q4_0"))


def test_a_device_takes_as_many_layers_as_fit() -> None:
    tensors = (Tensor("t", (1,), 0, 0, 11_000_000),)
    header = Header(Path("x"), {"general.architecture": "a", "a.block_count": 10}, {}, tensors)
    window = memory.Window(512)
    assert memory.layers_that_fit(header, window, 10**9) == 11
    assert memory.layers_that_fit(header, window, 4_500_000) == 4
    assert memory.layers_that_fit(header, window, 0) == 0


@pytest.mark.parametrize(
    "window", [memory.Window(0), memory.Window(1, 0), memory.Window(1, 1, "q3")]
)
def test_impossible_windows_are_refused(tiny_path: Path, window: memory.Window) -> None:
    with pytest.raises(InputError):
        memory.need(read_header(tiny_path), window)


_NUMBERS = st.integers(-2, 3) | st.integers(-(2**63), 2**64 - 1)
_VALUES = _NUMBERS | st.lists(_NUMBERS, max_size=4).map(tuple) | st.text(max_size=2) | st.booleans()
_KEYS = (
    "block_count nextn_predict_layers embedding_length feed_forward_length expert_count "
    "expert_used_count full_attention_interval wkv.head_size token_shift_count shortconv.l_cache "
    "ssm.state_size ssm.inner_size ssm.group_count ssm.conv_kernel attention.head_count "
    "attention.head_count_kv attention.key_length attention.value_length attention.causal "
    "attention.sliding_window attention.sliding_window_pattern attention.recurrent_layers "
    "attention.shared_kv_layers context_length"
)


@given(
    st.sampled_from(["llama", "gemma3", "mamba", "nemotron_h", "falcon-h1", "rwkv7", "x"]),
    st.dictionaries(st.sampled_from(_KEYS.split()), _VALUES),
)
def test_no_header_is_too_odd_to_be_reckoned(architecture: str, said: dict[str, Any]) -> None:
    keys = {f"{architecture}.{key}": value for key, value in said.items()}
    header = Header(Path("x.gguf"), {"general.architecture": architecture, **keys}, {}, ())
    found = summary_of(header, memory.Window(512, 2, full_window=False))
    assert found.kind
    assert memory.layers_that_fit(header, memory.Window(512), 10**9) >= 0
