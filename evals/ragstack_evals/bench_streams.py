"""Many streams at once: ragstack's engine beside ``Llama`` behind a lock and a bare batched loop.

Run: ``python -m ragstack_evals.bench_streams [MODEL ...]`` (``make bench-engine``). One run, the
same file, threads and prompts for all. ``Llama`` behind a lock is what LangChain's ChatLlamaCpp and
llama-cpp-python's packaged server come to: one request at a time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import llama_cpp
import numpy as np
from rich.console import Console
from rich.table import Table

from ragstack import models
from ragstack.engine.context import Context, Options, Piece
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.engine.library import physical_cores
from ragstack.engine.model import Model
from ragstack.types import Sampling

__all__ = ["Crowd", "Report", "bench", "main"]

_PASSAGES = (
    "The lighthouse was built by Agnes Murray in 1871, and its lamp burned colza oil until 1902. ",
    "The Harbour Trust pays for repairs to the roof of the boathouse; the tenant for windows. ",
    "Honey from the heather is darker than honey from the lime trees, and sets within weeks. ",
    "Le locataire paie les réparations des vannes du moulin, le propriétaire celles du toit. ",
)
_CELLS = 16_384
_WINDOW = 4_096
_WITHOUT_GUESSES = Manner(speculate=False)

Streamer = Callable[[Sequence[int], int], Iterator[int]]


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many streams at once.

    Attributes:
        rate: Tokens written a second, all streams together.
        first_s: Seconds to the first token: median and 95th percentile of the streams.
        token_s: Seconds between two tokens: likewise.
    """

    streams: int
    rate: float
    first_s: tuple[float, float]
    token_s: tuple[float, float]


@dataclass(slots=True)
class Report:
    """What was measured of one model.

    Attributes:
        ours: Crowds on ragstack's engine; ``locked`` on ``Llama`` behind a lock.
        bare: Tokens a second of a bare batched loop, by streams.
        step_ms: Milliseconds of choosing a step, the model apart.
        cold_s: Seconds to the first token of a prompt never read; ``warm_s``: of one that shares
            all but its last tokens with it.
        turns_read: Prompt tokens read anew at each turn of a conversation; ``turns``: their number.
        late_s: Seconds to the first token of one that comes behind seven long ones;
            ``late_locked_s`` likewise, there.
    """

    model: str
    threads: int
    ours: list[Crowd] = field(default_factory=list)
    locked: list[Crowd] = field(default_factory=list)
    bare: dict[int, float] = field(default_factory=dict)
    step_ms: float = 0.0
    cold_s: float = 0.0
    warm_s: float = 0.0
    turns: list[int] = field(default_factory=list)
    turns_read: list[int] = field(default_factory=list)
    late_s: float = 0.0
    late_locked_s: float = 0.0


