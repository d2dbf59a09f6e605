"""What keys and values are kept as, and flash attention: what goes together, and what is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.engine import Engine, Request
from ragstack.engine.gguf import Header
from ragstack.engine.guard import FLASH_ATTENTION, check_cache
from ragstack.engine.kinds import kind_of
from ragstack.engine.memory import CACHE_TYPES, Window, need
from ragstack.engine.model import Model
from ragstack.errors import InputError, ModelError
from ragstack.testing.tiny_kinds import TinyKind
from ragstack.types import Sampling

_TOKENS = list(b"Some words to read, and some more of them after that, to the end.")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model whose heads are whole blocks of 32 numbers."""
    path = TinyKind(
        "olmoe",
        metadata={"olmoe.attention.head_count": 2, "olmoe.attention.head_count_kv": 2},
    ).write(tmp_path_factory.mktemp("wide") / "wide.gguf")
    model = Model(path)
    yield model
    model.close()


def _row(model: Model, cache_type: str, flash: str) -> np.ndarray:  # type: ignore[type-arg]
    options = Options(size=256, batch=32, threads=1, cache_type=cache_type, flash_attention=flash)
    context = Context(model, options)
    for at in range(0, len(_TOKENS), 32):
        piece = _TOKENS[at : at + 32]
        context.decode([Piece(0, at, piece, rows=1)])
    row = context.logits(len(piece) - 1).copy()
    context.close()
    return row


def test_rougher_numbers_move_the_logits_more(wide: Model) -> None:
    exact = _row(wide, "f32", "off")
    moved = {
        (kept, flash): float(np.abs(_row(wide, kept, flash) - exact).max())
        for kept in CACHE_TYPES
        for flash in FLASH_ATTENTION
        if flash != "off" or kept in ("f32", "f16")
    }
    assert moved["f32", "off"] == 0.0
    assert max(moved["f16", "off"], moved["f16", "on"]) < moved["q8_0", "on"]
    assert moved["q8_0", "auto"] == moved["q8_0", "on"] < moved["q4_0", "on"]
    assert moved["q4_0", "on"] < exact.std() * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cache_type": "q5_1"}, "expected one of f32, f16, q8_0, q4_0"),
        ({"flash_attention": "sometimes"}, "expected one of auto, on, off"),
        ({"cache_type": "q8_0", "flash_attention": "off"}, "read by flash attention alone"),
        ({"cache_type": "q4_0", "flash_attention": "off"}, "read by flash attention alone"),
    ],
)
def test_what_does_not_go_together_is_refused(
    wide: Model, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        Context(wide, Options(size=256, batch=32, threads=1, **options))


def test_heads_that_are_no_whole_blocks_are_refused(tiny_model: Model) -> None:
    """The tiny model's heads have 16 numbers."""
    for kept in ("q8_0", "q4_0"):
        with pytest.raises(InputError, match="blocks of 32; a head's keys are 16 numbers"):
            Context(tiny_model, Options(size=256, batch=32, threads=1, cache_type=kept))
    keys = {
        "general.architecture": "a",
        "a.embedding_length": 64,
        "a.attention.head_count": 2,
        "a.attention.value_length": 48,
    }
    with pytest.raises(InputError, match="a head's values are 48"):
        check_cache(Header(Path("x"), keys, {}, ()), "q8_0")
    check_cache(Header(Path("x"), keys, {}, ()), "f16")


def test_an_engine_shares_and_goes_back_in_a_rough_cache(wide: Model) -> None:
    options = Options(size=256, batch=32, threads=1, cache_type="q8_0", flash_attention="on")
    engine = Engine(wide.header.path, options)
    try:
        first = engine.generate(Request(tuple(_TOKENS), Sampling(max_tokens=8)))
        list(first)
        second = engine.generate(Request((*_TOKENS, 65), Sampling(max_tokens=8)))
        list(second)
        assert (first.cached, second.cached) == (0, len(_TOKENS))
        assert engine.score(_TOKENS, [[70], [71, 72]])
    finally:
        engine.close()


@pytest.mark.parametrize(
    "other", [{"cache_type": "f16"}, {"flash_attention": "on"}, {"full_window": False}]
)
def test_a_saved_prefix_fits_the_cache_it_was_saved_from(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    """One that kept a window alone could not be cut back; llama.cpp would say nothing of it."""
    path = TinyKind("gemma2").write(tmp_path / "g.gguf")
    options = Options(
        size=256, batch=32, threads=1, streams=1, kept=2, cache_type="f32", flash_attention="off"
    )
    first = Engine(path, options)
    first.save_prefix(_TOKENS, tmp_path / "p")
    assert first.load_prefix(tmp_path / "p") == len(_TOKENS)
    first.close()
    second = Engine(path, replace(options, **other))
    try:
        with pytest.raises(ModelError, match="its cache is 'f32, flash attention off, everything'"):
            second.load_prefix(tmp_path / "p")
        assert list(second.generate(Request(tuple(_TOKENS), Sampling(max_tokens=2))))
    finally:
        second.close()


def test_memory_follows_the_window_of_each_sequence(tmp_path: Path) -> None:
    """``llama_kv_cache_iswa`` keeps a window for each sequence, where it does not keep all."""
    header = Model(TinyKind("gemma2").write(tmp_path / "g.gguf")).header
    assert kind_of(header).window == 24
    each = 2 * 2 * 16 * 2  # heads, keys and values, numbers of a head, bytes
    whole = need(header, Window(4096, streams=2)).cache
    assert whole == 4 * 8192 * each
    narrow = need(header, Window(4096, streams=2, full_window=False, sequences=32)).cache
    assert narrow == (2 * 8192 + 2 * 1280) * each  # 24 x 32 + 512 is 1280
    states = Model(TinyKind("mamba").write(tmp_path / "m.gguf")).header
    one = need(states, Window(256)).state
    assert need(states, Window(256, streams=2, sequences=16)).state == 16 * one
