"""``ragstack eval packing``: what each way to pack leaves of the answers, and what it spends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ragstack.pipeline.compress import compressed
from ragstack.pipeline.neighbours import with_neighbours
from ragstack.pipeline.pack import Block, near_best, pack
from ragstack.pipeline.stack import DEFAULT, Stack
from ragstack.types import Passage
from ragstack_evals.answers import contained
from ragstack_evals.datasets import find_questions, read_questions
from ragstack_evals.environment import configured, parse_settings, working_folder
from ragstack_evals.qa_plan import Asked, choose, write_paragraphs
from ragstack_evals.report import circumstances, interval_cells, results_console, table, write_json
from ragstack_evals.resample import bootstrap_mean

__all__ = ["WAYS", "Way", "packing"]

_K = 8


@dataclass(frozen=True, slots=True)
class Way:
    """One way to pack; the defaults are ragstack's own."""

    floor: float = 0.6
    keep: float = 1.0
    neighbours: bool = False
    k: int = _K


WAYS: Mapping[str, Way] = {
    "default": Way(),
    "all that was found": Way(floor=0.0),
    "the best three": Way(floor=0.0, k=3),
    "floor 0.8": Way(floor=0.8),
    "floor 0.4": Way(floor=0.4),
    "keep 0.7": Way(keep=0.7),
    "keep 0.5": Way(keep=0.5),
    "keep 0.3": Way(keep=0.3),
    "floor 0.4, keep 0.5": Way(floor=0.4, keep=0.5),
    "neighbours": Way(neighbours=True),
}
"""What is compared, by name."""


def packing(  # noqa: PLR0913 (typer reads the options off the signature)
    data: Annotated[str, typer.Option(help="squad2, piaf, or a file of questions")] = "squad2",
    questions: Annotated[int, typer.Option(min=1, help="Answerable questions")] = 200,
    paragraphs: Annotated[int, typer.Option(min=2, help="Paragraphs of the base")] = 200,
    seed: Annotated[int, typer.Option(help="Chooses questions and paragraphs")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.option=value, as in ragstack.toml")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps the base")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where results go")] = None,
) -> None:
    """Count the gold answers that stand in what the generator would read, and its tokens.

    No generator runs: what is not in the context cannot be answered, and what is costs time.
    """
    path = find_questions(data)
    language = "fr" if path.name.startswith("piaf") else "en"
    plan = choose(
        read_questions(path),
        count=2 * questions,
        paragraphs=paragraphs,
        language=language,
        seed=seed,
    )
    asked = [each for each in plan.asked if each.kind == "answerable"]
    console = Console(stderr=True)
    chosen = parse_settings(settings or ())
    with working_folder(work) as folder, configured(chosen):
        write_paragraphs(plan, folder / "documents")
        with Stack.open(folder / "base") as stack:
            stack.ingest(folder / "documents")
            found = [stack.search(each.question, k=_K) for each in asked]
            results = {
                name: _measured(stack, way, asked, found, language) for name, way in WAYS.items()
            }
    rows = []
    for name, (held, tokens) in results.items():
        mean, interval, _ = interval_cells(bootstrap_mean(held, seed=seed))
        rows.append((name, mean, interval, f"{sum(tokens) / len(tokens):.0f}"))
    title = f"{path.name.partition('.')[0]}: {len(asked)} questions, {paragraphs} paragraphs"
    columns = ("packing", "answers held", "95 %", "tokens")
    results_console().print(table(title, columns, rows))
    target = json_file or Path("bench-results") / f"packing-{seed}.json"
    measures = {name: {"held": held, "tokens": tokens} for name, (held, tokens) in results.items()}
    write_json(target, {**circumstances(seed=seed), "data": data, "packings": measures})
    console.print(f"results: {target}", soft_wrap=True)


def _measured(
    stack: Stack,
    way: Way,
    asked: Sequence[Asked],
    found: Sequence[Sequence[Passage]],
    language: str,
) -> tuple[list[float], list[int]]:
    """Return whether a gold answer is in the context, and its tokens, for each question."""
    held, spent = [], []
    for each, passages in zip(asked, found, strict=True):
        blocks = _packed(stack, way, each.question, passages, language)
        held.append(
            float(
                any(
                    contained(block.text, gold, language=language)
                    for block in blocks
                    for gold in each.golds
                )
            )
        )
        spent.append(sum(block.tokens for block in blocks))
    return held, spent


def _packed(
    stack: Stack, way: Way, question: str, passages: Sequence[Passage], language: str
) -> list[Block]:
    answer = stack.config.answer
    count: Callable[[str], int] = stack.parts.counter.count
    near = near_best(passages[: way.k], way.floor)
    if way.neighbours:
        near = with_neighbours(near, stack.parts.retriever(DEFAULT).before)
    blocks = pack(
        near,
        budget=answer.context_tokens,
        count=count,
        per_document=answer.per_document,
        between=partial(_between, stack),
    )
    return compressed(blocks, question, keep=way.keep, language=language, count=count)


def _between(stack: Stack, document_id: str, start: int, end: int) -> str:
    document = stack.document(document_id)
    return document.text[start:end] if document else ""
