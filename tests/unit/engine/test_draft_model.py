"""A draft model guesses, the model decides: the text is the model's own, and sooner there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragstack.engine.context import Options
from ragstack.engine.costs import Costs
from ragstack.engine.draft_model import DraftModel, DraftOptions, Followed
from ragstack.engine.draft_stream import foretold
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.engine.guard import Limits
from ragstack.engine.model import Model
from ragstack.engine.near_ties import is_near_tie
from ragstack.errors import GenerationError, InputError, ModelError
from ragstack.testing.tiny_model import TinyModel
from ragstack.types import Regex, Sampling

_OPTIONS = Options(size=256, cells=1024, batch=64, threads=1, streams=4, kept=4)
_PROMPT = tuple(b"A prompt of some forty bytes, all of them.")
_PLAIN, _QUIET = Manner(), Manner(speculate=False)


@pytest.fixture(scope="module")
def other_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the same vocabulary and other weights."""
    return TinyModel(seed=1).write(tmp_path_factory.mktemp("draft") / "other.gguf")


@pytest.fixture
def worthwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let checking and drafting be cheap, whatever they cost on this machine."""
    monkeypatch.setattr(Costs, "step", lambda _self, tokens: 1.0 + tokens / 1e3)
    monkeypatch.setattr(DraftModel, "token_s", 0.01)


def _engine(path: Path, draft: Path, **options: object) -> Engine:
    engine = Engine(path, replace(_OPTIONS, **options))  # type: ignore[arg-type]
    engine.draft_with(DraftOptions(draft, threads=1))
    return engine


@pytest.fixture
def own(tiny_path: Path, worthwhile: None) -> Iterator[Engine]:
    """An engine whose model drafts for itself: every guess is right."""
    engine = _engine(tiny_path, tiny_path)
    yield engine
    engine.close()


@pytest.fixture
def others(tiny_path: Path, other_path: Path, worthwhile: None) -> Iterator[Engine]:
    """An engine whose draft has weights of its own: nearly every guess is wrong."""
    engine = _engine(tiny_path, other_path)
    yield engine
    engine.close()


def _request(
    number: int = 0, most: int = 60, manner: Manner = _PLAIN, **settings: object
) -> Request:
    sampling = Sampling(max_tokens=most, **settings)  # type: ignore[arg-type]
    return Request((*_PROMPT, 40 + number, 10), sampling, manner=manner)


def _same_but_for_near_ties(engine: Engine, request: Request) -> int:
    """Check a text against that without guesses; return how many tokens of it were compared."""
    quick = engine.generate(request)
    found = list(quick)
    expected = list(engine.generate(replace(request, manner=_QUIET)))
    sure = min((*quick.near_ties, len(expected)))
    assert found[:sure] == expected[:sure]
    return sure


def test_a_model_that_drafts_for_itself_is_right(own: Engine) -> None:
    expected = list(own.generate(_request(manner=_QUIET)))
    before = own.stats().totals
    assert list(own.generate(_request())) == expected
    stats = own.stats()
    assert stats.draft is not None and stats.draft.active
    assert stats.draft.guessed > 40
    assert stats.draft.right == stats.draft.guessed
    assert stats.totals.steps - before.steps < len(expected) / 3
    assert stats.draft.message.startswith("used: ")


def test_wrong_drafts_are_taken_back(others: Engine) -> None:
    compared = sum(_same_but_for_near_ties(others, _request(number)) for number in range(6))
    assert compared > 20
    report = others.stats().draft
    assert report is not None and report.guessed > 20
    assert report.right < report.guessed / 2
    assert report.rate < 0.75


def test_a_draft_that_is_often_wrong_is_asked_no_more(
    others: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DraftModel, "token_s", 0.2)
    for number in range(14):
        list(others.generate(_request(number)))
    report = others.stats().draft
    assert report is not None and report.message.startswith("not used at present: ")
    assert report.needed is not None and report.rate < report.needed
    guessed = report.guessed
    list(others.generate(_request(20)))
    after = others.stats().draft
    assert after is not None and after.guessed == guessed


def test_drawn_tokens_are_those_of_the_seed(own: Engine) -> None:
    """The model's own distribution decides, token by token: the same draws, the same text."""
    for seed in range(4):
        request = _request(seed, temperature=0.8, seed=seed, top_k=20)
        assert list(own.generate(request)) == list(own.generate(replace(request, manner=_QUIET)))
    report = own.stats().draft
    assert report is not None and 0 < report.right < report.guessed


def test_what_the_grammar_forbids_is_cut(own: Engine) -> None:
    pattern = Regex("[a-f]{3}( [a-f]{3}){12}")
    request = replace(_request(0, 120), grammar=pattern)
    expected = list(own.generate(replace(request, manner=_QUIET)))
    assert list(own.generate(request)) == expected
    choice = own.generate(request)._job._choice
    letters = [*b"ab"]
    assert choice.fitting([*letters, *b"Z a"]) == letters
    assert choice.fitting([*letters, min(choice.ends), 97]) == letters


