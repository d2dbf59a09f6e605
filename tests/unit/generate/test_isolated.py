"""A generator in a process of its own: what kills that process kills no more than its requests."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragstack.errors import (
    Cancelled,
    ContextOverflow,
    DeadlineExceeded,
    EngineDied,
    GenerationError,
    InputError,
    UnknownModel,
)
from ragstack.generate.isolated import IsolatedGenerator
from ragstack.generate.isolated_process import Line
from ragstack.generate.local import LocalGenerator
from ragstack.types import Message, Regex, Sampling

_MESSAGES = [Message("user", "Who pays for the roof?")]
_SHORT = Sampling(max_tokens=12, deterministic=True)
_MANY, _A = Sampling(max_tokens=200), Regex("a{180}b")


@pytest.fixture(scope="module")
def isolated(local_path: Path) -> Iterator[IsolatedGenerator]:
    with IsolatedGenerator(model=str(local_path), context_size=256, streams=2) as generator:
        yield generator


def _text(generator: IsolatedGenerator | LocalGenerator, sampling: Sampling = _SHORT) -> str:
    return "".join(delta.text for delta in generator.stream(_MESSAGES, sampling=sampling))


def _pid(generator: IsolatedGenerator) -> int:
    assert generator.pid is not None
    return generator.pid


def test_it_writes_what_the_plain_one_writes(isolated: IsolatedGenerator, local_path: Path) -> None:
    with LocalGenerator(model=str(local_path), context_size=256, streams=2) as plain:
        assert _text(isolated) == _text(plain)
        assert isolated.count_tokens(_MESSAGES) == plain.count_tokens(_MESSAGES)
        assert isolated.offsets("deux mots") == plain.offsets("deux mots")
        ours, theirs = (g.logprobs(_MESSAGES, ["yes", "no"]) for g in (isolated, plain))
        for left, right in zip(ours, theirs, strict=True):
            assert left == pytest.approx(right, abs=0.02)
        assert isolated.capabilities == plain.capabilities
    assert isolated.load_s > 0
    assert isolated.stats().active == 0


def test_it_says_whether_its_model_is_loaded_and_loads_nothing_for_it(local_path: Path) -> None:
    generator = IsolatedGenerator(model=str(local_path), context_size=256)
    assert generator.pid is None
    assert generator.count("two words") > 0
    assert generator.pid is not None
    generator.close()
    assert generator.pid is None


def test_errors_come_across_before_the_first_delta(isolated: IsolatedGenerator) -> None:
    with pytest.raises(ContextOverflow) as caught:
        isolated.stream(_MESSAGES, sampling=Sampling(max_tokens=256))
    assert caught.value.hint
    with pytest.raises(InputError):
        isolated.stream([], sampling=_SHORT)
    assert _text(isolated, Sampling(max_tokens=9))


def test_death_is_told_and_the_next_request_lives(isolated: IsolatedGenerator) -> None:
    expected = _text(isolated)
    endless = isolated.stream(
        _MESSAGES, sampling=Sampling(max_tokens=200), grammar=Regex("a{150}b")
    )
    next(endless)
    os.kill(_pid(isolated), signal.SIGABRT)
    with pytest.raises(EngineDied, match="signal 6") as caught:
        for _ in endless:
            pass
    assert caught.value.retryable
    assert _text(isolated) == expected


def test_all_in_flight_are_told(isolated: IsolatedGenerator) -> None:
    _text(isolated)
    ends: list[type[BaseException]] = []

    def work() -> None:
        try:
            stream = isolated.stream(
                _MESSAGES, sampling=Sampling(max_tokens=200), grammar=Regex("a{180}b")
            )
            begun.release()
            for _ in stream:
                time.sleep(0.02)
        except BaseException as error:
            ends.append(type(error))

    begun = threading.Semaphore(0)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.acquire()
    begun.acquire()
    os.kill(_pid(isolated), signal.SIGKILL)
    for thread in threads:
        thread.join(timeout=30)
    assert len(ends) >= 1
    assert set(ends) == {EngineDied}
    assert _text(isolated)


def test_a_closed_stream_frees_its_place(isolated: IsolatedGenerator) -> None:
    for _ in range(4):
        stream = isolated.stream(
            _MESSAGES, sampling=Sampling(max_tokens=200), grammar=Regex("a{180}b")
        )
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 10
    while isolated.stats().active:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _until_idle(generator: IsolatedGenerator) -> None:
    limit = time.monotonic() + 5
    while generator.stats().active:
        assert time.monotonic() < limit, "the slot is still taken"
        time.sleep(0.02)


@pytest.mark.parametrize("way", ["closed", "forgotten"])
def test_a_stream_that_nobody_began_to_read_frees_its_place(
    isolated: IsolatedGenerator, way: str
) -> None:
    began = isolated.stats().totals.written
    for _ in isolated.stream(_MESSAGES, sampling=_MANY, grammar=_A):
        pass
    before = isolated.stats().totals.written
    streams = [isolated.stream(_MESSAGES, sampling=_MANY, grammar=_A) for _ in range(6)]
    for stream in streams if way == "closed" else ():
        stream.close()  # type: ignore[attr-defined]
        assert list(stream) == []
    if way == "forgotten":
        del streams
    _until_idle(isolated)
    assert isolated.stats().totals.written - before < 6 * (before - began)
    assert _text(isolated)


def test_a_forgotten_stream_is_collected_while_its_process_is_told_something(
    isolated: IsolatedGenerator,
) -> None:
    class Knot:
        """Refers to itself: only the garbage collector ends it, whenever that runs."""

        def __init__(self, held: object) -> None:
            self.knot, self.held = self, held

    _text(isolated)
    process = isolated._home._process
    assert process is not None
    gc.disable()
    try:
        Knot(isolated.stream(_MESSAGES, sampling=_MANY, grammar=_A))

        def collect() -> None:
            with process._lock:
                gc.collect()

        collector = threading.Thread(target=collect, daemon=True)
        collector.start()
        collector.join(10)
        assert not collector.is_alive(), "giving a request up waits for its own thread"
    finally:
        gc.enable()
    _until_idle(isolated)


def test_an_idle_one_gives_its_memory_back_and_comes_again(local_path: Path) -> None:
    with IsolatedGenerator(model=str(local_path), context_size=256, idle_s=2.0) as generator:
        expected = _text(generator)
        pid = _pid(generator)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and generator._home._process is not None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert _text(generator) == expected
        assert _pid(generator) != pid


def test_a_closed_one_says_so(local_path: Path) -> None:
    generator = IsolatedGenerator(model=str(local_path), context_size=256)
    stream = generator.stream(
        _MESSAGES, sampling=Sampling(max_tokens=200), grammar=Regex("a{180}b")
    )
    next(stream)
    generator.close()
    generator.close()
    with pytest.raises(GenerationError, match="closed"):
        list(stream)
    with pytest.raises(GenerationError, match="closed"):
        _text(generator)


def test_bad_options_are_refused_at_once(local_path: Path) -> None:
    with pytest.raises(UnknownModel):
        IsolatedGenerator(model="no-such-model")
    with pytest.raises(InputError):
        IsolatedGenerator(model=str(local_path), idle_s=-1)
    with pytest.raises(InputError):
        IsolatedGenerator(model=str(local_path), streams=0)


def test_a_request_is_given_up_from_another_thread(isolated: IsolatedGenerator) -> None:
    cancel = threading.Event()
    stream = isolated.served(cancel=cancel).stream(
        _MESSAGES, sampling=Sampling(max_tokens=200), grammar=Regex("a{190}b")
    )
    next(stream)
    os.kill(_pid(isolated), signal.SIGSTOP)  # or it would be done before it is told
    cancel.set()
    goes_on = threading.Timer(0.5, os.kill, (_pid(isolated), signal.SIGCONT))
    goes_on.start()
    *_, last = stream
    goes_on.join()
    assert last.finish == "cancelled"


# Reading all of these takes the tiny model seconds, and each would be read to its end.
_LONG = [" ".join(["and"] * 60 + [str(number)]) for number in range(4_000)]


def _free(isolated: IsolatedGenerator) -> bool:
    deadline = time.monotonic() + 5
    while isolated.stats().active:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_scoring_call_is_given_up_from_another_thread(isolated: IsolatedGenerator) -> None:
    assert _text(isolated)
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(Cancelled):
        isolated.served(cancel=cancel).logprobs(_MESSAGES, _LONG)
    assert _free(isolated)
    assert len(isolated.logprobs(_MESSAGES, ["yes"])) == 1


def test_a_scoring_call_ends_at_its_deadline(isolated: IsolatedGenerator) -> None:
    with pytest.raises(DeadlineExceeded):
        isolated.served(deadline_s=0.3).logprobs(_MESSAGES, _LONG)
    assert _free(isolated)


def test_a_scoring_call_that_is_interrupted_frees_the_process(
    isolated: IsolatedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C does, in the thread that waits."""

    def interrupted(self: Line) -> None:
        time.sleep(0.3)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Line, "take", interrupted)
        with pytest.raises(KeyboardInterrupt):
            isolated.logprobs(_MESSAGES, _LONG)
    assert _free(isolated)
