"""Beam search: what it finds is what looking at every text finds."""

from __future__ import annotations

import itertools
import math

import pytest

from ragstack.engine.beams import BeamSearch, Hypothesis, beam_search, length_score
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.errors import ContextOverflow, DeadlineExceeded, GenerationError, InputError
from ragstack.types import Sampling

_PROMPT = tuple(b"What comes next, and what after that?")
_END = 65
_LETTERS = (65, 66, 67, 68)
_NEAR = 0.05  # how far the shape of a batch moves a sum of logits of the tiny model


def _only(engine: Engine, *allowed: int) -> dict[int, float]:
    return {t: -math.inf for t in range(engine.model.vocabulary.size) if t not in allowed}


def _sampling(engine: Engine, **settings: object) -> Sampling:
    return Sampling(logit_bias=_only(engine, *_LETTERS), **settings)  # type: ignore[arg-type]


def _every_text(engine: Engine, depth: int, penalty: float) -> list[Hypothesis]:
    """Return every text of the letters up to a depth, best first, by what each token scores."""
    rows: dict[tuple[int, ...], dict[int, float]] = {}
    for size in range(depth):
        for before in itertools.product(_LETTERS[1:], repeat=size):
            ((scores),) = [engine.score((*_PROMPT, *before), [[t] for t in _LETTERS])]
            raw = {t: score[0] for t, score in zip(_LETTERS, scores, strict=True)}
            whole = math.log(sum(math.exp(value) for value in raw.values()))
            rows[before] = {t: value - whole for t, value in raw.items()}
    found = []
    for size in range(depth + 1):
        for before in itertools.product(_LETTERS[1:], repeat=size):
            total = sum(rows[before[:i]][token] for i, token in enumerate(before))
            if size == depth:
                found.append(
                    Hypothesis(before, total, length_score(total, size, penalty), "length")
                )
                continue
            ended = total + rows[before][_END]
            found.append(Hypothesis(before, ended, length_score(ended, size + 1, penalty), "stop"))
    return sorted(found, key=lambda each: -each.score)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_wide_beams_find_what_looking_at_every_text_finds(
    tiny_engine: Engine, penalty: float
) -> None:
    expected = _every_text(tiny_engine, 3, penalty)
    assert len(expected) == 1 + 3 + 9 + 27
    sampling = _sampling(tiny_engine, beams=40, max_tokens=3, length_penalty=penalty)
    found = beam_search(tiny_engine, _PROMPT, sampling, ends=frozenset({_END}))
    assert len(found) == 40
    by_tokens = {each.tokens: each for each in expected}
    for place, each in enumerate(found):
        assert each.score == pytest.approx(by_tokens[each.tokens].score, abs=_NEAR)
        assert each.finish == by_tokens[each.tokens].finish
        assert each.score == pytest.approx(expected[place].score, abs=_NEAR)


def test_narrow_beams_keep_the_likeliest_at_each_step(tiny_engine: Engine) -> None:
    """Two beams, reckoned by hand from the score of each token; nothing ends."""
    sampling = _sampling(tiny_engine, beams=2, max_tokens=4)
    found = beam_search(tiny_engine, _PROMPT, sampling, ends=frozenset())
    live: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for _ in range(4):
        grown = []
        for tokens, total in live:
            scores = tiny_engine.score((*_PROMPT, *tokens), [[t] for t in _LETTERS])
            whole = math.log(sum(math.exp(score[0]) for score in scores))
            for token, score in zip(_LETTERS, scores, strict=True):
                grown.append(((*tokens, token), total + score[0] - whole))
        live = sorted(grown, key=lambda each: -each[1])[:2]
    assert [each.tokens for each in found] == [tokens for tokens, _ in live]
    assert [each.logprob for each in found] == pytest.approx([t for _, t in live], abs=_NEAR)


def test_one_beam_is_greedy(tiny_engine: Engine) -> None:
    greedy = list(tiny_engine.generate(Request(_PROMPT, Sampling(max_tokens=12))))
    (found,) = beam_search(tiny_engine, _PROMPT, Sampling(max_tokens=12))
    assert found.tokens == tuple(greedy)


def test_a_length_penalty_moves_the_choice(tiny_engine: Engine) -> None:
    ends = frozenset({_END})
    bias = _only(tiny_engine, *_LETTERS) | {_END: 6.0}
    sizes = []
    for penalty in (0.0, 9.0):
        sampling = Sampling(beams=8, max_tokens=6, length_penalty=penalty, logit_bias=bias)
        sizes.append(len(beam_search(tiny_engine, _PROMPT, sampling, ends=ends)[0].tokens))
    assert sizes[0] < sizes[1]


def test_a_text_ends_where_the_caller_says(tiny_engine: Engine) -> None:
    search = BeamSearch(
        tiny_engine,
        _PROMPT,
        _sampling(tiny_engine, beams=2, max_tokens=9),
        ends=frozenset(),
        complete=lambda tokens: len(tokens) == 2,
    )
    while search.step():
        pass
    assert [(len(each.tokens), each.finish) for each in search.found] == [(2, "stop")] * 2


def test_what_cannot_be_is_refused(tiny_engine: Engine) -> None:
    with pytest.raises(ContextOverflow):
        beam_search(tiny_engine, _PROMPT, Sampling(beams=2, max_tokens=500))
    with pytest.raises(InputError, match="beams is 65"):
        beam_search(tiny_engine, _PROMPT, Sampling(beams=65, max_tokens=5))
    with pytest.raises(InputError):
        beam_search(tiny_engine, (-1,), Sampling(beams=2, max_tokens=5))
    with pytest.raises(GenerationError, match="forbidden"):
        none = Sampling(beams=2, max_tokens=5, logit_bias=_only(tiny_engine))
        beam_search(tiny_engine, _PROMPT, none)
    with pytest.raises(DeadlineExceeded):
        beam_search(
            tiny_engine, _PROMPT, Sampling(beams=2, max_tokens=50), manner=Manner(deadline_s=0.0)
        )


def test_nothing_wanted_nothing_read(tiny_engine: Engine) -> None:
    (found,) = beam_search(tiny_engine, _PROMPT, Sampling(beams=3, max_tokens=0))
    assert (found.tokens, found.finish) == ((), "length")
    assert tiny_engine.stats().totals.steps == 0
