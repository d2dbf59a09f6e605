"""Every kind of model at work: what the engine writes is what a bare loop over it writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ragstack.engine.batch import Piece
from ragstack.engine.beams import beam_search
from ragstack.engine.context import Context, Options
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.engine.generation import Generation
from ragstack.engine.gguf import read_header
from ragstack.engine.kinds import kind_of
from ragstack.engine.model import Model
from ragstack.engine.probe import check_loads
from ragstack.engine.sampling import log_probability
from ragstack.errors import ContextOverflow
from ragstack.testing.tiny_kinds import ARCHITECTURES, TinyKind
from ragstack.types import Regex, Sampling

_OPTIONS = Options(size=256, cells=1024, batch=32, threads=1, streams=4, kept=6)
_PROMPTS = tuple(
    tuple(text.encode())
    for text in (
        "A prompt of some forty bytes, all of them.",
        "A prompt of some forty bytes, and then another end which is longer than the window.",
        "Short.",
        "Something else altogether: 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2",
    )
)
_NEAR = 0.5  # between the two best logits: there the shape of a batch may decide
_ENDS = (266, 268)  # <|endoftext|> and <|im_end|>, after 256 bytes and 10 merges
_STATES = frozenset(("jamba", "lfm2", "mamba"))


@dataclass(frozen=True)
class _Case:
    architecture: str
    path: Path
    full_window: bool = True

    @property
    def options(self) -> Options:
        return replace(_OPTIONS, full_window=self.full_window)

    @property
    def cuts(self) -> bool:
        return self.architecture not in _STATES and self.full_window


@pytest.fixture(
    scope="module", params=[*((name, True) for name in ARCHITECTURES), ("gemma2", False)], ids=str
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Case:
    name, full_window = request.param
    path = TinyKind(name).write(tmp_path_factory.mktemp("kinds") / f"{name}.gguf")
    return _Case(name, path, full_window)


@pytest.fixture(scope="module")
def model(case: _Case) -> Iterator[Model]:
    model = Model(case.path)
    yield model
    model.close()


@pytest.fixture
def engine(case: _Case) -> Iterator[Engine]:
    engine = Engine(case.path, case.options)
    yield engine
    engine.close()


def _rows(model: Model, options: Options, tokens: Sequence[int], last: int) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Return the logits after each of the last tokens of a text, read by a fresh context."""
    context = Context(model, replace(options, streams=1, kept=1))
    rows, step = [], 16
    for at in range(0, len(tokens), step):
        piece = tokens[at : at + step]
        context.decode([Piece(0, at, piece, rows=len(piece))])
        rows += [context.logits(place).copy() for place in range(len(piece))]
    context.close()
    return rows[-last:]


def _check_greedy(model: Model, case: _Case, prompt: Sequence[int], found: Sequence[int]) -> None:
    """Fail where a token is not the likeliest there, but for near ties."""
    assert found
    for row, token in zip(
        _rows(model, case.options, [*prompt, *found[:-1]], len(found)), found, strict=True
    ):
        row[list(model.vocabulary.ends)] = -np.inf
        assert row[token] >= row.max() - _NEAR, "not the model's own best"


def _request(prompt: Sequence[int], most: int = 24, **settings: object) -> Request:
    """Return a request that goes on to the last token: the ends are forbidden."""
    never = dict.fromkeys(_ENDS, -np.inf)
    return Request(
        tuple(prompt),
        Sampling(max_tokens=most, logit_bias=never, **settings),  # type: ignore[arg-type]
    )


def test_the_kind_is_that_which_llama_cpp_sees(case: _Case, model: Model) -> None:
    assert model.vocabulary.ends <= {*_ENDS}
    kind = kind_of(read_header(case.path))
    assert any(kind.states) is not model.can_forget
    assert any(kind.states) is (case.architecture in _STATES)
    expected = {
        "gemma2": "sliding window of 24 tokens in 2 of 4 layers",
        "jamba": "a running state in 2 of 4 layers",
        "lfm2": "a running state in 2 of 4 layers",
        "mamba": "recurrent",
        "olmoe": "2 of 4 experts read each token",
        "qwen2vl": "dense",
    }
    assert expected[case.architecture] in kind.description
    check_loads(case.path)


def test_streams_together_write_what_each_writes_alone(
    engine: Engine, case: _Case, model: Model
) -> None:
    alone = []
    for prompt in _PROMPTS:
        found = list(engine.generate(_request(prompt, deterministic=True)))
        _check_greedy(model, case, prompt, found)
        assert found == list(engine.generate(_request(prompt, deterministic=True)))
        alone.append(found)
    running = [engine.generate(_request(prompt)) for prompt in _PROMPTS]
    together: list[list[int]] = [[] for _ in running]
    for _ in range(24):  # side by side
        for tokens, generation in zip(together, running, strict=True):
            tokens += [token for token in [next(generation, None)] if token is not None]
    for prompt, tokens, before in zip(_PROMPTS, together, alone, strict=True):
        assert len(tokens) == len(before) == 24
        _check_greedy(model, case, prompt, tokens)


def test_what_a_conversation_said_is_not_read_again(
    engine: Engine, case: _Case, model: Model
) -> None:
    talk = list(_PROMPTS[0])
    for turn in range(3):
        generation = engine.generate(_request(talk, 8))
        tokens = list(generation)
        _check_greedy(model, case, talk, tokens)
        if turn:
            assert generation.cached == len(talk) - len(_TURN) - 1  # the last was never read
        talk += [*tokens, *_TURN]


_TURN = tuple(b" And then?")


