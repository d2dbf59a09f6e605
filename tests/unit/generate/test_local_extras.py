"""Adapters and saved prefixes through the local generator."""

from __future__ import annotations

import os
import signal
import struct
from pathlib import Path

import pytest

from ragstack import models
from ragstack.engine import gguf
from ragstack.engine.library import library_file
from ragstack.errors import InputError, ModelError
from ragstack.generate import local
from ragstack.generate.local import LocalGenerator
from ragstack.testing.tiny_model import TinyAdapter
from ragstack.types import Delta, Message, Sampling

_SYSTEM = Message("system", "You answer with care, and quote what you were given, word by word.")
_ASK = (_SYSTEM, Message("user", "Who pays?"))
_SAMPLING = Sampling(max_tokens=12)


def _answer(generator: LocalGenerator) -> tuple[str, int]:
    deltas: list[Delta] = list(generator.stream(_ASK, sampling=_SAMPLING))
    usage = deltas[-1].usage
    assert usage is not None
    return "".join(delta.text for delta in deltas), usage.cached_tokens


def test_a_saved_prefix_is_a_warm_start(local_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "system.prefix"
    with LocalGenerator(model=str(local_path), threads=1) as first:
        expected, _ = _answer(first)
        first.save_prefix([_SYSTEM], path)
    with LocalGenerator(model=str(local_path), threads=1) as second:
        count = second.load_prefix(path)
        text, cached = _answer(second)
    assert text == expected
    # all of the system message; the opening of the reply is where the question comes now
    assert count - 25 < cached < count
    assert cached > 60


def test_an_adapter_writes_by_its_name(local_path: Path, tmp_path: Path) -> None:
    adapter = TinyAdapter(seed=1).write(tmp_path / "style.gguf")
    with LocalGenerator(
        model=str(local_path), threads=1, adapters={"style": str(adapter)}
    ) as generator:
        assert generator.capabilities.adapters
        plain, _ = _answer(generator)
        styled = generator.served(adapter="style")
        first, cached = _answer(styled)
        assert first != plain and cached == 0
        assert _answer(generator)[0] == plain
        assert _answer(styled)[0] == first
        with pytest.raises(InputError, match="no adapter is named 'other'; there are: 'style'"):
            generator.served(adapter="other")


def test_adapters_are_checked(local_path: Path, local_generator: LocalGenerator) -> None:
    assert not local_generator.capabilities.adapters
    with pytest.raises(InputError, match="empty name"):
        LocalGenerator(model=str(local_path), adapters={"": "a.gguf"})
    with (
        LocalGenerator(model=str(local_path), adapters={"a": "no/such.gguf"}) as generator,
        pytest.raises(ModelError, match="cannot be read"),
    ):
        generator.count("a")


def test_an_adapter_is_tried_once_for_each_model(
    local_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = TinyAdapter(seed=4).write(tmp_path / "a.gguf")
    tried: list[tuple[Path, ...]] = []
    monkeypatch.setattr(local, "check_loads", lambda *paths: tried.append(paths))
    models.vouch(local_path, beside=library_file())
    for _ in range(2):
        with LocalGenerator(model=str(local_path), adapters={"a": str(adapter)}) as generator:
            generator.count("a")
    assert tried == [(local_path, adapter)]
    adapter.touch()
    os.utime(adapter, ns=(1, 1))
    with LocalGenerator(model=str(local_path), adapters={"a": str(adapter)}) as generator:
        generator.count("a")
    assert len(tried) == 2


def test_an_adapter_llama_cpp_dies_of_is_only_refused(local_path: Path, tmp_path: Path) -> None:
    """Alpha as float64 is an assert there: another process dies of it, this one goes on."""
    path = TinyAdapter(seed=5).write(tmp_path / "wide.gguf")
    whole, key = path.read_bytes(), b"adapter.lora.alpha"
    start = min(tensor.start for tensor in gguf.read_header(path).tensors)
    at = whole.index(key) + len(key)
    head = whole[:at] + struct.pack("<Id", 12, 8.0) + whole[at + 8 : start]
    assert head.endswith(bytes(4))  # of the padding
    path.write_bytes(head[:-4] + whole[start:])
    with (
        LocalGenerator(model=str(local_path), adapters={"a": str(path)}) as generator,
        pytest.raises(ModelError, match=f"aborts over it .signal {int(signal.SIGABRT)}"),
    ):
        generator.count("a")
    with LocalGenerator(model=str(local_path)) as generator:
        assert generator.count("abc") > 0
