"""The engine: any number of callers, one model, and nobody waits for one who does not read."""

from __future__ import annotations

import gc
import multiprocessing
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.engine.generation import Generation
from ragstack.engine.model import Model
from ragstack.engine.sampling import log_probability
from ragstack.errors import ContextOverflow, GenerationError, GrammarError, InputError
from ragstack.types import Regex, Sampling

_PROMPT = tuple(b"A prompt of some forty bytes, all of them.")


def _request(most: int = 20, **settings: object) -> Request:
    return Request(_PROMPT, Sampling(max_tokens=most, **settings))  # type: ignore[arg-type]


def _rows(model: Model, prompt: list[int], count: int) -> Iterator[np.ndarray]:  # type: ignore[type-arg]
    """Yield the logits of a plain greedy loop over a context of its own."""
    context = Context(model, Options(size=256, batch=64, threads=1))
    at, feed = 0, prompt
    for _ in range(count):
        context.decode([Piece(0, at, feed, rows=1)])
        row = context.logits(len(feed) - 1).copy()
        yield row
        at, feed = at + len(feed), [int(np.argmax(row))]
    context.close()


def _scores(model: Model, prompt: list[int], tokens: list[int]) -> list[float]:
    """Return what a plain pass says of a continuation."""
    context = Context(model, Options(size=256, batch=256, threads=1, outputs=200))
    whole = [*prompt, *tokens]
    context.decode([Piece(0, 0, whole, rows=len(tokens) + 1)])
    found = [
        log_probability(context.logits(len(prompt) - 1 + place), token)
        for place, token in enumerate(tokens)
    ]
    context.close()
    return found


def test_greedy_is_the_model_s_own_best(tiny_engine: Engine, tiny_model: Model) -> None:
    """The tokens are those of a loop over a bare context."""
    expected: list[int] = []
    for row in _rows(tiny_model, [*_PROMPT], 20):
        token = int(np.argmax(row))
        if token in tiny_model.vocabulary.ends:
            break
        expected.append(token)
    assert list(tiny_engine.generate(_request())) == expected


def test_it_says_how_it_ended(tiny_engine: Engine) -> None:
    generation = tiny_engine.generate(_request(5))
    assert generation.finish == ""
    assert len(list(generation)) == 5
    assert generation.finish == "length"
    assert next(generation, None) is None
    closing = tiny_engine.generate(Request(_PROMPT, Sampling(max_tokens=9), Regex("ab")))
    assert len(list(closing)) == 2
    assert closing.finish == "stop"


def test_nothing_wanted_nothing_made(tiny_engine: Engine) -> None:
    generation = tiny_engine.generate(_request(0))
    assert list(generation) == []
    assert generation.finish == "length"


def test_what_was_read_is_not_read_again(tiny_engine: Engine) -> None:
    first = tiny_engine.generate(_request(4))
    tokens = list(first)
    assert first.cached == 0
    second = tiny_engine.generate(Request((*_PROMPT, *tokens, 65), Sampling(max_tokens=1)))
    list(second)
    assert second.cached == len(_PROMPT) + len(tokens) - 1  # the last one was never read


def test_a_closed_generation_frees_the_model(tiny_engine: Engine) -> None:
    whole = list(tiny_engine.generate(_request()))
    for read in range(4):
        generation = tiny_engine.generate(_request(200))
        for _ in range(read):
            next(generation)
        generation.close()
        generation.close()
        assert generation.finish == "cancelled"
        assert next(generation, None) is None
        assert list(tiny_engine.generate(_request())) == whole


def test_a_request_is_given_up_from_another_thread(tiny_engine: Engine) -> None:
    cancel = threading.Event()
    manner = Manner(cancel=cancel)
    held = tiny_engine.generate(replace(_request(200), manner=manner))
    next(held)
    cancel.set()
    assert len(list(held)) < 198 and held.finish == "cancelled"
    late = tiny_engine.generate(replace(_request(), manner=manner))
    assert list(late) == [] and late.finish == "cancelled"
    assert list(tiny_engine.generate(_request()))


def test_who_does_not_read_holds_up_nobody(tiny_engine: Engine) -> None:
    sleepers = [tiny_engine.generate(_request()) for _ in range(3)]
    for sleeper in sleepers:
        next(sleeper)
    assert len(list(tiny_engine.generate(_request()))) > 0
    rest = [list(sleeper) for sleeper in sleepers]
    assert rest[0] == rest[1] == rest[2]


