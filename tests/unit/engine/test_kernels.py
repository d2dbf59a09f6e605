"""What a step computes does not hang on who shares it, nor on how many tokens it reads at once."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragstack.engine import library
from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.engine import Engine
from ragstack.engine.model import Model
from ragstack.engine.requests import Request
from ragstack.engine.tools.quantize import quantize
from ragstack.testing.tiny_model import TinyModel
from ragstack.types import Sampling

_OPTIONS = Options(size=512, cells=4096, batch=512, threads=2, streams=8, kept=1)
_NEAR = 0.05  # of logits that lie within about ten
_ROUNDED = 0.6  # where tokens are rounded too: a number between two integers goes either way


def _tokens(count: int, seed: int) -> list[int]:
    return [int(each) for each in np.random.default_rng(seed).integers(33, 127, count)]


def _context(model: Model, **changed: object) -> Context:
    return Context(model, replace(_OPTIONS, **changed))  # type: ignore[arg-type]


def _read(context: Context, sequence: int, tokens: Sequence[int], at_once: int) -> np.ndarray:  # type: ignore[type-arg]
    """Return the logits after the last of some tokens, read so many a step."""
    for start in range(0, len(tokens), at_once):
        piece = tokens[start : start + at_once]
        assert context.decode([Piece(sequence, start, piece, rows=1)])
    return context.logits(len(piece) - 1).copy()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """Return a model all of whose matrices ragstack's kernels multiply, where they do."""
    folder = tmp_path_factory.mktemp("wide")
    path = TinyModel(wide=True).write(folder / "wide.gguf")
    model = Model(quantize(path, folder / "q4.gguf", "Q4_K_S"))
    yield model
    model.close()


@pytest.mark.parametrize("count", [12, 13, 15, 16, 17, 31, 64, 130, 300])
def test_many_tokens_at_once_are_as_few(wide: Model, count: int) -> None:
    context = _context(wide)
    tokens = _tokens(count, count)
    one = _read(context, 0, tokens, count)
    assert np.ptp(one) > 5
    few = _read(context, 1, tokens, 4)
    if context.exact:
        assert np.array_equal(one, few)
    else:
        assert np.abs(one - few).max() < _ROUNDED
    context.close()


def _skip_unless_exact(context: Context) -> None:
    if "VNNI" not in library.own_kernels():
        context.close()
        pytest.skip("llama.cpp's own products are among those of this model")
    assert context.exact


def test_in_company_a_token_comes_to_the_same_bits(wide: Model) -> None:
    context = _context(wide)
    _skip_unless_exact(context)
    said = [_tokens(length, length) for length in (70, 3, 200, 71, 130)]
    alone = []
    for tokens in said:
        alone.append(_read(context, 7, [*tokens, 65], 512))
        context.clear()
    for sequence, tokens in enumerate(said):
        _read(context, sequence, tokens, 33)
    context.copy(0, 5, 70)  # two that share what they have read
    late = _tokens(90, 9)
    pieces = [Piece(number, len(tokens), [65], rows=1) for number, tokens in enumerate(said)]
    pieces += [Piece(5, 70, [65], rows=1), Piece(6, 0, late, rows=0)]
    assert context.decode(pieces)
    for row, expected in enumerate([*alone, alone[0]]):
        assert np.array_equal(context.logits(row), expected)
    context.close()


def test_wherever_it_lies_a_token_comes_to_the_same_bits(wide: Model) -> None:
    context = _context(wide, cells=512)
    _skip_unless_exact(context)
    tokens = _tokens(180, 1)
    alone = _read(context, 7, tokens, 512)
    context.clear()
    for start in range(0, 90, 10):  # five that lie among each other
        for sequence in range(5):
            piece = _tokens(10, sequence)
            assert context.decode([Piece(sequence, start, piece, rows=0)])
    for sequence in (0, 2, 4):
        context.cut(sequence, 0)
    found = []
    for sequence in (5, 6):  # at the end, then in the holes from the front
        found.append(_read(context, sequence, tokens, 7))
        context.cut(sequence, 0)
    for row in found:
        assert np.array_equal(row, alone)
    context.close()