def test_a_beginning_is_shared_where_the_kind_allows_it(
    engine: Engine, case: _Case, model: Model
) -> None:
    prompts = [(*_PROMPTS[0], *ending) for ending in (b" One.", b" Two!", b" Three?")]
    cached = []
    for prompt in prompts:
        generation = engine.generate(_request(prompt, 8))
        _check_greedy(model, case, prompt, list(generation))
        cached.append(generation.cached)
    assert cached[0] == 0
    assert (min(cached[1:]) >= len(_PROMPTS[0])) is case.cuts


def test_a_saved_beginning_serves_many(
    engine: Engine, case: _Case, model: Model, tmp_path: Path
) -> None:
    """Also where nothing can be cut back: what was loaded is copied, not used up."""
    engine.save_prefix(_PROMPTS[0], tmp_path / "p")
    other = Engine(case.path, case.options)
    try:
        assert other.load_prefix(tmp_path / "p") == len(_PROMPTS[0])
        for ending in (b" One.", b" Two!", b" Three?"):
            prompt = (*_PROMPTS[0], *ending)
            generation = other.generate(_request(prompt, 8))
            _check_greedy(model, case, prompt, list(generation))
            assert generation.cached >= len(_PROMPTS[0])
    finally:
        other.close()


def test_part_of_a_saved_beginning_is_right_too(
    engine: Engine, case: _Case, model: Model, tmp_path: Path
) -> None:
    """Of layers with a window a file has what the last token looks back on, and no more."""
    engine.save_prefix(_PROMPTS[1], tmp_path / "p")
    other = Engine(case.path, case.options)
    try:
        other.load_prefix(tmp_path / "p")
        prompt = _PROMPTS[1][:60]
        _check_greedy(model, case, prompt, list(other.generate(_request(prompt, 8))))
    finally:
        other.close()


def test_cancelling_harms_nobody(engine: Engine, case: _Case, model: Model) -> None:
    kept: list[tuple[tuple[int, ...], Generation, list[int]]] = []
    for turn in range(12):
        prompt = (*_PROMPTS[turn % 4], 65 + turn)
        generation = engine.generate(_request(prompt))
        first = next(generation)
        if turn % 3:
            generation.close()
        else:
            kept.append((prompt, generation, [first]))
        if len(kept) == 3:
            ended = kept.pop(0)
            _check_greedy(model, case, ended[0], ended[2] + list(ended[1]))
    for prompt, generation, first_tokens in kept:
        _check_greedy(model, case, prompt, first_tokens + list(generation))
    limit = time.monotonic() + 10
    while (stats := engine.stats()).active and time.monotonic() < limit:
        time.sleep(0.01)  # one that was closed takes part in the step at work
    assert stats.active == 0
    # In the cache and on the shelf.
    assert stats.kept <= 2 * (_OPTIONS.kept + _OPTIONS.streams)


def test_guesses_are_made_where_they_can_be_taken_back(engine: Engine, case: _Case) -> None:
    prompt = tuple(b"1 2 3 4 5 6 7 8 9 0 " * 6)
    list(engine.generate(_request(prompt, 60)))
    forced = Request(prompt, Sampling(max_tokens=60), Regex("(one two three four five ){2}"))
    assert len(list(engine.generate(forced))) > 20
    if not case.cuts:
        assert engine.stats().totals.guessed == 0


def test_scores_and_beams_go_back_to_the_prompt(engine: Engine, case: _Case, model: Model) -> None:
    prompt, tails = list(_PROMPTS[0]), [[70, 71, 72], [80], [90, 91]]
    for tail, scores in zip(tails, engine.score(prompt, tails), strict=True):
        rows = _rows(model, case.options, [*prompt, *tail[:-1]], len(tail))
        expected = [log_probability(row, token) for row, token in zip(rows, tail, strict=True)]
        assert scores == pytest.approx(expected, abs=0.1)
    found = beam_search(engine, prompt, Sampling(max_tokens=5, beams=3))
    assert len(found) == 3
    best = list(found[0].tokens)
    rows = _rows(model, case.options, [*prompt, *best[:-1]], len(best))
    total = sum(log_probability(row, token) for row, token in zip(rows, best, strict=True))
    if found[0].finish == "length":
        assert found[0].logprob == pytest.approx(total, abs=0.3)


def test_a_window_is_filled_and_never_overrun(engine: Engine, case: _Case) -> None:
    prompt = _PROMPTS[1]
    with pytest.raises(ContextOverflow, match="256"):
        engine.generate(_request(prompt, 256 - len(prompt) + 1))
    whole = [engine.generate(_request((*prompt, 65 + n), 255 - len(prompt))) for n in range(4)]
    first = [next(generation) for generation in whole]
    assert len(first) == 4
    assert all(len(list(generation)) == 254 - len(prompt) for generation in whole)


def test_what_is_switched_off_is_said(case: _Case, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="ragstack.engine"):
        Engine(case.path, case.options).close()
    said = " ".join(record.message for record in caplog.records)
    assert ("no prefix sharing, no rollback, no speculation" in said) is not case.cuts
    assert bool(said) is not case.cuts


def test_many_at_once_with_background_and_cancels(engine: Engine, case: _Case) -> None:
    """More requests than places, of both priorities: each ends, every place is free after."""
    manners = (Manner(), Manner(priority="background", client="b"))
    running = [
        engine.generate(replace(_request((*_PROMPTS[n % 4], 40 + n), 10), manner=manners[n % 2]))
        for n in range(16)
    ]
    for number, generation in enumerate(running):
        if number % 5 == 4:
            next(generation)
            generation.close()
        else:
            assert len(list(generation)) == 10
    assert list(engine.generate(_request(_PROMPTS[2], 3)))
    assert engine.stats().active == 0
