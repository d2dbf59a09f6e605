"""``python -m ragstack_evals``: the evaluations without the rest of the command line."""

from __future__ import annotations

import sys

import typer

from ragstack.errors import RagstackError
from ragstack_evals.command import app

if __name__ == "__main__":
    try:
        app()
    except RagstackError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
