"""The one way in and out of the program; its commands are the registry's."""

from __future__ import annotations

import importlib.metadata
import logging
import os
from typing import Annotated

import typer
from rich.markup import escape

from ragstack.cli.commands import CommandGroup
from ragstack.cli.output import console, errors
from ragstack.errors import RagstackError

__all__ = ["app", "main"]

app = typer.Typer(
    name="ragstack",
    cls=CommandGroup,
    help="Ask your own documents on your own machine; every citation is a verbatim, checked quote.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)


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


def main() -> None:
    """Run the command line."""
    try:
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
