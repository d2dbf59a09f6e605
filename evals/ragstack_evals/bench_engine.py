"""The local generator beside bare llama.cpp, ``Llama``, ChatLlamaCpp and llama.cpp's own server.

Run: ``make bench-engine`` or ``python -m ragstack_evals.bench_engine --model NAME``. One run, the
same file, threads and prompts for all; each in a process of its own, at work one at a time.
On two cores a whole run takes about 3 minutes for SmolLM2, 10 for a model of 0.5B parameters and
12 to 15 for one of 1.5B; --quick takes 1 or 2.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from ragstack import models
from ragstack.errors import InputError, RagstackError
from ragstack_evals import bench_sampling
from ragstack_evals.contest.contestant import ContestantFailed
from ragstack_evals.contest.peers import Peers, prepare
from ragstack_evals.contest.plan import PARTS, planned
from ragstack_evals.contest.questions import Passage, passages
from ragstack_evals.contest.run import Contest, can_draft, play
from ragstack_evals.contest.show import show, show_targets
from ragstack_evals.contest.targets import Target, targets
from ragstack_evals.report import circumstances, results_console, write_json

__all__ = ["main"]

_SEED = 0
_DRAWS = 50


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure models, print tables and targets, write a JSON file."""
    given = _parser().parse_args(arguments)
    console = results_console()
    try:
        found = _bench(given, console)
    except (RagstackError, ContestantFailed) as error:
        console.print(f"error: {error}", soft_wrap=True, markup=False)
        raise SystemExit(1) from error
    target = given.json or Path("bench-results") / f"engine-{time.strftime('%Y%m%d-%H%M%S')}.json"
    write_json(target, found)
    console.print(f"results: {target}", soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench_engine",
        description=__doc__,
        epilog="parts: " + "; ".join(f"{name}: {what}" for name, what in PARTS.items()),
    )
    add = parser.add_argument
    add("--model", nargs="+", default=["smollm2-135m-instruct"], metavar="NAME", dest="models")
    add("--streams", type=int, nargs="+", default=[], metavar="N", help="instead of 1 2 4 8 16")
    add("--rounds", type=int, default=0, help="at most so many (3); the first is always whole")
    add("--minutes", type=float, default=0.0, help="no further round of a part after these (12)")
    add("--only", nargs="+", default=[], metavar="PART", help=", ".join(PARTS))
    add("--quick", action="store_true", help="small sizes, one round: shows that it works")
    add("--draft", metavar="NAME", help="a model that guesses, where the generator takes one")
    add("--server", choices=("compiled", "xllamacpp"), default="compiled")
    add("--no-peers", action="store_true", help="ragstack, bare and Llama alone")
    add("--seed", type=int, default=_SEED, help="chooses the prompts")
    add("--json", type=Path, metavar="FILE", help="where the results go")
    return parser


def _bench(given: argparse.Namespace, console: Console) -> dict[str, Any]:
    def say(text: str) -> None:
        console.print(f"[dim]{text}[/dim]", soft_wrap=True)

    if given.draft and not can_draft():
        raise InputError("this local generator takes no draft model", hint="leave --draft out")
    paths = {name: models.path(name) for name in given.models}  # all are there before any is run
    draft = models.path(given.draft) if given.draft else None
    texts, origin = passages(given.seed)
    console.print(f"prompts: {origin}", soft_wrap=True)
    compiled = given.server == "compiled"
    peers = Peers() if given.no_peers else prepare(say, compile_server=compiled)
    draws = bench_sampling.bench(rounds=_DRAWS)
    draw_ms = {name: times["peaked"] for name, times in draws.items()}
    found: dict[str, Any] = {**circumstances(seed=given.seed), "prompts": origin, "models": {}}
    with tempfile.TemporaryDirectory(prefix="ragstack-bench-") as folder:
        for name, path in paths.items():
            plan = planned(
                path.stat().st_size,
                only=given.only,
                streams=given.streams,
                rounds=given.rounds,
                minutes=given.minutes,
                quick=given.quick,
            )
            contest = Contest(name, path, plan, peers, Path(folder), draft)
            found["models"][name] = _one(contest, texts, console, draw_ms)
    return found


def _one(
    contest: Contest, texts: list[Passage], console: Console, draw_ms: dict[str, float]
) -> dict[str, Any]:
    begun = time.monotonic()
    results, step_ms = play(
        contest, texts, lambda text: console.print(f"[dim]{text}[/dim]", soft_wrap=True)
    )
    reached: list[Target] = targets(results, step_ms=step_ms, draw_ms=draw_ms)
    show(results, console)
    show_targets(reached, console, model=contest.model)
    took_s = time.monotonic() - begun
    console.print(f"{contest.model}: {took_s / 60:.1f} minutes")
    return {
        "plan": asdict(contest.plan),
        "took_s": took_s,
        "targets": [{**asdict(each), "met": each.met} for each in reached],
        **results.plain(),
    }


if __name__ == "__main__":
    main()
