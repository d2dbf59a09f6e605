"""Memory is reckoned before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.engine import memory
from ragstack.engine.gguf import Header, Tensor, read_header
from ragstack.errors import NotEnoughSpace


def test_the_window_takes_what_the_formula_says(tiny_path: Path) -> None:
    # 2 layers, 2 heads of 16 for keys and values each, half floats
    assert memory.cache_bytes(read_header(tiny_path), 100) == 100 * 2 * 2 * (16 + 16) * 2


def test_a_header_that_does_not_say_takes_nothing() -> None:
    assert memory.cache_bytes(Header(Path("x"), {"general.architecture": "a"}, {}, ()), 100) == 0


def test_a_model_that_fits_passes(tiny_path: Path) -> None:
    memory.check_memory(read_header(tiny_path), 512)


def test_a_model_that_does_not_is_refused_with_numbers(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = read_header(tiny_path)
    weights = sum(tensor.bytes for tensor in header.tensors)
    monkeypatch.setattr(memory, "available", lambda: weights)
    with pytest.raises(NotEnoughSpace, match="MB are free"):
        memory.check_memory(header, 512)
    huge = Header(Path("huge.gguf"), {}, {}, (Tensor("t", (1,), 0, 0, 2**60),))
    monkeypatch.undo()
    if memory.available() is not None:
        with pytest.raises(NotEnoughSpace, match=r"huge\.gguf"):
            memory.check_memory(huge, 512)


def test_unknown_memory_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.check_memory(Header(Path("x"), {}, {}, (Tensor("t", (1,), 0, 0, 2**60),)), 512)
