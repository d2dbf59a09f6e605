"""The command that keeps up with places, once or for ever."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape

from ragstack.cli.documents import Bar, progress_bar
from ragstack.cli.options import BaseOption, JsonOption, opened, reported
from ragstack.cli.output import console, errors, print_json, print_report, report_json
from ragstack.errors import ConfigError
from ragstack.pipeline.places import places_of, seconds_of
from ragstack.pipeline.stack import Stack
from ragstack.pipeline.sync import Synced, waits

__all__ = ["sync"]

_LONGEST_NAP_S = 60.0  # after which the clock is looked at again: a laptop may have slept


def sync(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which places; else all.", metavar="[NAME]...")
    ] = None,
    base: BaseOption = None,
    every: Annotated[
        str | None,
        typer.Option(
            "--every",
            help="Stay, and do it again each 15m (or 30s, 2h, 1d); `every` of a place wins.",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Ask for everything, whatever was seen before.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring in what changed in the places of [sync.NAME]; exit 1 where one could not be read."""
    with reported(as_json=as_json), opened(base) as stack:
        places = places_of(stack.config.sync, names or ())
        if not places:
            raise ConfigError(
                "no place to sync is configured",
                hint="write a table [sync.NAME] in ragstack.toml: docs/guides/connectors.md",
            )
        if every is None:
            if not _round(stack, [place.name for place in places], full=full, as_json=as_json):
                raise typer.Exit(1)
            return
        every_s = seconds_of(every, option="--every")
        while True:
            left = waits(stack.parts.catalog, places, every_s)
            due = [name for name, seconds in left.items() if seconds <= 0.0 or full]
            if due:
                _round(stack, due, full=full, as_json=as_json)
                full = False
            else:
                time.sleep(min(_LONGEST_NAP_S, *left.values()))


def _round(stack: Stack, names: list[str], *, full: bool, as_json: bool) -> bool:
    """Sync the places and say what happened; return whether each could be read to its end."""
    quiet = as_json or not errors.is_terminal
    with nullcontext() if quiet else progress_bar() as progress:
        found = stack.sync(*names, full=full, progress=Bar(progress) if progress else None)
    if as_json:
        print_json({"places": [_json(each) for each in found]})
    else:
        for each in found:
            _print(each)
    return not any(each.error for each in found)


def _json(synced: Synced) -> dict[str, Any]:
    return {**asdict(synced), "report": report_json(synced.report)}


def _print(synced: Synced) -> None:
    console.print(f"[bold]{escape(synced.name)}[/bold]")
    if not synced.error:
        print_report(synced.report)
        return
    errors.print(f"[red]failed[/red] {escape(synced.name)}: {escape(synced.error)}")
    if synced.hint:
        errors.print(f"hint: {escape(synced.hint)}")