def test_errors_come_before_any_work(tiny_engine: Engine) -> None:
    with pytest.raises(ContextOverflow, match="256"):
        tiny_engine.generate(_request(256 - len(_PROMPT) + 1))
    tiny_engine.generate(_request(256 - len(_PROMPT)))
    with pytest.raises(InputError):
        tiny_engine.generate(Request((), Sampling()))
    with pytest.raises(InputError):
        tiny_engine.generate(Request((1, 9999), Sampling(max_tokens=1)))
    with pytest.raises(InputError):
        tiny_engine.generate(_request(-1))
    with pytest.raises(GrammarError):
        tiny_engine.generate(Request(_PROMPT, Sampling(max_tokens=1), Regex("(")))


def test_the_window_can_be_filled_to_the_last_token(tiny_engine: Engine) -> None:
    generation = tiny_engine.generate(
        Request(_PROMPT, Sampling(max_tokens=256 - len(_PROMPT)), Regex("[a-z]{1,300}"))
    )
    text = b"".join(tiny_engine.model.vocabulary.piece(token) for token in generation)
    assert generation.finish == "length"
    assert text.isalpha()


def test_an_error_at_work_reaches_its_caller_alone(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(tiny_engine.generate(_request()))
    with monkeypatch.context() as patch:
        patch.setattr("ragstack.engine.jobs.Sampler.draw", lambda *_: 1 / 0)
        generation = tiny_engine.generate(_request())
        with pytest.raises(ZeroDivisionError):
            next(generation)
        assert next(generation, None) is None
    assert list(tiny_engine.generate(_request())) == whole


def test_scores_are_those_of_a_plain_pass(tiny_engine: Engine, tiny_model: Model) -> None:
    continuations = [[], [70], [71, 72, 73], list(range(60, 60 + 90)), [71]]
    rows = tiny_engine.score(_PROMPT, continuations)
    for tokens, row in zip(continuations, rows, strict=True):
        assert row == pytest.approx(_scores(tiny_model, [*_PROMPT], tokens), abs=0.02)


def test_scores_refuse_what_does_not_fit(tiny_engine: Engine) -> None:
    with pytest.raises(ContextOverflow):
        tiny_engine.score(_PROMPT, [[1] * 250])
    with pytest.raises(InputError):
        tiny_engine.score([], [[1]])
    with pytest.raises(InputError):
        tiny_engine.score(_PROMPT, [[-1]])


def _engine(path: Path) -> Engine:
    return Engine(path, Options(size=256, batch=32, threads=1))


def test_closing_ends_what_runs_and_refuses_what_comes(tiny_path: Path) -> None:
    engine = _engine(tiny_path)
    running = engine.generate(_request(200))
    next(running)
    waiting = engine.generate(_request())
    vocabulary = engine.model.vocabulary
    engine.close()
    engine.close()
    assert len(list(running)) < 200
    assert running.finish == "cancelled"
    for call in (
        lambda: next(waiting),
        lambda: list(engine.generate(_request())),
        lambda: engine.score(_PROMPT, [[1]]),
        lambda: engine.generate(Request(_PROMPT, Sampling(max_tokens=1), Regex("a"))),
        lambda: vocabulary.tokenize("a"),
        lambda: vocabulary.pieces(),
    ):
        with pytest.raises(GenerationError, match="closed"):
            call()


def test_closing_from_elsewhere_while_many_read(tiny_path: Path) -> None:
    """No call that is on its way when the engine closes touches memory that is gone."""
    engine = _engine(tiny_path)
    stop = threading.Event()
    odd: list[BaseException] = []

    def work() -> None:
        while not stop.is_set():
            try:
                engine.model.vocabulary.tokenize("some words " * 50)
                list(engine.generate(_request(8)))
                engine.score(_PROMPT, [[1, 2]])
            except GenerationError:
                return
            except BaseException as error:
                odd.append(error)
                return

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    engine.close()
    stop.set()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert odd == []


def test_an_engine_let_go_of_ends_its_thread(tiny_path: Path) -> None:
    before = threading.active_count()
    engine = _engine(tiny_path)
    list(engine.generate(_request(2)))
    assert threading.active_count() == before + 1
    del engine
    gc.collect()
    assert threading.active_count() == before


def _in_the_child(engine: Engine, answers: multiprocessing.SimpleQueue[str]) -> None:
    try:
        list(engine.generate(_request(2)))
    except GenerationError as error:
        answers.put(error.message)
    else:
        answers.put("no error")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_and_does_not_hang(tiny_engine: Engine) -> None:
    list(tiny_engine.generate(_request(2)))
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_in_the_child, args=(tiny_engine, answers))
    child.start()
    child.join(timeout=30)
    assert child.exitcode == 0
    assert "forked" in answers.get()
    assert len(list(tiny_engine.generate(_request(2)))) == 2


def test_generation_is_an_iterator(tiny_engine: Engine) -> None:
    assert isinstance(tiny_engine.generate(_request()), Generation)
