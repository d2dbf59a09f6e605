"""The ``ragstack eval`` command; the cli mounts ``app`` through the registry."""

from __future__ import annotations

import typer

from ragstack_evals.bench import bench
from ragstack_evals.bench_chat import bench_chat
from ragstack_evals.bench_chunkers import chunkers
from ragstack_evals.bench_documents import documents
from ragstack_evals.bench_lexical import bench_lexical
from ragstack_evals.bench_server import bench_server
from ragstack_evals.compare import compare
from ragstack_evals.embedders import embedders
from ragstack_evals.fusion import fusion
from ragstack_evals.packing import packing
from ragstack_evals.qa import qa
from ragstack_evals.retrieval import retrieval
from ragstack_evals.rivals.run import peers

__all__ = ["app"]

app = typer.Typer(
    name="eval",
    help="Measure retrieval, answers and speed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(qa)
app.command()(retrieval)
app.command()(bench)
app.command()(peers)
app.command()(embedders)
app.command()(compare)
app.command()(chunkers)
app.command()(fusion)
app.command()(packing)
app.command("bench-chat")(bench_chat)
app.command("bench-lexical")(bench_lexical)
app.command("bench-server")(bench_server)
app.command()(documents)


@app.callback()
def main() -> None:
    """Measure retrieval, answers and speed on judged data (see RAGSTACK_DATA)."""
