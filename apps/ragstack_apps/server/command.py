"""The command ``ragstack serve``: options in, a server that runs until it is told to stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Annotated

import typer

from ragstack.cli.options import BaseOption, ModelOption, opened, reported
from ragstack.cli.output import console
from ragstack.errors import InputError
from ragstack_apps.accounts.accounts import LOCKED
from ragstack_apps.accounts.settings import serve_settings
from ragstack_apps.server.house import House
from ragstack_apps.server.place import Place
from ragstack_apps.server.running import Server

__all__ = ["app", "serve"]

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def serve(  # noqa: PLR0913 -- a command's options are its arguments
    base: BaseOption = None,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 8000,
    model: ModelOption = None,
    api_key: Annotated[
        str,
        typer.Option(
            envvar="RAGSTACK_API_KEY",
            help="What clients must show; needed to listen beyond this machine.",
            show_default=False,
        ),
    ] = "",
    max_body: Annotated[int, typer.Option(help="Bytes of a request at most.")] = 8 << 20,
    timeout: Annotated[float, typer.Option(help="Seconds an answer may take.")] = 600.0,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run the model in this process, not in its own.")
    ] = False,
    tls_cert: Annotated[
        str, typer.Option(help="Certificate file (PEM): speak https.", show_default=False)
    ] = "",
    tls_key: Annotated[
        str, typer.Option(help="The certificate's key file (PEM).", show_default=False)
    ] = "",
    grace: Annotated[float, typer.Option(help="Seconds that a stop waits for answers.")] = 20.0,
) -> None:
    """Serve the base and its model to OpenAI's clients: /v1/chat/completions and /v1/models."""
    with reported():
        if not timeout > 0 or not grace >= 0:
            raise InputError(
                f"timeout={timeout}, grace={grace}: expected more than 0, and 0 or more"
            )
        with opened(base, model=model, isolated=not in_process) as stack:
            place = Place(
                host,
                port,
                api_key.strip(),
                max_body,
                max_upload=serve_settings(stack.config.serve).max_upload_mb << 20,
                deadline_s=timeout,
                certificate=tls_cert,
                private_key=tls_key,
            )
            house = House.of(stack, place)
            try:
                server = Server(house)
                house.guard.start()
                if house.accounts.locked:
                    console.print(LOCKED)
                console.print(f"{house.service.model} at {server.url}/v1; stop with Ctrl-C")
                run(server, grace)
            finally:
                house.close()


def run(server: Server, grace_s: float) -> None:
    """Serve until a signal says stop, then let what is at work come to its end."""
    told = threading.Event()

    def tell(_signal: int, _frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    thread = threading.Thread(target=server.serve_forever, name="ragstack-accept", daemon=True)
    thread.start()
    try:
        told.wait()
        server.stop(grace_s)
        thread.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
