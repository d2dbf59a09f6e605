"""A model in, milliseconds of one step of it out: by how many read and how many write in it.

Run: ``python -m ragstack_evals.bench_steps --model NAME``. With ``--library FOLDER``, which may be
said more than once, by llama.cpp's libraries there, in turns, each in a process of its own: how two
builds are compared. Tokens are random: what a step takes does not hang on them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ragstack import models
from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.model import Model
from ragstack.errors import RagstackError

__all__ = ["bench", "main"]

_MOST = 9  # sequences: eight that write, one that reads
_ALONE = (1, 2, 4, 8, 16, 24, 32, 64, 128, 256, 512)
_TOGETHER = ((1, 128), (4, 128), (8, 64), (8, 128), (8, 256))  # writers, tokens of the step in all
_FIRST, _LAST = 100, 4000  # of the tokens drawn
_NUMBERS = ("history", "threads", "rounds", "largest")
_LIBRARY = "LLAMA_CPP_LIB_PATH"  # llama-cpp-python's own


def bench(
    model: Path, *, history: int = 600, threads: int = 0, rounds: int = 3, largest: int = 512
) -> dict[str, float]:
    """Return the least milliseconds of each kind of step.

    Args:
        history: Tokens that every sequence has behind it.
        threads: 0 is one for each physical core.
        largest: Tokens of a step at most.
    """
    weights = Model(model)
    sizes = [size for size in _ALONE if size <= largest]
    cells = (_MOST + 1) * (history + largest)
    options = Options(size=cells, threads=threads, streams=_MOST, kept=1, outputs=_MOST + 1)
    context = Context(weights, options)
    drawn = random.Random(0)

    def tokens(count: int) -> list[int]:
        last = min(_LAST, weights.vocabulary.size)
        return [drawn.randrange(min(_FIRST, last - 1), last) for _ in range(count)]

    def least(pieces: Sequence[Piece]) -> float:
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            context.decode(pieces)
            times.append(time.perf_counter() - began)
            for piece in pieces:
                context.cut(piece.sequence, piece.at)
        return min(times) * 1e3

    def writers(count: int) -> list[Piece]:
        return [Piece(number, history, tokens(1), rows=1) for number in range(count)]

    try:
        context.decode([Piece(0, 0, tokens(1), rows=1)])  # the first lays the graph out
        context.clear()
        for number in range(_MOST):
            for at in range(0, history, largest):
                context.decode([Piece(number, at, tokens(min(largest, history - at)))])
        reader = _MOST - 1
        found = {
            f"{size} read": least([Piece(reader, history, tokens(size))]) for size in sizes[4:]
        }
        found |= {f"{size} write": least(writers(size)) for size in sizes[:4]}
        for count, size in _TOGETHER:
            if size <= largest:
                read = Piece(reader, history, tokens(size - count))
                found[f"{count} write, {size - count} read"] = least([*writers(count), read])
    finally:
        context.close()
        weights.close()
    return found


def _elsewhere(library: str, given: argparse.Namespace) -> dict[str, float]:
    """Return what a process finds that loads llama.cpp from a folder."""
    command = [sys.executable, "-m", "ragstack_evals.bench_steps", "--json", "--once"]
    for name in ("model", *_NUMBERS):
        command += [f"--{name}", str(getattr(given, name))]
    # The libraries name those beside them by where they were built, unless told to look elsewhere.
    places = {_LIBRARY: library, "LD_LIBRARY_PATH": library} if library else {}
    done = subprocess.run(
        command, env={**os.environ, **places}, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _compared(given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the least of two turns of each library."""
    names = list(dict.fromkeys(given.library or [""]))
    best: dict[str, dict[str, float]] = {name: {} for name in names}
    for _ in range(2):
        for name in names:
            for kind, took in _elsewhere(name, given).items():
                best[name][kind] = min(took, best[name].get(kind, took))
    return best


def _table(found: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table("a step", *(f"{name or 'installed'}, ms" for name in found))
    first, *others = found.values()
    for kind, took in first.items():
        ratios = [f"{each[kind]:.0f} ({each[kind] / took:.2f})" for each in others]
        table.add_row(kind, f"{took:.0f}", *ratios)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a name of the table, or a GGUF file")
    parser.add_argument("--library", action="append", help="a folder with llama.cpp's libraries")
    parser.add_argument("--history", type=int, default=600, help="tokens behind each sequence")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=512, help="tokens of a step at most")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    try:
        given.model = models.path(given.model)
        if given.once:
            options = {name: getattr(given, name) for name in _NUMBERS}
            sys.stdout.write(json.dumps(bench(given.model, **options)))
            return
        found = _compared(given)
    except RagstackError as error:
        parser.exit(1, f"error: {error}\n")
    console = Console()
    if given.json:
        console.print_json(json.dumps(found))
        return
    console.print(_table(found))


if __name__ == "__main__":
    main()
