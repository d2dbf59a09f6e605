"""The ``ragstack eval`` command; the cli mounts ``app`` through the registry."""

from __future__ import annotations

import typer

from ragstack_evals.qa import qa

__all__ = ["app"]

app = typer.Typer(name="eval", help="Measure retrieval, answers and speed.", no_args_is_help=True)
app.command()(qa)


@app.callback()
def main() -> None:
    """Measure retrieval, answers and speed on judged data (see RAGSTACK_DATA)."""
