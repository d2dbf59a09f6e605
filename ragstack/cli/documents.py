"""Commands on documents: ingest, search, delete, stats."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ragstack import registry
from ragstack.cli.options import (
    As,
    BaseOption,
    Collection,
    JsonOption,
    TraceOption,
    TransformOption,
    Where,
    conditions,
    least,
    opened,
    reported,
    transforms_of,
)
from ragstack.cli.output import (
    console,
    errors,
    passage_json,
    print_json,
    print_passages,
    print_report,
    print_trace,
    report_json,
    shortened,
    trace_json,
)
from ragstack.errors import NotFound
from ragstack.pipeline.find import Search
from ragstack.pipeline.ingest import Step
from ragstack.pipeline.retrieve import above
from ragstack.pipeline.stack import Stack

__all__ = ["Bar", "delete", "ingest", "progress_bar", "require_base", "search", "stats"]

_OF_A_BASE = frozenset({"catalog.sqlite", "ragstack.toml", "collections"})


class Bar:
    """Shows an ingest's steps on the error stream, where a person looks on."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.counts: Counter[str] = Counter()
        self.task = progress.add_task("reading", total=None)

    def __call__(self, step: Step) -> None:
        """Show what was done."""
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
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and do it again whenever something changes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take documents in: what is new, what changed, what has gone; the rest costs nothing."""
    with reported(as_json=as_json), opened(base) as stack:
        who = tuple(readers or ())
        if not watch:
            _taken_in(stack, paths, collection, who, as_json=as_json)
            return
        stack.folder.mkdir(parents=True, exist_ok=True)
        bursts = registry.load("watchers", "files")
        for _ in bursts(paths, ignore=[stack.folder]):
            # What fails now (another process writes, a disk is full) may go well the next time.
            with suppress(typer.Exit), reported(as_json=as_json):
                _taken_in(stack, paths, collection, who, as_json=as_json)


def _taken_in(
    stack: Stack, paths: list[Path], collection: str, readers: tuple[str, ...], *, as_json: bool
) -> None:
    quiet = as_json or not errors.is_terminal
    with nullcontext() if quiet else progress_bar() as progress:
        report = stack.ingest(
            *paths,
            collection=collection,
            readers=readers,
            progress=Bar(progress) if progress else None,
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
    transform: TransformOption = None,
    trace: TraceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find passages: each with its place and the scores that brought it here."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        who, names = tuple(asker or ()), transforms_of(transform)
        found = stack.find(query, Search(k, conditions(where), who, collection, names))
        best = above(found.passages, least(min_score))
        passages = [passage_json(passage) for passage in best]
        if as_json:
            whole = {"passages": passages, "verdict": found.verdict, "notes": list(found.told)}
            print_json(whole | {"trace": trace_json(found.trace)} if trace else passages)
            return
        print_passages(best)
        for line in filter(None, (found.plan.reply, found.text, *found.told)):
            console.print(f"[yellow]note: {escape(line)}[/yellow]")
        if trace:
            print_trace(found.trace)


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
    held = {path.name for path in folder.iterdir()}
    if held and held.isdisjoint(_OF_A_BASE):
        # Else a typed path would get a catalog in the midst of someone's files.
        raise NotFound(
            f"{str(folder)!r} holds files and no base",
            hint="name the base with --base, or make one of these files: "
            f"ragstack ingest {folder} --base BASE",
        )
