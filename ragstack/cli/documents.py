"""Commands on documents: ingest, search, delete, stats."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ragstack.cli.options import (
    As,
    BaseOption,
    Collection,
    JsonOption,
    Where,
    conditions,
    least,
    opened,
    reported,
)
from ragstack.cli.output import (
    console,
    errors,
    passage_json,
    print_json,
    print_passages,
    print_report,
    report_json,
    shortened,
)
from ragstack.errors import NotFound
from ragstack.pipeline.ingest import Step

__all__ = ["delete", "ingest", "progress_bar", "require_base", "search", "stats"]


class _Bar:
    """Shows an ingest's steps on the error stream, where a person looks on."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.counts: Counter[str] = Counter()
        self.task = progress.add_task("reading", total=None)

    def __call__(self, step: Step) -> None:
        if step.kind == "indexed":
            self.counts[f"{step.source} index"] += step.chunks
        else:
            self.counts[step.kind] += 1
        shown = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        name = escape(shortened(step.source)[-48:])
        self.progress.update(self.task, description=f"{shown}  [dim]{name}[/dim]")


def progress_bar() -> Progress:
    """Return a bar on the error stream that goes when it is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    )


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", metavar="PATH...")],
    base: BaseOption = None,
    collection: Collection = "default",
    readers: Annotated[
        list[str] | None,
        typer.Option("--reader", help="Only this user or group may see them. Repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take documents in: what is new, what changed, what has gone; the rest costs nothing."""
    with reported(as_json=as_json), opened(base) as stack:
        quiet = as_json or not errors.is_terminal
        with nullcontext() if quiet else progress_bar() as progress:
            report = stack.ingest(
                *paths,
                collection=collection,
                readers=tuple(readers or ()),
                progress=_Bar(progress) if progress else None,
            )
        if as_json:
            print_json(report_json(report))
        else:
            print_report(report)


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int | None, typer.Option("-k", min=1, help="How many passages.")] = None,
    base: BaseOption = None,
    collection: Collection = "default",
    where: Where = None,
    asker: As = None,
    min_score: Annotated[
        list[str] | None,
        typer.Option(
            "--min-score",
            help="Leave out what scores less: 0.4, or by stage, vector=0.3. Repeatable.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find passages: each with its place and the scores that brought it here."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        passages = stack.search(
            query,
            k=k,
            where=conditions(where),
            asker=asker or (),
            collection=collection,
            min_score=least(min_score),
        )
        if as_json:
            print_json([passage_json(passage) for passage in passages])
        else:
            print_passages(passages)


def delete(
    sources: Annotated[
        list[str],
        typer.Argument(help="Paths, folders, addresses or document ids.", metavar="SOURCE..."),
    ],
    base: BaseOption = None,
    collection: Collection = "default",
    as_json: JsonOption = False,
) -> None:
    """Remove documents from the base and from every index. Files on disk stay."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        removed = stack.delete(*sources, collection=collection)
        if not removed:
            raise NotFound(
                f"no document in the base is named {', '.join(repr(s) for s in sources)}",
                hint="`ragstack stats --documents` lists the documents",
            )
        if as_json:
            print_json({"removed": removed})
        else:
            console.print(f"{removed} removed")


def stats(
    base: BaseOption = None,
    collection: Collection = "default",
    documents: Annotated[bool, typer.Option("--documents", help="List the documents too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how much the base holds, and what it was made with."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        found = stack.stats(collection=collection)
        listed = stack.documents(collection=collection) if documents else []
        rows = [
            {"document_id": i.id, "source": i.source, "chunks": i.chunks, "meta": dict(i.meta)}
            for i in listed
        ]
        if as_json:
            print_json({**found, "list": rows} if documents else found)
            return
        for name, value in found.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            console.print(f"{name:12} {escape(shown)}")
        for row in rows:
            line = f"{row['document_id']}  {row['chunks']:>5}  {shortened(str(row['source']))}"
            console.print(escape(line))


def require_base(folder: Path) -> None:
    """Refuse a command that reads a base where there is none."""
    if not folder.is_dir():
        raise NotFound(
            f"there is no base in {str(folder)!r}",
            hint="make one: ragstack ingest PATH, or name another with --base",
        )