def test_a_prompt_that_was_read_is_not_read_again_by_the_draft(
    own: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    step = DraftModel._step

    def counted(self: DraftModel, text: object, feed: list[int], *, rows: int) -> object:
        read.append(len(feed))
        return step(self, text, feed, rows=rows)  # type: ignore[arg-type]

    monkeypatch.setattr(DraftModel, "_step", counted)
    answer = list(own.generate(_request()))
    first, read[:] = sum(read), []
    history = (*_request().tokens, *answer, 70, 71)
    list(own.generate(Request(history, Sampling(max_tokens=20))))
    assert first > len(_PROMPT)
    assert sum(read) < len(_PROMPT) + 20


def test_many_at_once_are_not_drafted_for(own: Engine) -> None:
    requests = [_request(number, 40) for number in range(8)]
    expected = [list(own.generate(replace(each, manner=_QUIET))) for each in requests]
    found: dict[int, list[int]] = {}

    def run(number: int) -> None:
        found[number] = list(own.generate(requests[number]))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(8)] == expected
    draft = own._worker.draft
    assert draft is not None and draft._sequences.busy == 0


def test_closed_and_forgotten_requests_give_the_draft_back(own: Engine) -> None:
    for read in range(4):
        generation = own.generate(_request(read, 180))
        for _ in range(read + 1):
            next(generation)
        generation.close()
    assert list(own.generate(_request())) == list(own.generate(_request(manner=_QUIET)))
    draft = own._worker.draft
    assert draft is not None and draft._sequences.busy == 0


def test_a_long_prompt_is_read_in_stretches(own: Engine) -> None:
    prompt = tuple(b"0123456789abcdefghij" * 9)
    request = Request(prompt, Sampling(max_tokens=40))
    _same_but_for_near_ties(own, request)
    report = own.stats().draft
    assert report is not None and report.guessed > 0


def test_the_window_can_be_filled_to_the_last_token(own: Engine) -> None:
    request = Request(_PROMPT, Sampling(max_tokens=256 - len(_PROMPT)), Regex("[a-z]{1,300}"))
    generation = own.generate(request)
    assert len(list(generation)) == 256 - len(_PROMPT)


def test_a_deterministic_request_sees_no_draft(own: Engine) -> None:
    request = _request(deterministic=True)
    generation = own.generate(request)
    assert list(generation) and generation.near_ties == ()
    report = own.stats().draft
    assert report is not None and report.guessed == 0


