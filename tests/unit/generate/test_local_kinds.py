"""The local generator over other kinds of model: what it refuses, and what it says instead."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragstack import models
from ragstack.engine.library import library_file
from ragstack.errors import InputError, ModelError, UnsupportedCapability
from ragstack.generate.local import LocalGenerator
from ragstack.testing.tiny_kinds import TinyKind
from ragstack.testing.tiny_model import TinyModel, write_gguf
from ragstack.types import Message, Sampling, image_part

_MESSAGES = (Message("system", "Be brief."), Message("user", "Who pays?"))
_IMAGE = image_part(b"\x89PNG\r\n\x1a\n" + bytes(30))


def _generator(path: Path, **options: Any) -> LocalGenerator:
    models.vouch(path, beside=library_file())
    return LocalGenerator(model=str(path), context_size=256, streams=2, **options)


def test_a_recurrent_model_goes_on_with_a_conversation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with _generator(TinyKind("mamba").write(tmp_path / "m.gguf")) as generator:
        sampling = Sampling(max_tokens=4)
        *said, last = generator.stream(_MESSAGES, sampling=sampling)
        again = list(generator.stream(_MESSAGES, sampling=sampling))
        assert last.usage is not None
        assert "".join(d.text for d in again) == "".join(d.text for d in said)
        assert again[-1].usage is not None
        assert again[-1].usage.cached_tokens == 0  # what was read goes on past the prompt
        generator.save_prefix(_MESSAGES, tmp_path / "prefix")
        longer = (*_MESSAGES, Message("assistant", "The town."), Message("user", "Why?"))
        *_, last = generator.stream(longer, sampling=sampling)
        assert last.usage is not None
    assert "m.gguf is recurrent: no prefix sharing" in caplog.text
    assert [r.levelno for r in caplog.records if "recurrent" in r.message] == [logging.WARNING]


def test_states_are_kept_for_fewer_sequences(tmp_path: Path) -> None:
    """Each is a state of its own, where keys and values are shared."""
    dense = _generator(TinyModel().write(tmp_path / "d.gguf"))
    hybrid = _generator(TinyKind("lfm2").write(tmp_path / "h.gguf"))
    assert dense._options.kept > hybrid._options.kept >= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cache_type": "q8_0"}, "blocks of 32"),
        ({"cache_type": "int8"}, "cache_type is 'int8'"),
        ({"flash_attention": "yes"}, "flash_attention is 'yes'"),
        ({"cache_type": "q4_0", "flash_attention": "off"}, "flash attention alone"),
    ],
)
def test_bad_cache_options_are_refused_at_once(
    local_path: Path, options: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        LocalGenerator(model=str(local_path), **options)  # type: ignore[arg-type]


def test_options_reach_llama_cpp(tmp_path: Path) -> None:
    path = TinyKind("gemma2").write(tmp_path / "g.gguf")
    with _generator(path, cache_type="f32", flash_attention="off", full_window=False) as generator:
        context = generator._load().engine._worker.context
        assert not context.can_cut
        assert context.keeps.startswith("f32")
        assert list(generator.stream(_MESSAGES, sampling=Sampling(max_tokens=2)))


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"general.architecture": "bert"}, "encoder"),
        ({"general.architecture": "t5"}, "encoder-decoder|reads with an encoder"),
        ({"general.architecture": "clip", "general.type": "mmproj"}, "images into vectors"),
        ({"general.architecture": "llama", "general.type": "adapter"}, "LoRA"),
        ({"general.architecture": "llada"}, "not token by token"),
    ],
)
def test_what_writes_no_text_is_refused_before_it_is_loaded(
    tmp_path: Path, metadata: dict[str, object], said: str
) -> None:
    path = tmp_path / "x.gguf"
    write_gguf(path, metadata, {"a.weight": np.ones((4, 4), np.float32)})
    with pytest.raises(UnsupportedCapability, match=said):
        LocalGenerator(model=str(path))


@pytest.mark.parametrize(
    ("architecture", "metadata", "said"),
    [
        ("jamba", {"jamba.ssm.inner_size": 64}, "aborts over it .*GGML_ASSERT"),
        ("mamba", {"mamba.ssm.inner_size": 64}, "refuses it"),
        ("olmoe", {"olmoe.expert_used_count": 9}, "aborts over it .*GGML_ASSERT"),
        ("olmoe", {"olmoe.expert_count": 10_000}, "aborts over it .*GGML_ASSERT"),
        ("lfm2", {"lfm2.shortconv.l_cache": 1}, "refuses it"),
    ],
)
def test_sizes_that_do_not_go_together_end_no_process(
    tmp_path: Path, architecture: str, metadata: dict[str, object], said: str
) -> None:
    """Some of these llama.cpp refuses, and some it aborts over: in a process of its own."""
    path = TinyKind(architecture, metadata=metadata).write(tmp_path / "odd.gguf")
    generator = LocalGenerator(model=str(path), context_size=64)
    with pytest.raises(ModelError, match=said):
        generator.stream(_MESSAGES, sampling=Sampling(max_tokens=2))
    generator.close()
