"""Commands that keep a base in order: reindex, verify, compact, duplicates, facets, collections."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from ragstack import registry
from ragstack.cli.documents import progress_bar, require_base
from ragstack.cli.options import (
    As,
    BaseOption,
    Collection,
    JsonOption,
    Where,
    conditions,
    opened,
    reported,
    scalar,
)
from ragstack.cli.output import console, errors, print_json, shortened
from ragstack.config import Plugin
from ragstack.errors import InputError
from ragstack.pipeline import collections as several
from ragstack.pipeline.compact import compact as compact_base
from ragstack.pipeline.facets import fields_of
from ragstack.pipeline.gate import THRESHOLD
from ragstack.pipeline.reindex import Rebuilding, ReindexReport, abandon
from ragstack.pipeline.reindex import reindex as rebuild
from ragstack.pipeline.stack import Stack
from ragstack.pipeline.verify import SAMPLE, IndexCheck, VerifyReport
from ragstack.pipeline.verify import verify as compare

__all__ = ["collections", "compact", "duplicates", "facets", "reindex", "verify"]

collections = typer.Typer(help="The collections of a base.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The collection's name.")]
NewName = Annotated[str, typer.Argument(help="The name it gets.")]


def reindex(
    embedder: Annotated[
        str | None, typer.Option("--embedder", help="Another embedder; else the configured one.")
    ] = None,
    chunker: Annotated[
        str | None, typer.Option("--chunker", help="Another chunker; else the configured one.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", help="Their options: embed.model=NAME, chunk.size=300. Repeatable."),
    ] = None,
    give_up: Annotated[
        bool, typer.Option("--abandon", help="Delete a generation that is half built.")
    ] = False,
    base: BaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build every index anew beside the old ones, and switch when all is complete."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        if give_up:
            there = abandon(stack)
            if as_json:
                print_json({"abandoned": there})
            else:
                console.print("given up" if there else "nothing was being built")
            return
        asked = _options(options)
        report = _rebuilt(
            stack,
            _plugin(stack.config.embed, embedder, asked["embed"]),
            _plugin(stack.config.chunk, chunker, asked["chunk"]),
            quiet=as_json or not errors.is_terminal,
        )
        if as_json:
            print_json(dataclasses.asdict(report))
        else:
            again = f"; {report.resumed} were cut already" if report.resumed else ""
            console.print(
                f"generation {report.generation}: {report.documents} documents, "
                f"{report.chunks} chunks{again}\nembedder {escape(report.embedder)}"
            )


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Build anew every index that is wrong.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Compare every chunk's vector and words, not a sample.")
    ] = False,
    base: BaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare every index with the catalog; exit 1 when something is wrong."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        report = compare(stack, repair=repair, sample=None if every else SAMPLE)
        if as_json:
            rows = [{"ok": check.ok, **dataclasses.asdict(check)} for check in report.checks]
            print_json({"ok": report.ok, "problems": list(report.problems), "checks": rows})
        else:
            _print_checks(report)
        if not report.ok:
            raise typer.Exit(1)


def compact(base: BaseOption = None, as_json: JsonOption = False) -> None:
    """Give back the room of what was deleted: catalog, indexes, caches."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        report = compact_base(stack)
        if as_json:
            print_json(dataclasses.asdict(report))
        else:
            console.print(
                f"{report.before:,} bytes before, {report.after:,} after; "
                f"{report.vectors} vectors forgotten"
            )


def duplicates(
    threshold: Annotated[
        float, typer.Option("--threshold", help="The share that two documents have in common.")
    ] = THRESHOLD,
    base: BaseOption = None,
    collection: Collection = "default",
    asker: As = None,
    as_json: JsonOption = False,
) -> None:
    """List documents that say nearly the same."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        found = registry.load("near_duplicates", "find")(
            stack.parts.catalog,
            stack.folder,
            collection=collection,
            threshold=threshold,
            asker=asker,
        )
        if as_json:
            print_json([dataclasses.asdict(pair) for pair in found])
            return
        for pair in found:
            one, other = shortened(pair.source), shortened(pair.of)
            console.print(f"{pair.similarity:.2f}  {escape(one)}  {escape(other)}")
        if not found:
            console.print("no two documents are so alike")


def facets(
    field: Annotated[
        str | None, typer.Argument(help="A metadata field; without one, the fields there are.")
    ] = None,
    base: BaseOption = None,
    collection: Collection = "default",
    where: Where = None,
    asker: As = None,
    as_json: JsonOption = False,
) -> None:
    """Count documents by the values of a metadata field."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        who = asker or ()
        if field is None:
            found = fields_of(stack.parts.catalog, collection=collection, asker=who)
        else:
            found = stack.facets(field, where=conditions(where), asker=who, collection=collection)
        if as_json:
            print_json([dataclasses.asdict(row) for row in found])
            return
        for row in found:
            console.print(f"{row.documents:>8}  {escape(str(row.value))}")
        if not found:
            console.print("no document has it")


