"""``ragstack eval qa``: questions over a base of paragraphs, every answer and citation checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from ragstack.errors import InputError
from ragstack.pipeline.stack import Stack
from ragstack_evals.datasets import find_questions, read_questions
from ragstack_evals.environment import configured, parse_settings, working_folder
from ragstack_evals.qa_plan import Plan, choose, write_paragraphs
from ragstack_evals.qa_run import Asker, QuestionLog, ask_all
from ragstack_evals.qa_score import Record, rows_of
from ragstack_evals.report import (
    circumstances,
    interval_cells,
    results_console,
    table,
    write_json,
)

__all__ = ["qa"]

_FRENCH = frozenset({"piaf", "piaf_train"})


def qa(  # noqa: PLR0913 (typer reads the options off the signature)
    data: Annotated[str, typer.Option(help="squad2, piaf, another name in qa/, or a file")],
    questions: Annotated[
        int, typer.Option(min=1, help="How many to ask, all kinds together")
    ] = 100,
    paragraphs: Annotated[int, typer.Option(min=1, help="How many form the base")] = 200,
    style: Annotated[str, typer.Option(help="brief, normal or detailed")] = "brief",
    model: Annotated[str, typer.Option(help="The generator's model; else the configured one")] = "",
    language: Annotated[str, typer.Option(help="en or fr: how answers are compared")] = "auto",
    seed: Annotated[int, typer.Option(help="Chooses paragraphs and questions")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.option=value, as in ragstack.toml")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Folder for documents and base; else a temporary one")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where results go")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the log ends")] = False,
) -> None:
    """Ask questions over a base of paragraphs; measure answers, citations and refusals."""
    console = Console(stderr=True)
    chosen = {**parse_settings(settings or ()), **({"generate.model": model} if model else {})}
    name = Path(data).name.partition(".")[0]
    spoken = ("fr" if name in _FRENCH else "en") if language == "auto" else language
    plan = choose(
        read_questions(find_questions(data)),
        count=questions,
        paragraphs=paragraphs,
        language=spoken,
        seed=seed,
    )
    header = {
        "data": name,
        "questions": questions,
        "paragraphs": len(plan.paragraphs),
        "style": style,
        "language": spoken,
        "settings": chosen,
        "seed": seed,
    }
    target = json_file or Path("bench-results") / f"qa-{name}-{style}-{seed}.json"
    log = QuestionLog(target.with_suffix(".jsonl"), header=header, resume=resume)
    with log, working_folder(work) as folder, configured(chosen):
        write_paragraphs(plan, folder / "documents")
        with Stack.open(folder / "base") as stack:
            report = stack.ingest(folder / "documents")
            if report.failed:
                raise InputError(
                    f"{len(report.failed)} paragraphs failed, first: {report.failed[0]!r}"
                )
            _progress(stack, plan, log, style=style, console=console)
    records = list(log.records.values())
    _publish(records, header, target, seed=seed)
    console.print(f"results: {target}\nquestions: {log.path}", soft_wrap=True)


def _progress(stack: Asker, plan: Plan, log: QuestionLog, *, style: str, console: Console) -> None:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("asking", total=len(plan.asked), completed=len(log.records))
        for _ in ask_all(stack, plan, log, style=style):
            running = rows_of(list(log.records.values()), seed=0)
            label = (
                f"F1 {running['token F1'].mean:.2f}  "
                f"refused {running['refused, unanswerable'].mean:.2f}  "
                f"wrongly {running['refused wrongly'].mean:.2f}"
            )
            progress.update(task, advance=1, description=label)


def _publish(
    records: Sequence[Record], header: dict[str, object], target: Path, *, seed: int
) -> None:
    measured = rows_of(records, seed=seed)
    rows = [(name, *interval_cells(interval)) for name, interval in measured.items()]
    title = f"{header['data']}: {len(records)} questions, {header['paragraphs']} paragraphs"
    results_console().print(table(title, ("measure", "value", "95 %", "n"), rows))
    payload = {
        **circumstances(seed=seed),
        "run": header,
        "measures": {name.strip(): asdict(interval) for name, interval in measured.items()},
        "questions": [asdict(record) for record in records],
    }
    write_json(target, payload)
