"""Saved prefixes: a fresh engine goes on where another was, and believes no other file."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragstack.engine.context import Options
from ragstack.engine.engine import Engine, Request
from ragstack.engine.prefix_file import Origin, Prefix, read_prefix, write_prefix
from ragstack.errors import ContextOverflow, EngineBusy, InputError, ModelError
from ragstack.testing.tiny_model import TinyModel
from ragstack.types import Sampling

_PREFIX = tuple(b"A system prompt that every question begins with, and rather a long one.")
_PROMPT = (*_PREFIX, *b" And a question?")
_OPTIONS = Options(size=256, batch=32, threads=1)
_ORIGIN = Origin(1, "m", "", "1.0")


class _Slow:
    """Holds a text up, so that it is at work for a while."""

    free = True

    def forced(self) -> None:
        time.sleep(0.01)

    def accept(self, token: int) -> None:
        """Take no note."""


def _answer(engine: Engine) -> tuple[list[int], int]:
    generation = engine.generate(Request(_PROMPT, Sampling(max_tokens=16)))
    return list(generation), generation.cached


@pytest.fixture
def saved(tiny_engine: Engine, tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "system.prefix"
    tiny_engine.save_prefix(_PREFIX, path)
    return path


@pytest.fixture
def fresh(tiny_path: Path) -> Iterator[Engine]:
    engine = Engine(tiny_path, _OPTIONS)
    yield engine
    engine.close()


def test_a_fresh_engine_goes_on_where_another_was(
    tiny_engine: Engine, fresh: Engine, saved: Path
) -> None:
    expected, _ = _answer(tiny_engine)
    assert fresh.load_prefix(saved) == len(_PREFIX)
    assert fresh.stats().totals.steps == 0
    tokens, cached = _answer(fresh)
    assert (tokens, cached) == (expected, len(_PREFIX))
    assert fresh.load_prefix(saved) == len(_PREFIX)
    assert [each.name for each in saved.parent.iterdir()] == [saved.name]


def test_loading_twice_keeps_it_once(fresh: Engine, saved: Path) -> None:
    fresh.load_prefix(saved)
    fresh.load_prefix(saved)
    assert fresh.stats().kept == 1


def test_only_the_prefix_is_saved(fresh: Engine, tiny_engine: Engine, tmp_path: Path) -> None:
    """What was read beyond it, for another request, is not in the file."""
    _answer(tiny_engine)
    tiny_engine.save_prefix(_PREFIX, tmp_path / "p")
    fresh.load_prefix(tmp_path / "p")
    tokens, cached = _answer(fresh)
    assert (tokens, cached) == (_answer(tiny_engine)[0], len(_PREFIX))


def test_what_is_kept_gives_way(tiny_path: Path, saved: Path) -> None:
    engine = Engine(tiny_path, _OPTIONS)
    list(engine.generate(Request(tuple(b"x" * 240), Sampling(max_tokens=8))))
    engine.load_prefix(saved)
    generation = engine.generate(Request((*_PREFIX, 50), Sampling(max_tokens=2)))
    list(generation)
    assert generation.cached == len(_PREFIX)
    engine.close()


def test_what_is_at_work_does_not(tiny_path: Path, saved: Path) -> None:
    engine = Engine(tiny_path, _OPTIONS)
    never = dict.fromkeys(engine.model.vocabulary.ends, float("-inf"))
    running = engine.generate(
        Request(tuple(b"x" * 200), Sampling(max_tokens=56, logit_bias=never), guide=_Slow())
    )
    first = next(running)
    with pytest.raises(EngineBusy, match="no room"):
        engine.load_prefix(saved)
    alone = Engine(tiny_path, _OPTIONS)
    expected = alone.generate(Request(running.request.tokens, running.request.sampling))
    assert [first, *running] == list(expected)
    alone.close()
    engine.close()


def test_a_deterministic_request_is_left_alone(fresh: Engine, saved: Path) -> None:
    never = dict.fromkeys(fresh.model.vocabulary.ends, float("-inf"))
    sampling = Sampling(max_tokens=60, logit_bias=never, deterministic=True)
    running = fresh.generate(Request(_PROMPT[:60], sampling, guide=_Slow()))
    next(running)
    with pytest.raises(EngineBusy, match="deterministic"):
        fresh.load_prefix(saved)
    list(running)
    assert fresh.load_prefix(saved) == len(_PREFIX)


def test_a_file_of_another_model_is_refused(saved: Path, tmp_path: Path) -> None:
    path = TinyModel(seed=1).write(tmp_path / "other.gguf")
    engine = Engine(path, _OPTIONS)
    with pytest.raises(ModelError, match="its model is"):
        engine.load_prefix(saved)
    assert engine.stats().kept == 0
    engine.close()


def test_a_prefix_over_the_window_is_refused(tiny_path: Path, saved: Path) -> None:
    engine = Engine(tiny_path, Options(size=64, batch=32, threads=1))
    with pytest.raises(ContextOverflow):
        engine.load_prefix(saved)
    engine.close()


def test_what_cannot_be_saved_is_refused(tiny_engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        tiny_engine.save_prefix((), tmp_path / "p")
    with pytest.raises(InputError):
        tiny_engine.save_prefix((10**6,), tmp_path / "p")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        tiny_engine.save_prefix(_PREFIX, tmp_path / "file" / "p")
    with pytest.raises(ModelError, match="cannot be read"):
        tiny_engine.load_prefix(tmp_path / "none")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damaged_file_is_believed(tiny_engine: Engine, saved: Path, data: st.DataObject) -> None:
    whole = saved.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from(
            [
                whole[:at],
                whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :],
                whole + b"\0",
                whole[at:],
            ]
        )
    )
    if damaged == whole:
        return
    path = saved.with_name("damaged")
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match="no saved prefix"):
        tiny_engine.load_prefix(path)


def _forged(path: Path, header: bytes, state: bytes = b"") -> Path:
    """Write a file whose hash is right, whatever it says."""
    body = struct.pack("<I", len(header)) + header + state
    path.write_bytes(b"ragstack prefix 1\n" + hashlib.sha256(body).digest() + body)
    return path


_SOUND = {"size": 1, "model": "m", "adapter": "", "library": "1.0"}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"[" * 100_000,
        json.dumps({**_SOUND}).encode(),
        json.dumps({**_SOUND, "tokens": []}).encode(),
        json.dumps({**_SOUND, "tokens": "abc"}).encode(),
        json.dumps({**_SOUND, "tokens": [True]}).encode(),
        json.dumps({**_SOUND, "tokens": [1], "more": 1}).encode(),
        json.dumps({**_SOUND, "tokens": [1], "library": "2.0"}).encode(),
        json.dumps({**_SOUND, "tokens": [1], "adapter": "x"}).encode(),
        json.dumps({**_SOUND, "tokens": [1], "size": 2}).encode(),
    ],
)
def test_a_header_that_says_nothing_of_use_is_refused(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(ModelError, match="no saved prefix"):
        read_prefix(_forged(tmp_path / "f", header), _ORIGIN)


@given(st.lists(st.integers(0, 2**31), min_size=1), st.binary())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, tokens: list[int], state: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "round"
    prefix = Prefix(tuple(tokens), state)
    write_prefix(path, prefix, _ORIGIN)
    assert read_prefix(path, _ORIGIN) == prefix


def test_a_state_that_llama_cpp_does_not_take_leaves_nothing(
    tiny_engine: Engine, saved: Path
) -> None:
    """A file with a right hash and a wrong state: refused, and the engine works on."""
    expected, _ = _answer(tiny_engine)
    raw = saved.read_bytes()
    start = len(b"ragstack prefix 1\n") + 32
    (length,) = struct.unpack_from("<I", raw, start)
    header = raw[start + 4 : start + 4 + length]
    state = raw[start + 4 + length :]
    copy = shutil.copy(saved, saved.with_name("copy"))
    found = json.loads(header)
    found["tokens"] = [*found["tokens"][:-1], 7]  # other tokens: not held already
    for broken in (b"", state[:5], state[: len(state) // 2], bytes(len(state)), state + b"\0"):
        _forged(Path(copy), json.dumps(found).encode(), broken)
        with pytest.raises(ModelError):
            tiny_engine.load_prefix(Path(copy))
    assert _answer(tiny_engine)[0] == expected