def test_who_share_nearly_all_come_to_the_bits_of_each_alone(wide: Model) -> None:
    context = _context(wide)
    _skip_unless_exact(context)
    shared = _tokens(200, 1)
    said = [_tokens(6, 10 + sequence) for sequence in range(5)]
    alone = []
    for own in said:
        alone.append(_read(context, 7, [*shared, *own], 512))
        context.cut(7, 0)
    _read(context, 0, shared, 512)
    for sequence in range(1, 5):
        context.copy(0, sequence, 200)
    for at in range(6):  # each writes one token a step
        pieces = [Piece(n, 200 + at, [own[at]], rows=1) for n, own in enumerate(said)]
        assert context.decode(pieces)
    for row, expected in enumerate(alone):
        assert np.array_equal(context.logits(row), expected)
    context.close()


def test_what_llama_cpp_multiplies_is_not_exact(wide: Model, tiny_model: Model) -> None:
    for model, changed in (
        (tiny_model, {}),
        (wide, {"cache_type": "q8_0", "flash_attention": "on"}),
        (wide, {"flash_attention": "off"}),
    ):
        context = _context(model, **changed)
        assert not context.exact
        context.close()


def test_an_exact_text_is_the_same_in_any_company(wide: Model) -> None:
    engine = Engine(wide.header.path, replace(_OPTIONS, streams=4))
    _skip_unless_exact(engine._worker.context)
    requests = [
        Request(tuple(_tokens(40 + 30 * n, n % 3)), Sampling(max_tokens=24, **settings))
        for n, settings in enumerate(
            [{"deterministic": True}, {}, {"temperature": 0.9, "seed": 3}, {"deterministic": True}]
        )
    ]
    alone = [list(engine.generate(request)) for request in requests]
    generations = [engine.generate(request) for request in requests]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(list, generations))
    assert together == alone
    assert [generation.near_ties for generation in generations] == [()] * 4
    assert engine.stats().totals.near_ties == 0
    engine.close()


@pytest.mark.parametrize("cache_type", ["f16", "f32"])
@pytest.mark.parametrize("read", [9, 40, 64, 90, 250])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_who_writes_beside_who_reads_is_as_alone(
    tiny_model: Model, read: int, place: int, cache_type: str
) -> None:
    context = _context(tiny_model, cache_type=cache_type)
    said = [_tokens(length, length) for length in (260, 3, 130, 71)]
    late = _tokens(read, 1000 + read)
    alone = [_read(context, 6, [*tokens, 65], 512) for tokens in said if context.cut(6, 0)]
    context.cut(6, 0)
    alone.insert(place, _read(context, 6, late, 512))
    context.clear()
    for sequence, tokens in enumerate(said):
        _read(context, sequence, tokens, 50)  # torn, so that they lie in the cache side by side
    pieces = [Piece(sequence, len(tokens), [65], rows=1) for sequence, tokens in enumerate(said)]
    pieces.insert(place, Piece(5, 0, late, rows=1))
    assert context.decode(pieces)
    ends = itertools.accumulate(len(piece.tokens) for piece in pieces)
    for expected, end in zip(alone, ends, strict=True):
        assert np.ptp(expected) > 5
        assert np.abs(context.logits(end - 1) - expected).max() < 2 * _NEAR
    context.close()


def test_two_who_read_in_one_step_are_as_alone(tiny_model: Model) -> None:
    context = _context(tiny_model)
    texts = [_tokens(length, length) for length in (37, 100, 21)]
    alone = [_read(context, 7, text, 512) for text in texts if context.cut(7, 0)]
    context.clear()
    _read(context, 4, _tokens(200, 1), 512)
    context.decode([Piece(number, 0, text, rows=1) for number, text in enumerate(texts)])
    ends = itertools.accumulate(len(text) for text in texts)
    for expected, end in zip(alone, ends, strict=True):
        assert np.abs(context.logits(end - 1) - expected).max() < _NEAR
    context.close()


def test_beside_thousands_of_cells_of_others_it_is_as_alone(tiny_model: Model) -> None:
    context = _context(tiny_model, cells=8192, streams=14)
    late = _tokens(100, 5)
    reading = _read(context, 0, late, 512)
    context.clear()
    said = [_tokens(450, seed) for seed in range(10)]
    writing = _read(context, 0, [*said[0], 65], 512)
    context.clear()
    for sequence, tokens in enumerate(said):
        _read(context, sequence, tokens, 512)
    assert context.decode([Piece(0, 450, [65], rows=1), Piece(12, 0, late, rows=1)])
    assert np.abs(context.logits(0) - writing).max() < _NEAR
    assert np.abs(context.logits(100) - reading).max() < _NEAR
    context.close()


def test_the_build_by_make_has_the_changed_kernels() -> None:
    if not list(Path(sys.prefix).glob("ragstack-*.stamp")):
        pytest.skip("this environment was not made by make")
    assert library.own_kernels()
