"""One stream of ragstack's engine beside llama-cpp-python's ``Llama``: same file, same prompt.

Run: ``python -m ragstack_evals.bench_engine [MODEL ...]``. Prints a table of tokens a second and
the ratio of the two; the order of the two alternates by round, and the medians are compared.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import llama_cpp
import numpy as np
from rich.console import Console
from rich.table import Table

from ragstack import models
from ragstack.engine.context import Options
from ragstack.engine.engine import Engine, Request
from ragstack.engine.library import physical_cores
from ragstack.engine.sampling import Sampler
from ragstack.types import Sampling

__all__ = ["Result", "bench", "main"]

_PASSAGE = (
    "The lighthouse was built by Agnes Murray in 1871. The Harbour Trust pays for repairs to the "
    "roof of the boathouse; the tenant pays for the windows. "
)
_CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class Result:
    """Medians for one model, in tokens a second.

    Attributes:
        greedy_ms: Milliseconds to draw one token greedily from a row of logits.
    """

    model: str
    threads: int
    prefill: float
    decode: float
    prefill_plain: float
    decode_plain: float
    greedy_ms: float


def bench(name: str, *, rounds: int, prompt_tokens: int, answer_tokens: int) -> Result:
    """Measure both on one model."""
    path = models.path(name)
    threads = physical_cores()
    ours = _ours(path, threads)
    plain = llama_cpp.Llama(
        str(path), n_ctx=_CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}
    runs: dict[str, Callable[[Sequence[int], int], tuple[float, float]]] = {
        "ours": lambda tokens, most: _time(ours, tokens, most),
        "plain": lambda tokens, most: _time_plain(plain, tokens, most),
    }
    text = ours.model.vocabulary.tokenize(_PASSAGE * 40)
    for i in range(rounds + 1):
        # Another first token each round, so that neither finds the prompt in its cache.
        prompt = [ours.model.vocabulary.tokenize(str(i))[0], *text[: prompt_tokens - 1]]
        for who in ("ours", "plain") if i % 2 else ("plain", "ours"):
            took = runs[who](prompt, answer_tokens)
            if i:  # the first round warms up
                times[who].append(took)
    size = ours.model.vocabulary.size
    ours.close()
    plain.close()
    (prefill, decode), (prefill_plain, decode_plain) = map(_medians, times.values())
    return Result(
        name, threads, prefill, decode, prefill_plain, decode_plain, greedy_ms=_greedy_ms(size)
    )


def _medians(rows: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(row[0] for row in rows), statistics.median(row[1] for row in rows)


def _ours(path: Path, threads: int) -> Engine:
    return Engine(path, Options(size=_CONTEXT, threads=threads))


def _time(engine: Engine, prompt: Sequence[int], most: int) -> tuple[float, float]:
    """Return tokens a second of reading and of writing."""
    return _rates(engine.generate(Request(tuple(prompt), Sampling(max_tokens=most))), len(prompt))


def _time_plain(plain: llama_cpp.Llama, prompt: Sequence[int], most: int) -> tuple[float, float]:
    stream = plain.generate(list(prompt), temp=0.0)
    rates = _rates(itertools.islice(stream, most), len(prompt))
    stream.close()
    return rates


def _rates(stream: Iterator[int], prompt: int) -> tuple[float, float]:
    began = time.perf_counter()
    next(stream)
    first = time.perf_counter()
    count = sum(1 for _ in stream)
    return prompt / (first - began), count / (time.perf_counter() - first)


def _greedy_ms(vocabulary: int) -> float:
    logits = np.random.default_rng(0).standard_normal(vocabulary).astype(np.float32)
    sampler = Sampler(Sampling())
    times = []
    for _ in range(200):
        began = time.perf_counter()
        sampler.draw(logits)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure models and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["smollm2-135m-instruct"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--answer-tokens", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    results = [
        bench(
            name,
            rounds=given.rounds,
            prompt_tokens=given.prompt_tokens,
            answer_tokens=given.answer_tokens,
        )
        for name in given.models
    ]
    console = Console()
    if given.json:
        console.print_json(json.dumps([asdict(result) for result in results]))
        return
    table = Table("model", "prefill", "Llama", "ratio", "decode", "Llama", "ratio", "greedy ms")
    for row in results:
        table.add_row(
            row.model,
            f"{row.prefill:.0f}",
            f"{row.prefill_plain:.0f}",
            f"{row.prefill / row.prefill_plain:.2f}",
            f"{row.decode:.1f}",
            f"{row.decode_plain:.1f}",
            f"{row.decode / row.decode_plain:.2f}",
            f"{row.greedy_ms:.3f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
