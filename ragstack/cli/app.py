"""The commands put together, and the one way in and out of the program."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sys
from typing import Annotated

import typer
from rich.markup import escape

from ragstack import registry
from ragstack.cli import base, documents, model_tools, models, upkeep
from ragstack.cli.ask import ask
from ragstack.cli.output import console, errors
from ragstack.cli.sync import sync
from ragstack.errors import RagstackError

__all__ = ["app", "main"]

app = typer.Typer(
    name="ragstack",
    help="Ask your own documents on your own machine; every citation is a verbatim, checked quote.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)

for command in (
    base.init,
    documents.ingest,
    sync,
    documents.search,
    ask,
    documents.delete,
    documents.stats,
    base.tokens,
    base.check,
    base.backup,
    base.restore,
    upkeep.reindex,
    upkeep.verify,
    upkeep.compact,
    upkeep.duplicates,
    upkeep.facets,
):
    app.command()(command)
for tool in (model_tools.show, model_tools.compare, model_tools.quantize, model_tools.tune):
    models.app.command()(tool)
app.add_typer(models.app, name="models")
app.add_typer(upkeep.collections, name="collections")


def _version(value: bool) -> None:
    if value:
        console.print(importlib.metadata.version("ragstack"))
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    level = logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


def _mount(asked: str) -> None:
    """Add a neighbour's command when it is the one asked for, so that no other pays for it."""
    if asked in registry.names("commands"):
        found: typer.Typer = registry.load("commands", asked)
        if len(found.registered_commands) == 1 and found.registered_callback is None:
            app.command(asked)(found.registered_commands[0].callback or _version)
        else:
            app.add_typer(found, name=asked)


def main() -> None:
    """Run the command line."""
    own = {
        str(command.name or getattr(command.callback, "__name__", ""))
        for command in app.registered_commands
    }
    asked = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    try:
        if asked and asked not in own and asked not in ("models", "collections"):
            _mount(asked)
        app()
    except RagstackError as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}")
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        errors.print("stopped")
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of a pipe went away; nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(0) from None
