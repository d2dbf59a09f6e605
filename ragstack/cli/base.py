"""Commands on the base itself: init, backup, restore, tokens."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ragstack import config as configuration
from ragstack import models, registry
from ragstack.cli.options import BaseOption, JsonOption, ModelOption, opened, reported
from ragstack.cli.output import console, print_json
from ragstack.engine.machine import available
from ragstack.errors import InputError
from ragstack.pipeline.backup import backup as write_backup
from ragstack.pipeline.backup import restore as read_backup
from ragstack.pipeline.stack import Stack

__all__ = ["backup", "init", "restore", "tokens"]

_TEMPLATE = """\
# ragstack's configuration. Every key is optional; these are the defaults that most people change.
# All keys: docs/reference/config.md. Environment variables win: RAGSTACK_GENERATE__MODEL=...

[generate]
use = "local"
model = {model}   # {why}; `ragstack models list` shows others

[answer]
style = "normal"                        # brief, normal, detailed
language = "auto"                       # answers in the language of the question

[retrieve]
k = 5
"""


_EMBED = """
[embed]
use = "onnx"
model = {name}
"""
# What docs/LOG.md measured as better in English, where a hub has it to give.
_BETTER = "bge-small-en-v1.5"
_BESIDE_WEIGHTS = 700_000_000  # bytes: a window, and everything else of the program


def init(
    base: BaseOption = None,
    embedder: Annotated[
        str | None,
        typer.Option("--embedder", help="Embedding model of the new base, by name or folder"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a base here, with a commented ragstack.toml in it. Nothing there is overwritten.

    The model is the best one that fits the memory that is free now.
    """
    with reported(as_json=as_json):
        if embedder:  # a wrong name is told before anything is made
            registry.create("embedders", "onnx", {"model": embedder})
        folder = configuration.base_folder(base)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / configuration.FILE_NAME
        made = not file.exists()
        if made:
            chosen = embedder or ("" if as_json else _offered())
            model, why = _fitting()
            text = _TEMPLATE.format(model=json.dumps(model), why=why)
            text += _EMBED.format(name=json.dumps(chosen)) if chosen else ""
            file.write_text(text, "utf-8")
        elif embedder:
            raise InputError(
                f"{str(file)!r} is there already and stays as it is",
                hint=f'write it in there: [embed] model = "{embedder}"',
            )
        with Stack.open(folder) as stack:
            stack.parts.catalog.collections()
        if as_json:
            print_json({"base": str(folder.resolve()), "config": str(file), "made": made})
            return
        console.print(f"base    {escape(str(folder))}")
        console.print(f"config  {escape(str(file))}{'' if made else ' (kept as it was)'}")
        console.print("next    ragstack ingest PATH, then ragstack ask QUESTION")


def _fitting() -> tuple[str, str]:
    """Return the best model for the memory that is free, and why it is this one."""
    free = available()
    sizes = {each.model.name: each.model.bytes for each in models.listing()}
    for name in models.FALLBACKS:
        if free is None or sizes[name] + _BESIDE_WEIGHTS <= free:
            break
    if name == models.DEFAULT:
        return name, "the default"
    return name, f"{(free or 0) / 1e9:.1f} GB of memory were free, too little for a larger one"


def _offered() -> str:
    """Return the better embedder where it fits; a person is asked only what cannot be found out.

    It reads English alone, so nobody is asked whose system speaks another language; and what is on
    this machine already costs nothing.
    """
    if not (sys.stdin.isatty() and console.is_terminal):
        return ""
    language = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    if not language.startswith(("en", "C", "POSIX")) and language:
        return ""
    better = next(each for each in models.listing() if each.model.name == _BETTER)
    if better.path is not None and language.startswith("en"):
        return _BETTER
    if not models.hub_answers():
        return ""
    size = f"{better.model.bytes / 1e6:.0f} MB from the hub"
    asked = f"Use {_BETTER} for search? Better in English, {size}"
    return _BETTER if typer.confirm(asked, default=False) else ""


def backup(
    target: Annotated[Path, typer.Argument(help="The archive to write: a new .zip file.")],
    base: BaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the base to one archive, while others may go on using it."""
    with reported(as_json=as_json), opened(base) as stack:
        sizes = write_backup(stack, target)
        if as_json:
            print_json({"archive": str(target), "members": sizes})
        else:
            console.print(
                f"{escape(str(target))}: {sum(sizes.values()):,} bytes before compression"
            )


def restore(
    archive: Annotated[Path, typer.Argument(help="An archive that `ragstack backup` wrote.")],
    base: BaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a base from an archive, in a folder that is empty or not there."""
    with reported(as_json=as_json):
        folder = configuration.base_folder(base)
        read_backup(archive, folder)
        if as_json:
            print_json({"base": str(folder.resolve())})
        else:
            console.print(f"restored into {escape(str(folder))}")


def tokens(
    text: Annotated[str, typer.Argument(help="The text.")],
    base: BaseOption = None,
    model: ModelOption = None,
    embedder: Annotated[
        bool, typer.Option("--embedder", help="Count as the embedder does, not the generator.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how a text is cut into tokens, and how many there are."""
    with reported(as_json=as_json), opened(base, model=model) as stack:
        counter = stack.parts.counter if embedder else stack.parts.generator_counter
        spans = counter.offsets(text)
        pieces = [text[start:end] for start, end in spans]
        if as_json:
            print_json({"count": len(spans), "tokens": pieces, "offsets": [list(s) for s in spans]})
            return
        console.print(escape("·".join(pieces)))
        console.print(f"{len(spans)} tokens")