def bench(name: str, *, streams: Sequence[int], prompt: int, answer: int) -> Report:
    """Measure one model; tokens of each prompt and of each answer are given."""
    path, threads = models.path(name), physical_cores()
    report = Report(name, threads)
    most = max(streams)
    options = Options(
        size=_WINDOW, cells=_CELLS, threads=threads, streams=most, outputs=max(96, most + 24)
    )
    engine = Engine(path, options)
    plain = llama_cpp.Llama(
        str(path), n_ctx=_WINDOW, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    lock = threading.Lock()

    def ours(tokens: Sequence[int], count: int) -> Iterator[int]:
        sampling = Sampling(max_tokens=count, logit_bias=_without_ends(engine))
        return engine.generate(Request(tuple(tokens), sampling, manner=_WITHOUT_GUESSES))

    def locked(tokens: Sequence[int], count: int) -> Iterator[int]:
        with lock:
            stream = plain.generate(list(tokens), temp=0.0)
            for _ in range(count):
                yield next(stream)
            stream.close()

    prompts = _Prompts(engine, prompt)
    for who in (ours, locked):
        _crowd(who, prompts, 1, 4)  # warms up
    for count in streams:
        report.ours.append(_crowd(ours, prompts, count, answer))
        report.locked.append(_crowd(locked, prompts, count, answer))
    _prefix(report, ours, prompts)
    _conversation(report, engine, ours, prompts, answer)
    report.late_s = _late(ours, prompts, answer)
    report.late_locked_s = _late(locked, prompts, answer)
    totals = engine.stats().totals
    report.step_ms = 1e3 * totals.own_s / max(1, totals.steps)
    last = prompts.next()
    engine.close()
    plain.close()
    report.bare = {count: _bare(path, threads, last, count, answer) for count in streams}
    return report


def _without_ends(engine: Engine) -> dict[int, float]:
    """Return a bias against every end, so that all write as long."""
    return dict.fromkeys(engine.model.vocabulary.ends, float("-inf"))


class _Prompts:
    """Prompts of equal length that begin differently, so that none finds another's in a cache."""

    def __init__(self, engine: Engine, size: int) -> None:
        self._vocabulary = engine.model.vocabulary
        self._size = size
        self._number = 0

    def next(self) -> list[int]:
        self._number += 1
        text = f"Case {self._number}: " + "".join(
            _PASSAGES[(self._number + i) % len(_PASSAGES)] for i in range(self._size // 10)
        )
        return self._vocabulary.tokenize(text)[: self._size]


def _crowd(stream: Streamer, prompts: _Prompts, count: int, answer: int) -> Crowd:
    """Let so many read and write at once."""
    firsts: list[float] = []
    gaps: list[float] = []
    given = [prompts.next() for _ in range(count)]
    barrier = threading.Barrier(count + 1)

    def run(tokens: Sequence[int]) -> None:
        barrier.wait()
        last = begun = time.perf_counter()
        for place, _ in enumerate(stream(tokens, answer)):
            now = time.perf_counter()
            if place:
                gaps.append(now - last)
            else:
                firsts.append(now - begun)
            last = now

    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(run, tokens) for tokens in given]
        barrier.wait()
        begun = time.perf_counter()
        for each in running:
            each.result()
        took = time.perf_counter() - begun
    return Crowd(count, count * answer / took, _spread(firsts), _spread(gaps))


def _spread(seconds: Sequence[float]) -> tuple[float, float]:
    if not seconds:
        return (0.0, 0.0)
    return statistics.median(seconds), float(np.percentile(seconds, 95))


def _first(stream: Iterator[int]) -> float:
    begun = time.perf_counter()
    next(stream)
    took = time.perf_counter() - begun
    for _ in stream:
        pass
    return took


def _prefix(report: Report, ours: Streamer, prompts: _Prompts) -> None:
    """Time to the first token of 400 tokens never read, and of 20 new ones behind most of them."""
    cold, warm = [], []
    for number in range(5):
        base = (prompts.next() + prompts.next())[:400]
        cold.append(_first(ours(base, 2)))
        warm.append(_first(ours([*base[:390], *base[number : number + 20]], 2)))
    report.cold_s, report.warm_s = statistics.median(cold), statistics.median(warm)


def _conversation(
    report: Report, engine: Engine, ours: Streamer, prompts: _Prompts, answer: int
) -> None:
    """Ten turns, each with a question of 30 tokens."""
    history = prompts.next()
    for turn in range(10):
        before = engine.stats().totals.read
        history += list(ours(history, min(answer, 32)))
        report.turns.append(turn + 1)
        report.turns_read.append(engine.stats().totals.read - before)
        history += prompts.next()[:30]


def _late(stream: Streamer, prompts: _Prompts, answer: int) -> float:
    """Time to the first token of one that comes while seven others write long answers."""
    begun = threading.Barrier(8)

    def write(tokens: Sequence[int]) -> None:
        begun.wait()
        for _ in stream(tokens, 4 * answer):
            pass

    with ThreadPoolExecutor(7) as pool:
        running = [pool.submit(write, prompts.next()[:32]) for _ in range(7)]
        begun.wait()
        time.sleep(0.5)
        took = _first(stream(prompts.next()[:64], 4))
        for each in running:
            each.result()
    return took


def _bare(path: Path, threads: int, prompt: Sequence[int], count: int, answer: int) -> float:
    """Return tokens a second of a loop over ``llama_decode`` alone, reading counted."""
    model = Model(path)
    options = Options(size=_WINDOW, cells=_CELLS, threads=threads, streams=count, kept=1)
    context = Context(model, options)
    begun = time.perf_counter()
    tokens = []
    for number in range(count):
        text = [number + 20, *prompt[1:]]
        for start in range(0, len(text), context.limits.batch):
            piece = text[start : start + context.limits.batch]
            context.decode([Piece(number, start, piece, rows=1)])
        tokens.append(int(np.argmax(context.logits(len(piece) - 1))))
    for place in range(len(prompt), len(prompt) + answer - 1):
        context.decode([Piece(n, place, [token], rows=1) for n, token in enumerate(tokens)])
        tokens = [int(np.argmax(context.logits(n))) for n in range(count)]
    took = time.perf_counter() - begun
    context.close()
    model.close()
    return count * answer / took


def _show(report: Report, console: Console) -> None:
    table = Table(
        "streams", "tokens/s", "locked", "ratio", "bare", "ratio", "first p50/p95", "locked",
        "token p50/p95", title=f"{report.model}, {report.threads} threads",
    )  # fmt: skip
    for mine, other in zip(report.ours, report.locked, strict=True):
        bare = report.bare[mine.streams]
        table.add_row(
            str(mine.streams),
            f"{mine.rate:.1f}",
            f"{other.rate:.1f}",
            f"{mine.rate / other.rate:.2f}",
            f"{bare:.1f}",
            f"{mine.rate / bare:.2f}",
            f"{mine.first_s[0]:.2f}/{mine.first_s[1]:.2f} s",
            f"{other.first_s[0]:.2f}/{other.first_s[1]:.2f} s",
            f"{1e3 * mine.token_s[0]:.0f}/{1e3 * mine.token_s[1]:.0f} ms",
        )
    console.print(table)
    console.print(
        f"first token, 400 tokens: cold {report.cold_s:.3f} s, shared prefix {report.warm_s:.3f} s "
        f"({report.warm_s / report.cold_s:.2f})\n"
        f"behind seven long ones: {report.late_s:.2f} s, locked {report.late_locked_s:.2f} s "
        f"({report.late_locked_s / report.late_s:.1f} times sooner)\n"
        f"tokens read at each of ten turns: {report.turns_read}\n"
        f"scheduler: {report.step_ms:.3f} ms a step"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure models and print tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["smollm2-135m-instruct"])
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add_argument("--prompt-tokens", type=int, default=200)
    parser.add_argument("--answer-tokens", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    console = Console()
    for name in given.models:
        report = bench(
            name, streams=given.streams, prompt=given.prompt_tokens, answer=given.answer_tokens
        )
        if given.json:
            console.print_json(json.dumps(asdict(report)))
        else:
            _show(report, console)


if __name__ == "__main__":
    main()
