"""The demo: a folder of documents in, an answer with checked citations out, each step timed."""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.markup import escape

from progress import Meter, duration
from ragstack import Stack, models
from ragstack.cli.models import progress_bar
from ragstack.cli.output import console, errors, print_answer, print_report
from ragstack.errors import RagstackError
from ragstack.models.places import cache_folder
from ragstack.pipeline.ingest import Step

ROOT = Path(__file__).resolve().parent.parent
OWN_DOCS = ROOT / "docs"
OWN_QUESTION = "What does the verdict supported mean?"
ANY_QUESTION = "What are these documents about?"
EMBEDDING_MODEL = "all-minilm-l6-v2"


def base_of(docs: Path) -> Path:
    """Return the folder of the demo's base for a folder of documents: one each, so none mix."""
    if docs == OWN_DOCS:
        return ROOT / ".demo" / "docs"
    return ROOT / ".demo" / f"{docs.name}-{hashlib.sha256(str(docs).encode()).hexdigest()[:8]}"


def fetch(names: list[str]) -> list[str]:
    """Fetch models that are not here, with progress; return what the reader should know."""
    notes = []
    with progress_bar(errors) as report:
        for name in names:
            found = models.resolve(name, progress=report)
            size = sum(file.stat().st_size for file in _files(found.path))
            errors.print(f"  {found.name}, {size / 1e6:,.0f} MB: {escape(str(found.path))}")
            notes += [found.note] if found.note else []
    return notes


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show a step's title before it and its time after it."""
    errors.print(f"[bold]{escape(title)}[/bold]")
    begun = time.perf_counter()
    yield
    errors.print(f"  [dim]{duration(time.perf_counter() - begun)}[/dim]")


def demo(docs: Path, question: str) -> int:
    """Ingest, ask and show; return the exit status."""
    base = base_of(docs)
    with step("1. Models (fetched once)"):
        for note in fetch([EMBEDDING_MODEL, models.DEFAULT]):
            errors.print(f"  [yellow]{escape(note)}[/yellow]")
    with Stack.open(base) as stack:
        with step(f"2. Ingest {docs}"):
            meter = Meter("reading and indexing")
            counted = [0]

            def watch(done: Step) -> None:
                counted[0] += 1
                meter.note(f"{counted[0]} steps, {Path(done.source).name}")

            report = stack.ingest(docs, progress=watch)
            meter.done()
            print_report(report)
        with step(f"3. Ask: {question}"):
            answer = stack.ask(question)
            print_answer(answer)
        size = stack.stats()["bytes"]
    program = Path(sys.executable).with_name("ragstack")
    console.print("\n[bold]Where things are[/bold]")
    for name, place in (
        ("the base", f"{base} ({size / 1e6:,.1f} MB; delete the folder to forget it)"),
        ("the models", cache_folder() / "models"),
        ("the program", program),
    ):
        console.print(f"  {name:12}{escape(str(place))}")
    console.print("\n[bold]Go on[/bold]")
    console.print(f'  {shlex.quote(str(program))} ask --base {shlex.quote(str(base))} "question"')
    console.print('  make demo DOCS=folder Q="question"')
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=Path, default=OWN_DOCS)
    parser.add_argument("--question", default="")
    given = parser.parse_args(arguments)
    docs = given.docs.expanduser().resolve()
    if not docs.exists():
        errors.print(
            f"[red]error:[/red] there is no {escape(str(given.docs))}: DOCS names a folder"
        )
        return 2
    question = given.question.strip() or (OWN_QUESTION if docs == OWN_DOCS else ANY_QUESTION)
    try:
        return demo(docs, question)
    except RagstackError as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}")
        return 1
    except KeyboardInterrupt:
        errors.print("\nstopped; the same command goes on from here")
        return 130


if __name__ == "__main__":
    sys.exit(main())
