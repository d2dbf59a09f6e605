"""``ragstack eval bench-chat``: seconds from ``ragstack chat`` to a drawn page, and to an answer.

The command is started as a person starts it, over a base that is there; chromium opens its page
with an empty cache as soon as the command says that it is ready, as the command itself would.
"""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from ragstack.cli.options import BaseOption, ModelOption, reported
from ragstack.cli.output import print_json
from ragstack.errors import InputError, MissingExtra, RemoteError
from ragstack_evals.bench_server import children
from ragstack_evals.report import circumstances, results_console, table

__all__ = ["STEPS", "bench_chat", "summary"]

DRAWN_S = 5.0
STEPS = {
    "server": "server healthy",
    "served": "page served",
    "drawn": "input visible",
    "answer": "Enter to first words",
}
"""What is measured, and how the table calls it. All but the last are since the start."""
_RUN = "from ragstack.cli import main; main()"
_READY_S = 120.0
_LOOK_S = 0.05
_LOOK_MS = 120_000
_ANSWER_MS = 600_000
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Words of an answer as they come, or what stands under one that is whole.
_FIRST = """() => [...document.querySelectorAll(
    '[data-testid=stChatMessage] :is([aria-live=polite], [data-testid=stPopover])'
)].some(one => one.innerText.trim())"""


def bench_chat(
    base: BaseOption = None,
    model: ModelOption = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Starts measured.")] = 3,
    question: Annotated[
        str, typer.Option(help="Asked for the first answer; empty asks nothing.")
    ] = "What is this about?",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Start the pages, open them in chromium, and say how long each step takes.

    Exit 1 when the median start is not drawn within 5 s. Have the models in the cache: what is
    downloaded is not set apart. The first start of all compiles Python; it is run once before.
    """
    with reported(as_json=as_json):
        measured: list[dict[str, float]] = []
        with _chromium() as browser:
            for number in range(rounds + 1):
                one = _round(browser, _command(base, model), question if number else "")
                if number:
                    measured.append(one)
        median = summary(measured)
        reached = median["drawn"] < DRAWN_S
        found = {**circumstances(seed=0), "rounds": measured, "median": median}
        found |= {"question": question, "reached": reached}
        if as_json:
            print_json(found)
        else:
            _print(found)
        if not reached:
            raise typer.Exit(1)


def summary(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each step, in seconds, and of the processor's seconds."""
    names = rounds[0].keys()
    return {name: round(statistics.median(one[name] for one in rounds), 2) for name in names}


def _command(base: Path | None, model: str | None) -> list[str]:
    given = ["--base", str(base)] if base else []
    given += ["--model", model] if model else []
    return [sys.executable, "-c", _RUN, "chat", "--no-browser", *given]


@contextmanager
def _chromium() -> Iterator[Any]:
    """Yield a browser that runs already: its own start is not ours to measure.

    Raises:
        MissingExtra: Playwright is not installed.
        InputError: There is no chromium.
    """
    try:
        playwright = importlib.import_module("playwright.sync_api")
    except ModuleNotFoundError as error:
        raise MissingExtra("playwright", extra="dev") from error
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise InputError(
            f"no chromium here: looked for {', '.join(_NAMES)} on the PATH",
            hint="install it by the system's packages: apt install chromium",
        )
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def _round(browser: Any, command: list[str], question: str) -> dict[str, float]:
    """Start the command, look at its page, ask, and stop it; return seconds by step."""
    pages, server = _free_ports()
    with browser.new_context(locale="en-GB") as context, tempfile.TemporaryFile() as log:
        page = context.new_page()
        page.goto("about:blank")
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, "--port", str(pages), "--server-port", str(server)], stdout=log, stderr=log
        )
        try:
            waited = {"server": f":{server}/health", "served": f":{pages}/_stcore/health"}
            found = _answering(waited, began, process, log)
            page.goto(f"http://127.0.0.1:{pages}", wait_until="commit")
            box = page.get_by_test_id("stChatInputTextArea")
            box.wait_for(timeout=_LOOK_MS)
            found["drawn"] = time.monotonic() - began
            found["processor"] = sum(map(_processor_s, (process.pid, *children(process.pid))))
            if question:
                box.fill(question)
                box.press("Enter")
                asked = time.monotonic()
                page.wait_for_function(_FIRST, timeout=_ANSWER_MS)
                found["answer"] = time.monotonic() - asked
        finally:
            process.terminate()
            process.wait(60)
    return {name: round(value, 3) for name, value in found.items()}


def _answering(
    waited: Mapping[str, str], began: float, process: subprocess.Popen[bytes], log: IO[bytes]
) -> dict[str, float]:
    """Return after how many seconds each address answered."""
    found: dict[str, float] = {}
    while len(found) < len(waited):
        if process.poll() is not None or time.monotonic() - began > _READY_S:
            log.seek(0)
            said = log.read().decode("utf-8", "replace")[-1000:]
            raise RemoteError(f"ragstack chat did not start: {said}")
        for name, address in waited.items():
            if name not in found and _answers(f"http://127.0.0.1{address}"):
                found[name] = time.monotonic() - began
        time.sleep(_LOOK_S)
    return found


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _processor_s(process: int) -> float:
    """Return the processor's seconds of a process; 0 where that is not told (proc(5))."""
    try:
        told = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def _print(found: Mapping[str, Any]) -> None:
    console = results_console()
    names = [name for name in STEPS if name in found["median"]]
    rows = [
        (label, *(f"{one[name]:.2f}" for name in names), f"{one['processor']:.2f}")
        for label, one in [
            *((str(number), one) for number, one in enumerate(found["rounds"], start=1)),
            ("median", found["median"]),
        ]
    ]
    columns = ("seconds", *(STEPS[name] for name in names), "processor")
    console.print(table("From `ragstack chat` to a page that answers", columns, rows))
    reached = "[green]reached[/green]" if found["reached"] else "[red]missed[/red]"
    console.print(f"{reached} drawn within {DRAWN_S:g} s of the start")
