"""Sampling settings in, milliseconds to draw one token out. Needs no model.

Run: ``python -m ragstack_evals.bench_sampling``. Two rows of logits: ``peaked``, shaped like a
language model's (a few likely tokens above a broad floor), and ``flat``, where thousands are
likely and every cut has to look far.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from ragstack.engine.candidates import Row
from ragstack.engine.sampling import Sampler, logprobs_of
from ragstack.types import Dry, Mirostat, Sampling

__all__ = ["bench", "main"]

_HISTORY = 4096

SETTINGS: Mapping[str, Sampling] = {
    "greedy": Sampling(),
    "temperature": Sampling(temperature=0.8),
    "top-k 40": Sampling(temperature=0.8, top_k=40),
    "top-p 0.95": Sampling(temperature=0.8, top_p=0.95),
    "min-p 0.05": Sampling(temperature=0.8, min_p=0.05),
    "typical 0.95": Sampling(temperature=0.8, typical_p=0.95),
    "top-k, top-p, min-p": Sampling(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05),
    "penalties": Sampling(repetition_penalty=1.1, presence_penalty=0.5, frequency_penalty=0.5),
    "dry": Sampling(dry=Dry()),
    "mirostat 1": Sampling(temperature=0.8, mirostat=Mirostat(1)),
    "mirostat 2": Sampling(temperature=0.8, mirostat=Mirostat(2)),
    "logit bias": Sampling(logit_bias={7: -1.0}),
}


def bench(*, vocabulary: int = 151_936, rounds: int = 200) -> dict[str, dict[str, float]]:
    """Return the median milliseconds of draw and accept, by setting and row."""
    rows = {"peaked": _peaked(vocabulary), "flat": _flat(vocabulary)}
    found: dict[str, dict[str, float]] = {}
    for name, sampling in SETTINGS.items():
        found[name] = {kind: _draw_ms(sampling, row, rounds) for kind, row in rows.items()}
    found["log-probability and 5 alternatives"] = {
        kind: _logprobs_ms(row, rounds) for kind, row in rows.items()
    }
    return found


def _peaked(vocabulary: int) -> Row:
    random = np.random.default_rng(0)
    row = random.normal(0.0, 2.5, vocabulary)
    row[random.choice(vocabulary, 50, replace=False)] += np.linspace(20.0, 8.0, 50)
    return row.astype(np.float32)


def _flat(vocabulary: int) -> Row:
    return np.random.default_rng(0).normal(0.0, 2.5, vocabulary).astype(np.float32)


def _draw_ms(sampling: Sampling, row: Row, rounds: int) -> float:
    prompt = np.random.default_rng(1).integers(0, 1000, _HISTORY).tolist()
    sampler = Sampler(sampling, prompt, piece=lambda token: b"%d" % token)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        sampler.accept(sampler.draw(row))
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _logprobs_ms(row: Row, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        logprobs_of(row, 7, 5)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    found = bench(vocabulary=given.vocabulary, rounds=given.rounds)
    console = Console()
    if given.json:
        console.print_json(json.dumps(found))
        return
    table = Table("setting", "peaked, ms", "flat, ms")
    for name, times in found.items():
        table.add_row(name, f"{times['peaked']:.3f}", f"{times['flat']:.3f}")
    console.print(table)


if __name__ == "__main__":
    main()
