"""Many callers at once: nobody waits for another's end, and each gets what it would get alone."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ragstack.engine.context import Options
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.errors import DeadlineExceeded, EngineBusy, GenerationError, InputError
from ragstack.types import Regex, Sampling

_PROMPT = tuple(b"A prompt of some forty bytes, all of them.")
_QUIET = Manner(speculate=False)


def _request(
    number: int = 0, most: int = 12, manner: Manner = _QUIET, **settings: object
) -> Request:
    sampling = Sampling(max_tokens=most, **settings)  # type: ignore[arg-type]
    return Request((*_PROMPT, 40 + number, 10), sampling, manner=manner)


@pytest.fixture
def wide_engine(tiny_path: Path) -> Iterator[Engine]:
    options = Options(size=256, cells=1024, batch=64, threads=1, streams=4, kept=4)
    engine = Engine(tiny_path, options, queue_limit=40)
    yield engine
    engine.close()


@contextmanager
def _slowed(engine: Engine) -> Iterator[None]:
    """Let what is at work stay at work for as long as this goes on: seconds for 180 tokens."""
    context = engine._worker.context
    quick = context.decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "decode", lambda pieces: time.sleep(0.02) or quick(pieces))
        yield


def _settled(engine: Engine) -> None:
    deadline = time.monotonic() + 10
    while (stats := engine.stats()).active or stats.waiting:
        assert time.monotonic() < deadline, stats
        time.sleep(0.01)


def test_together_they_write_what_each_writes_alone(wide_engine: Engine) -> None:
    alone = [list(wide_engine.generate(_request(number))) for number in range(12)]
    steps = wide_engine.stats().totals.steps
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda n: list(wide_engine.generate(_request(n))), range(12)))
    assert found == alone
    assert wide_engine.stats().totals.steps - steps < sum(map(len, alone))  # steps were shared


def test_one_that_comes_late_does_not_wait_for_those_at_work(wide_engine: Engine) -> None:
    with _slowed(wide_engine):
        long = [wide_engine.generate(_request(n, 180)) for n in range(3)]
        for generation in long:
            next(generation)
        late = wide_engine.generate(_request(9, 2))
        assert len(list(late)) == 2
        assert wide_engine.stats().active > 0
        for generation in long:
            generation.close()


def test_interactive_ones_find_a_place_beside_the_background(wide_engine: Engine) -> None:
    slow = Manner(priority="background", speculate=False)
    crowd = [wide_engine.generate(_request(n, 180, slow)) for n in range(8)]
    with ThreadPoolExecutor(8) as pool, _slowed(wide_engine):
        firsts = [pool.submit(next, generation, None) for generation in crowd]
        while wide_engine.stats().active < 3:
            time.sleep(0.005)
        assert len(list(wide_engine.generate(_request(20, 3)))) == 3
        assert wide_engine.stats().waiting > 0
        for generation in crowd:
            generation.close()
        del firsts


def test_a_queue_that_is_full_says_so_and_empties(tiny_path: Path) -> None:
    options = Options(size=256, batch=64, threads=1, streams=1, kept=2)
    engine = Engine(tiny_path, options, queue_limit=2)
    pool = ThreadPoolExecutor(2)
    with _slowed(engine):
        holder = engine.generate(_request(0, 180))
        next(holder)
        waiting = [pool.submit(list, engine.generate(_request(n, 2))) for n in (1, 2)]
        while engine.stats().waiting < 2:
            time.sleep(0.005)
        with pytest.raises(EngineBusy, match="2 requests wait") as caught:
            next(engine.generate(_request(3)))
        assert caught.value.retryable
        holder.close()
    assert [len(each.result(timeout=20)) for each in waiting] == [2, 2]
    assert len(list(engine.generate(_request(3)))) > 0
    pool.shutdown()
    engine.close()


def test_a_deadline_ends_what_waits_and_what_runs(wide_engine: Engine) -> None:
    generation = wide_engine.generate(_request(0, 200, Manner(deadline_s=0.004, speculate=False)))
    with pytest.raises(DeadlineExceeded, match=r"0\.004 s"):
        list(generation)
    with pytest.raises(DeadlineExceeded):
        wide_engine.score(_PROMPT, [[1] * 150], manner=Manner(deadline_s=0.0))
    _settled(wide_engine)


def test_deterministic_runs_alone(wide_engine: Engine) -> None:
    alone = {"temperature": 0.8, "seed": 5, "deterministic": True}
    expected = list(wide_engine.generate(_request(0, 20, **alone)))
    crowd = [wide_engine.generate(_request(n, 60)) for n in range(3)]
    for generation in crowd:
        next(generation)
    again = wide_engine.generate(_request(0, 20, **alone))
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(list, each) for each in crowd]
        assert list(again) == expected
        assert again.cached == 0
        for each in running:
            each.result()


def test_a_common_beginning_is_read_once(wide_engine: Engine) -> None:
    shared = tuple(random.Random(1).choices(range(40, 120), k=150))
    requests = [
        Request((*shared, 40 + n, 41), Sampling(max_tokens=4), manner=_QUIET) for n in range(4)
    ]
    generations = [wide_engine.generate(request) for request in requests]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(list, generations))
    cached = sorted(generation.cached for generation in generations)
    assert cached[0] == 0
    assert all(each > 150 - 32 for each in cached[1:])  # less is not worth waiting for


def test_a_conversation_reads_what_is_new(wide_engine: Engine) -> None:
    history = [*_PROMPT]
    for turn in range(6):
        generation = wide_engine.generate(Request(tuple(history), Sampling(max_tokens=5)))
        answer = list(generation)
        if turn:
            assert len(history) - generation.cached <= 5 + 2
        history += [*answer, 60 + turn, 61, 62, 63, 64]


def test_guesses_change_no_token(tiny_path: Path) -> None:
    """What the prompt holds is guessed, checked, and makes fewer steps of the same tokens."""
    options = Options(size=512, batch=128, threads=1, streams=2, kept=2)
    engine = Engine(tiny_path, options)
    pattern = Regex("(the keeper of the harbour light sleeps\\. ){4}")
    prompt = tuple(b"the keeper of the harbour light sleeps. " * 2)
    plain, quick = (
        Request(prompt, Sampling(max_tokens=160), pattern, Manner(speculate=speculate))
        for speculate in (False, True)
    )
    expected = list(engine.generate(plain))
    before = engine.stats().totals
    assert list(engine.generate(quick)) == expected
    after = engine.stats().totals
    assert after.right - before.right > 50
    assert after.steps - before.steps < len(expected) * 0.7
    engine.close()


def test_wrong_guesses_are_taken_back(wide_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [list(wide_engine.generate(_request(n, 40))) for n in range(3)]
    dice = random.Random(3)
    monkeypatch.setattr(
        "ragstack.engine.drafts.Drafter.guess", lambda *_: dice.choices(range(200), k=5)
    )
    monkeypatch.setattr("ragstack.engine.costs.Costs.guesses", lambda *_: 5)
    for number in range(3):
        found = list(wide_engine.generate(_request(number, 40, Manner())))
        assert found == expected[number]
    assert wide_engine.stats().totals.guessed > 100


def test_one_that_is_let_go_of_gives_its_place_back(wide_engine: Engine) -> None:
    generation = wide_engine.generate(_request(0, 180))
    next(generation)
    del generation
    gc.collect()
    _settled(wide_engine)


def test_scores_and_texts_side_by_side(wide_engine: Engine) -> None:
    expected = wide_engine.score(_PROMPT, [[70, 71], [72]])
    writing = wide_engine.generate(_request(0, 100))
    next(writing)
    found = wide_engine.score(_PROMPT, [[70, 71], [72]])
    for left, right in zip(found, expected, strict=True):
        assert left == pytest.approx(right, abs=0.02)
    writing.close()


@pytest.mark.parametrize("options", [Options(size=64, streams=0), Options(size=64, kept=0)])
def test_impossible_options_are_refused(tiny_path: Path, options: Options) -> None:
    with pytest.raises(InputError):
        Engine(tiny_path, options)


def test_a_crowd_that_changes_its_mind_leaves_nothing_behind(wide_engine: Engine) -> None:
    """Random lengths, cancels and scores from many threads: every place is free at the end."""
    odd: list[BaseException] = []

    def client(seed: int) -> None:
        dice = random.Random(seed)
        try:
            for _ in range(12):
                number, most = dice.randrange(5), dice.randrange(1, 60)
                generation = wide_engine.generate(_request(number, most, Manner(client=str(seed))))
                stop_after = dice.choice([0, 1, 5, 100])
                try:
                    for place, _token in enumerate(generation):
                        if place >= stop_after:
                            generation.close()
                            break
                    if dice.random() < 0.3:
                        wide_engine.score(_PROMPT, [[dice.randrange(40, 90)] * 3])
                except EngineBusy:
                    time.sleep(0.01)
        except BaseException as error:
            odd.append(error)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not odd
    _settled(wide_engine)
    sequences = wide_engine._worker.call(lambda: wide_engine._worker.scheduler.sequences)
    assert sequences.busy == 0
    assert sequences.idle + len(sequences._free) == 8


def test_an_error_inside_a_step_is_told_to_all_and_the_next_one_works(
    wide_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(wide_engine.generate(_request()))
    with monkeypatch.context() as patch:
        patch.setattr("ragstack.engine.context.Context.decode", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(wide_engine.generate(_request()))
    assert list(wide_engine.generate(_request())) == expected
    with monkeypatch.context() as patch:
        patch.setattr("ragstack.engine.context.Context.decode", lambda *_: False)
        with pytest.raises(GenerationError, match="full"):
            list(wide_engine.generate(_request()))
    assert list(wide_engine.generate(_request())) == expected


def test_log_probabilities_are_those_of_the_score(wide_engine: Engine) -> None:
    generation = wide_engine.generate(_request(0, 6, logprobs=3))
    tokens = list(generation)
    found = generation.logprobs()
    assert [each.token for each in found][: len(tokens)] == tokens
    assert generation.logprobs() == ()
    (scored,) = wide_engine.score(generation.request.tokens, [tokens])
    assert [each.logprob for each in found[: len(tokens)]] == pytest.approx(scored, abs=0.02)
    assert all(len(each.alternatives) == 3 for each in found)


def test_a_peek_is_the_beginning_of_a_score(wide_engine: Engine) -> None:
    found = wide_engine.peek([_PROMPT, (*_PROMPT, 50)], 4)
    for prompt, best in zip((_PROMPT, (*_PROMPT, 50)), found, strict=True):
        scored = wide_engine.score(prompt, [[token] for token, _ in best])
        assert [row[0] for row in scored] == pytest.approx([p for _, p in best], abs=0.02)
        assert sorted(best, key=lambda each: -each[1]) == list(best)


class _Force:
    """Forces three tokens, and lets no grammar hold before they have come."""

    def __init__(self) -> None:
        self.left = [70, 71, 72]

    @property
    def free(self) -> bool:
        return bool(self.left)

    def forced(self) -> int | None:
        return self.left[0] if self.left else None

    def accept(self, token: int) -> None:
        if self.left:
            assert token == self.left.pop(0)


def test_a_guide_forces_tokens_and_the_grammar_holds_after_them(wide_engine: Engine) -> None:
    request = Request(_PROMPT, Sampling(max_tokens=9), Regex("ab"), guide=_Force())
    assert list(wide_engine.generate(request)) == [70, 71, 72, 97, 98]