@collections.command("list")
def list_collections(base: BaseOption = None, as_json: JsonOption = False) -> None:
    """List the collections with how much they hold."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        found = several.collections(stack)
        if as_json:
            print_json([dataclasses.asdict(each) for each in found])
            return
        for each in found:
            console.print(f"{each.name:24} {each.documents:>8} documents {each.chunks:>9} chunks")


@collections.command("delete")
def delete_collection(name: Name, base: BaseOption = None, as_json: JsonOption = False) -> None:
    """Delete a collection with everything in it."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        removed = several.delete(stack, name)
        if as_json:
            print_json({"deleted": name, "documents": removed})
        else:
            console.print(f"{escape(name)} deleted, {removed} documents")


@collections.command("rename")
def rename_collection(
    name: Name, to: NewName, base: BaseOption = None, as_json: JsonOption = False
) -> None:
    """Give a collection another name."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        several.rename(stack, name, to)
        if as_json:
            print_json({"renamed": name, "to": to})
        else:
            console.print(f"{escape(name)} is now {escape(to)}")


@collections.command("copy")
def copy_collection(
    name: Name, to: NewName, base: BaseOption = None, as_json: JsonOption = False
) -> None:
    """Copy a collection within the base."""
    with reported(as_json=as_json), opened(base) as stack:
        require_base(stack.folder)
        copied = several.copy(stack, name, to)
        if as_json:
            print_json({"copied": name, "to": to, "documents": copied})
        else:
            console.print(f"{copied} documents copied to {escape(to)}")


def _options(given: list[str] | None) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"embed": {}, "chunk": {}}
    for text in given or ():
        name, equals, value = text.partition("=")
        section, _, option = name.strip().partition(".")
        if not equals or section not in found or not option:
            raise InputError(
                f"an option is written embed.NAME=VALUE or chunk.NAME=VALUE, got {text!r}"
            )
        found[section][option] = scalar(value.strip())
    return found


def _plugin(configured: Plugin, use: str | None, options: Mapping[str, Any]) -> Plugin | None:
    """Return the plug-in that was asked for; None where the configured one is meant."""
    if use is None and not options:
        return None
    kept = configured.options if use in (None, configured.use) else {}
    return Plugin(use or configured.use, {**kept, **options})


def _rebuilt(
    stack: Stack, embed: Plugin | None, chunk: Plugin | None, *, quiet: bool
) -> ReindexReport:
    if quiet:
        return rebuild(stack, embed=embed, chunk=chunk)
    with progress_bar() as progress:
        task = progress.add_task("reading", total=None)

        def show(step: Rebuilding) -> None:
            progress.update(
                task,
                description=f"{step.step}  [dim]{step.collection}[/dim]",
                completed=step.done,
                total=step.total,
            )

        return rebuild(stack, embed=embed, chunk=chunk, progress=show)


def _print_checks(report: VerifyReport) -> None:
    for problem in report.problems:
        console.print(f"[red]wrong[/red] catalog: {escape(problem)}")
    for check in report.checks:
        word = "[green]ok[/green]   " if check.ok else "[red]wrong[/red]"
        if check.repaired:
            word = "[yellow]repaired[/yellow]"
        console.print(
            f"{word} {check.collection}/{check.slot} ({check.use}): {escape(_said(check))}"
        )
        for chunk_id in check.examples:
            console.print(f"      {escape(chunk_id)}")
    if not report.checks:
        console.print("the base holds no documents")


def _said(check: IndexCheck) -> str:
    if check.fault and not check.chunks:
        return check.fault
    parts = [f"{check.chunks} chunks, {check.looked_at} compared"]
    for count, what in (
        (check.behind, "changes behind"),
        (check.missing, "missing"),
        (check.surplus, "that are gone"),
        (check.damaged, "damaged"),
    ):
        if count:
            parts.append(f"{count} {what}")
    return ", ".join([*parts, check.fault] if check.fault else parts)
