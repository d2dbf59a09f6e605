"""What would abort llama.cpp is stopped here; each row of the table is true on both sides."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ragstack.engine import (
    adapters,
    encoder,
    gguf,
    guard,
    library,
    prefix_file,
    probe,
    projector,
    vocabulary,
)
from ragstack.engine.batch import Piece
from ragstack.engine.guard import DANGERS, Limits, check_batch, check_fit, check_limits
from ragstack.errors import ContextOverflow, GenerationError, InputError, ModelError
from ragstack.testing.tiny_model import TinyModel

_LIMITS = Limits(context=100, window=100, batch=32, micro_batch=32, outputs=8, vocabulary=273)

# What llama.cpp does when nothing stands before it. "{model}" is a tiny model's path.
_PREAMBLE = """
import ctypes, sys
from pathlib import Path
from ragstack.engine.library import llama, start
from ragstack.engine.model import Model
from ragstack.engine import context as ragstack_context
from ragstack.engine.context import Context, Options
model = Model(Path(sys.argv[1]))
context = Context(model, Options(size=256, batch=32, threads=1))
h, v = context._handle, model.vocabulary.handle
def decode(n, token=1, rows=1):
    batch = llama.llama_batch_init(max(n, 1), 0, 1)
    batch.n_tokens = n
    for i in range(n):
        batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, i, 1
        batch.seq_id[i][0], batch.logits[i] = 0, i < rows
    return llama.llama_decode(h, batch)
