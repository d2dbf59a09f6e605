"""The command ``ragstack chat``: a server and the pages over it, until it is told to stop."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ragstack.cli.options import BaseOption, ModelOption, reported
from ragstack.cli.output import console
from ragstack.types.hosts import is_loopback
from ragstack_apps.chat.launch import Launch, Together

__all__ = ["app", "chat"]

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def chat(  # noqa: PLR0913 -- a command's options are its arguments
    base: BaseOption = None,
    model: ModelOption = None,
    host: Annotated[str, typer.Option(help="Where the pages listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of the pages; 0 takes any that is free.")] = 8501,
    server_port: Annotated[
        int, typer.Option(help="Of the server that is started; 0 takes any that is free.")
    ] = 0,
    url: Annotated[
        str, typer.Option(help="A server that runs already; none is started.", show_default=False)
    ] = "",
    browser: Annotated[bool, typer.Option(help="Open the pages in the browser.")] = True,
    max_upload: Annotated[int, typer.Option(help="Megabytes of an uploaded file at most.")] = 200,
) -> None:
    """Open the pages: chat, documents, inspect and more, over a base on this machine."""
    with reported():
        given = Launch(
            base=Path(base) if base else None,
            model=model,
            host=host,
            port=port,
            server=url.rstrip("/") or server_port,
            max_upload=max_upload,
        )
        with Together(given) as both:
            both.wait_ready()
            console.print(f"ragstack at {both.address}; server at {both.server}; stop with Ctrl-C")
            if browser and is_loopback(host):
                webbrowser.open(both.address)
            both.wait()