def test_a_draft_that_fails_ends_no_answer(own: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(own.generate(_request(manner=_QUIET)))

    def broken(*_: object, **__: object) -> None:
        raise GenerationError("out of luck")

    monkeypatch.setattr(DraftModel, "_catch_up", broken)
    assert list(own.generate(_request())) == expected
    report = own.stats().draft
    assert report is not None and not report.active
    assert report.message == "switched off: it failed: out of luck"
    assert list(own.generate(_request())) == expected


def test_what_was_never_tried_is_tried(
    tiny_path: Path, other_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nearly all guesses have to be right it still finds out whether they are."""
    monkeypatch.setattr(Costs, "step", lambda _self, tokens: 1.0 + min(tokens - 1, 15) * 0.45)
    monkeypatch.setattr(DraftModel, "token_s", 0.2)
    for path in (tiny_path, other_path):
        engine = _engine(tiny_path, path)
        report = engine.stats().draft
        assert report is not None and report.needed == 0.85
        assert report.message.startswith("not tried yet: 85% ")
        for number in range(6):
            list(engine.generate(_request(number)))
        report = engine.stats().draft
        assert report is not None and report.guessed < 40
        assert report.message.startswith("not used at present: ")  # nonsense is hard to foresee
        engine.close()


def test_one_that_cannot_gain_is_switched_off(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Costs, "step", lambda _self, tokens: float(tokens))
    engine = _engine(tiny_path, tiny_path)
    report = engine.stats().draft
    assert report is not None and not report.active and report.needed is None
    assert "would not gain" in report.message
    assert list(engine.generate(_request()))
    engine.close()


def test_a_model_that_cannot_take_back_does_without(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny_path, _OPTIONS)
    target = engine.model
    monkeypatch.setattr(Model, "can_forget", property(lambda self: self is not target))
    engine.draft_with(DraftOptions(tiny_path, threads=1))
    report = engine.stats().draft
    assert report is not None and not report.active and report.needed is None
    assert "cannot take back" in report.message
    assert list(engine.generate(_request(0, 5)))
    engine.close()


def test_what_it_costs_is_measured_and_kept(tiny_path: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "target.json", tmp_path / "draft.json"
    assert foretold(Costs(ours), Costs(theirs)) == "measured at the first use"
    engine = Engine(tiny_path, _OPTIONS, costs=ours)
    engine.draft_with(DraftOptions(tiny_path, threads=1, costs=theirs))
    assert engine.stats().kept == 0
    engine.close()
    assert not Costs(ours).unknown(range(1, 17))
    assert Costs(theirs).step(1) > 0
    assert foretold(Costs(ours), Costs(theirs)) != "measured at the first use"


def test_another_vocabulary_is_refused(tiny_path: Path, tiny_sentencepiece_path: Path) -> None:
    engine = Engine(tiny_path, _OPTIONS)
    with pytest.raises(InputError, match=r"token 0 is .* the same vocabulary") as caught:
        engine.draft_with(DraftOptions(tiny_sentencepiece_path))
    assert "family" in caught.value.hint
    assert list(engine.generate(_request(0, 4)))  # it goes on without
    engine.close()


def test_a_draft_comes_once_and_before_the_first_request(tiny_path: Path, own: Engine) -> None:
    with pytest.raises(GenerationError, match="drafts already"):
        own.draft_with(DraftOptions(tiny_path))
    late = Engine(tiny_path, _OPTIONS)
    generation = late.generate(_request(0, 200, _QUIET))
    next(generation)
    with pytest.raises(GenerationError, match="before the first request"):
        late.draft_with(DraftOptions(tiny_path))
    late.close()


def test_a_draft_that_cannot_take_back_is_refused(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny_path, _OPTIONS)
    monkeypatch.setattr("ragstack.engine.model.Model.can_forget", False)
    with pytest.raises(ModelError, match="cannot be taken back"):
        engine.draft_with(DraftOptions(tiny_path))
    engine.close()


def test_near_ties_are_where_another_token_was_as_good(own: Engine) -> None:
    """Each is a token whose rival's log-probability, given what stands before, lies within 0.5."""
    request = _request(3, 40, logprobs=2)
    generation = own.generate(request)
    list(generation)
    expected = []
    for place, told in enumerate(generation.logprobs()):
        best, second = (value for _, value in told.alternatives)
        if best - second <= 0.5:
            expected.append(place)
    assert list(generation.near_ties) == expected
    assert own.stats().totals.near_ties == len(expected)


def test_no_tie_where_the_grammar_leaves_one_token(own: Engine) -> None:
    generation = own.generate(replace(_request(0, 20), grammar=Regex("abcdef")))
    assert len(list(generation)) == 6
    assert generation.near_ties == ()


def test_near_ties_of_a_row() -> None:
    row = np.array([1.0, 3.0, 2.4, 3.4, -np.inf], np.float32)
    assert is_near_tie(row, 3)
    assert not is_near_tie(np.array([1.0, 3.0, 2.4], np.float32), 1)
    assert not is_near_tie(np.array([3.0, -np.inf], np.float32), 0)
    assert is_near_tie(np.array([0.0, 0.5], np.float32), 1)
    assert not is_near_tie(np.array([7.0], np.float32), 0)


def _guess(draft: DraftModel, text: Followed) -> list[int]:
    """Return six tokens, once all that stands before was read."""
    return next(found for _ in range(9) if (found := draft.continuation(text, 6, 0.0)))


def test_what_was_wrong_is_forgotten_exactly(
    tiny_path: Path, tiny_model: Model, worthwhile: None
) -> None:
    """After wrong guesses it goes on as one that never made them."""
    limits = Limits(1024, 256, 64, 64, 16, tiny_model.vocabulary.size, 8)
    tried, fresh = (DraftModel(DraftOptions(tiny_path), tiny_model, limits) for _ in range(2))
    text, tokens = Followed(), [*_PROMPT]
    text.tokens = tokens
    assert tried.begin(text)
    for turn in range(5):
        guess = _guess(tried, text)
        assert len(guess) == 6
        # So many are right, then another token comes.
        tokens += [*guess[:turn], (guess[turn] + 1) % 200]
        other = Followed([*tokens])
        assert fresh.begin(other)
        assert _guess(fresh, other) == _guess(tried, text)
        fresh.release(other, 0)
    tried.close()
    fresh.close()


def test_tokens_that_the_draft_has_not_end_its_help(
    tiny_path: Path, tiny_model: Model, worthwhile: None
) -> None:
    limits = Limits(1024, 256, 64, 64, 16, tiny_model.vocabulary.size, 8)
    draft = DraftModel(DraftOptions(tiny_path), tiny_model, limits)
    text = Followed([*_PROMPT, tiny_model.vocabulary.size + 3])
    assert draft.begin(text)
    for _ in range(3):
        assert draft.continuation(text, 4, 0.0) == []
    assert text.lost
    draft.release(text, 0)
    draft.close()


def test_a_full_draft_cache_makes_room_or_gives_up(
    tiny_path: Path, tiny_model: Model, worthwhile: None
) -> None:
    limits = Limits(256, 256, 64, 64, 16, tiny_model.vocabulary.size, 8)
    draft = DraftModel(DraftOptions(tiny_path), tiny_model, limits)  # one window for all
    texts = [Followed([65 + n, *_PROMPT * 3, *_PROMPT[:9]]) for n in range(4)]
    for text in texts[:2]:
        assert draft.begin(text)
        for _ in range(12):
            draft.continuation(text, 2, 0.0)
    assert texts[1].lost and not texts[0].lost
    assert not draft.begin(texts[2])  # two are at work
    for text in texts[:2]:
        draft.release(text, 0)
    assert draft.begin(texts[2])
    assert len(_guess(draft, texts[2])) == 6  # what was kept gave way
    draft.close()
