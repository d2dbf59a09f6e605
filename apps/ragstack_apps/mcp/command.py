"""The command ``ragstack mcp``: a base, or a server's, as an MCP server on standard input."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, Any

import anyio
import typer
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from ragstack.cli.documents import require_base
from ragstack.cli.options import As, BaseOption, ModelOption, opened, reported
from ragstack.client import Client
from ragstack.errors import InputError
from ragstack_apps.mcp.server import mcp_server
from ragstack_apps.mcp.tools import LOCAL

__all__ = ["app", "mcp"]

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def mcp(
    base: BaseOption = None,
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", help="Show only this collection. Repeatable."),
    ] = None,
    asker: As = None,
    model: ModelOption = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Of a ragstack server, in place of a base.")
    ] = None,
    api_key: Annotated[
        str,
        typer.Option(envvar="RAGSTACK_API_KEY", help="Shown to --url.", show_default=False),
    ] = "",
) -> None:
    """Offer the documents to an assistant over the Model Context Protocol, on standard input."""
    with reported():
        if url is not None and (base is not None or model is not None or asker):
            raise InputError(
                "--url is in place of --base, --model and --as", hint="the server knows its own"
            )
        seen = tuple(collection) if collection else None
        caller = LOCAL(tuple(asker or ()), collections=seen)
        opening: AbstractContextManager[Any] = (
            opened(base, model=model) if url is None else Client(url, api_key=api_key)
        )
        with opening as stack:
            if url is None:
                require_base(stack.folder)
            anyio.run(_serve, mcp_server(stack, lambda _context: caller))


async def _serve(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