"""
_DEADLY = {
    "more tokens in a batch than n_batch": "decode(33)",
    "a token id out of range, detokenised": (
        "llama.llama_token_to_piece(v, 10**6, ctypes.create_string_buffer(9), 9, 0, True)"
    ),
    "fewer logit rows kept than there are sequences": (
        "ragstack_context.check_limits = lambda _: None\n"
        "Context(model, Options(size=256, batch=32, threads=1, outputs=2))"
    ),
    "a pooling that llama.cpp does not know": (
        "from ragstack.engine import encoder as e\n"
        "e.POOLINGS['odd'] = 9\n"
        "e.Encoder(Path(sys.argv[1]), e.Encoding('odd', 8, 8), threads=1)"
    ),
    "a position beyond the table of positions": (
        "from ragstack.engine import encoder as e\n"
        "from ragstack.testing.tiny_encoder import TinyEncoder\n"
        "bert = TinyEncoder(context_length=32).write(Path(sys.argv[1]).with_name('bert.gguf'))\n"
        "e.Encoder(bert, e.Encoding('mean', 512, 512), threads=1).encode([[2] * 500])"
    ),
    "a sequence id out of range": (
        "llama.llama_memory_seq_rm(llama.llama_get_memory(h), 999, 0, -1)"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("danger", sorted(_DEADLY))
def test_llama_really_dies_of_it(tiny_path: Path, danger: str) -> None:
    """Should one survive an update of llama.cpp, its row is true no longer: change the row."""
    assert danger in {row.input for row in DANGERS}
    code = _PREAMBLE + _DEADLY[danger] + "\nprint('survived')\n"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_path)], capture_output=True, text=True
    )
    assert done.returncode < 0, done.stdout + done.stderr


def test_every_row_names_a_check_that_is_there() -> None:
    places: dict[str, object] = {
        "guard": guard,
        "gguf": gguf,
        "adapters": adapters,
        "prefix_file": prefix_file,
        "probe": probe,
        "encoder": encoder,
        "projector": projector,
        "Vocabulary": vocabulary.Vocabulary,
    }
    for row in DANGERS:
        owner, _, name = row.check.partition(".")
        if owner in places and name:
            assert callable(getattr(places[owner], name)), row
        else:
            assert " " in row.check, row  # a sentence: the house never goes there
    assert len({row.input for row in DANGERS}) == len(DANGERS)


@pytest.mark.parametrize(
    ("tokens", "outputs"),
    [([], 0), ([1] * 33, 0), ([1], -1), ([1], 2), ([1] * 9, 9), ([-1], 0), ([1, 273], 0)],
)
def test_a_bad_batch_is_refused(tokens: list[int], outputs: int) -> None:
    with pytest.raises(InputError):
        check_batch([Piece(0, 0, tokens, outputs)], _LIMITS)


def test_a_good_batch_passes() -> None:
    check_batch([Piece(0, 0, [0, 272], 2)], _LIMITS)
    check_batch([Piece(0, 0, [5] * 32, 8)], _LIMITS)
    check_limits(_LIMITS)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(0, 1, 1, 1, 1, 9),
        Limits(2**31, 1, 1, 1, 1, 9),
        Limits(100, 101, 32, 32, 1, 9),
        Limits(100, 100, 101, 1, 1, 9),
        Limits(100, 100, 32, 33, 1, 9),
        Limits(100, 100, 32, 32, 33, 9),
        Limits(1000, 1000, 300, 300, 300, 9, sequences=257),
        Limits(100, 100, 32, 32, 8, 9, sequences=9),
        Limits(100, 100, 0, 0, 0, 9),
    ],
)
def test_bad_limits_are_refused(limits: Limits) -> None:
    with pytest.raises(InputError):
        check_limits(limits)


def test_what_fits_is_exact() -> None:
    check_fit(60, 40, _LIMITS)
    with pytest.raises(ContextOverflow) as caught:
        check_fit(60, 41, _LIMITS)
    assert "101" in caught.value.message
    assert "at most 40" in caught.value.hint
    with pytest.raises(ContextOverflow) as caught:
        check_fit(100, 1, _LIMITS)
    assert "shorten the prompt" in caught.value.hint
    with pytest.raises(InputError):
        check_fit(0, 1, _LIMITS)
    with pytest.raises(InputError):
        check_fit(1, -1, _LIMITS)


def test_sequences_are_checked() -> None:
    guard.check_sequence(0, _LIMITS)
    for sequence in (-1, 1):
        with pytest.raises(GenerationError):
            guard.check_sequence(sequence, _LIMITS)


_Damage = Callable[[bytes], bytes]


def _number(key: str, value: int) -> _Damage:
    """Return a function that sets an integer of a header."""

    def change(data: bytes) -> bytes:
        at = data.index(key.encode()) + len(key) + 4
        return data[:at] + value.to_bytes(4, "little") + data[at + 4 :]

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        _number("llama.attention.head_count", 0),
        _number("llama.attention.head_count_kv", 0),
        _number("llama.attention.head_count", 7),
        _number("llama.block_count", 0),
        _number("llama.block_count", 10**9),
        _number("llama.embedding_length", 0),
        _number("llama.context_length", 0),
        _number("tokenizer.ggml.eos_token_id", 10**6),
        lambda data: data.replace(b"smollm", b"unknwn", 1),
        lambda data: data.replace(b"llama", b"llbma"),
        lambda data: data.replace(b"gpt2", b"zzzz", 1),
        lambda data: data.replace(b"t h", b"qqq", 1),
        lambda data: data.replace(b"blk.1.ffn_up", b"blk.1.ffn_xx", 1),
    ],
)
def test_a_damaged_model_is_an_error_and_not_the_end(
    tiny_path: Path, tmp_path: Path, damage: _Damage
) -> None:
    """Either it loads all the same, or the error says what is wrong; this process lives on."""
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damage(tiny_path.read_bytes()))
    try:
        probe.check_loads(path)
    except ModelError as error:
        assert "damaged.gguf" in error.message


def test_a_library_for_another_processor_is_told_with_what_to_do(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its first step does there: an illegal instruction."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -ILL $$\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ModelError, match="this processor refuses") as caught:
        probe.check_loads(tiny_path)
    assert "-mno-amx-int8" in caught.value.hint


@pytest.mark.slow
def test_a_sound_model_passes(tmp_path: Path) -> None:
    probe.check_loads(TinyModel(sentencepiece=True, template="").write(tmp_path / "sound.gguf"))


def test_the_library_says_what_it_is() -> None:
    assert library.physical_cores() >= 1
    assert library.gpu_build() in (True, False)
