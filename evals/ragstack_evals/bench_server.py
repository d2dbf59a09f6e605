"""``ragstack eval bench-server``: many streaming clients at once; errors, waits and memory.

Half of what is asked are searches, half answers as events. The server is one that runs already, or
one that is started over a base of its own, whose model is a paced double.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer

from ragstack import Stack
from ragstack.cli.options import reported
from ragstack.cli.output import print_json
from ragstack.errors import InputError, RemoteError
from ragstack_evals.environment import working_folder
from ragstack_evals.report import circumstances, results_console, table

__all__ = ["Load", "bench_server", "children", "flat", "serving", "verdicts"]

FIRST_S = 1.0  # for 95 of 100 searches, to the first byte of the answer
_GROWTH_MB = 32.0  # beside it, a tenth
_DOCUMENTS = 400
_START_S = 120.0
_CONFIG = """
[embed]
use = "hashing"
[generate]
use = "paced"
tokens_per_second = 25
"""
_WORDS = (
    *("roof", "wall", "tenant", "lease", "harbour", "ferry", "light", "keeper"),
    *("repair", "storm", "winter", "rent", "oak", "slate"),
)


@dataclass
class Load:
    """What clients saw; safe to use from many threads.

    Attributes:
        statuses: Answers by their status; 0 is no answer at all.
        first_s: Seconds to the first byte, by what was asked.
        cut: Streams that ended without ``done``.
        memory: Seconds since the beginning, and the server's megabytes.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    first_s: dict[str, list[float]] = field(default_factory=lambda: {"search": [], "ask": []})
    events: int = 0
    cut: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self, kind: str, status: int, first_s: float, *, events: int = 0, cut: bool = False
    ) -> None:
        """Count one answer."""
        with self._lock:
            self.statuses[status] += 1
            self.events += events
            self.cut += cut
            if status == 200:
                self.first_s[kind].append(first_s)

    def failed(self, why: str) -> None:
        """Count what got no answer."""
        with self._lock:
            self.statuses[0] += 1
            self.failures[why] += 1


def bench_server(
    minutes: Annotated[float, typer.Option(min=0.01, help="How long")] = 5.0,
    clients: Annotated[int, typer.Option(min=1, max=1000, help="At once")] = 50,
    url: Annotated[str, typer.Option(help="A server that runs; else one is started")] = "",
    collection: Annotated[str, typer.Option(help="What is asked")] = "default",
    seed: Annotated[int, typer.Option(help="Makes texts and questions")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Ask a server from many clients at once; exit 1 when it misses a target.

    Targets: no 5xx and no request without an answer, every stream ends with its event, 95 of 100
    searches answer within a second, memory is flat. RAGSTACK_API_KEY is shown where it is set.
    """
    with reported(as_json=as_json):
        if url and not httpx.URL(url).host:
            raise InputError(f"url is such as 'http://127.0.0.1:8000', got {url!r}")
        with working_folder(None) as folder, _server(url, folder, seed) as (place, pid):
            load = _asked(place, pid, (clients, minutes * 60), (collection, seed))
        found = {**circumstances(seed=seed), **_summary(load), "clients": clients}
        found |= {"minutes": minutes, "server": url or "started here", "verdicts": verdicts(load)}
        if as_json:
            print_json(found)
        else:
            _print(found)
        if not all(found["verdicts"].values()):
            raise typer.Exit(1)


def verdicts(load: Load) -> dict[str, bool]:
    """Return the targets, and whether each was reached."""
    searches = load.first_s["search"]
    return {
        "no 5xx": not any(status >= 500 for status in load.statuses),
        "every request answered": not load.statuses[0],
        "every stream ended": not load.cut,
        f"p95 of search under {FIRST_S:g} s": bool(searches)
        and _percentile(searches, 95) < FIRST_S,
        "memory flat": flat([megabytes for _, megabytes in load.memory]),
    }


def flat(memory: Sequence[float]) -> bool:
    """Return whether the last quarter is no higher than the one behind the warm-up, but for noise.

    Without samples nothing is claimed, so nothing is wrong: a server elsewhere shows none.
    """
    if len(memory) < 8:
        return True
    quarter = len(memory) // 4
    before = float(np.median(memory[quarter : 2 * quarter]))
    after = float(np.median(memory[-quarter:]))
    return after <= before * 1.1 + _GROWTH_MB


@contextmanager
def _server(url: str, folder: Path, seed: int) -> Iterator[tuple[str, int]]:
    if url:
        yield url.rstrip("/"), 0
        return
    with serving(folder, seed=seed) as place:
        yield place


@contextmanager
def serving(
    folder: Path, *, seed: int, documents: int = _DOCUMENTS, api_key: str = ""
) -> Iterator[tuple[str, int]]:
    """Run a server over made-up documents; yield where it is, and its process.

    Args:
        api_key: What clients have to show; empty is nothing.

    Raises:
        RemoteError: It did not start.
    """
    base, texts = folder / "base", folder / "documents"
    base.mkdir()
    texts.mkdir()
    (base / "ragstack.toml").write_text(_CONFIG, "utf-8")
    dice = random.Random(seed)
    for number in range(documents):
        (texts / f"{number}.md").write_text(f"# Lease {number}\n\n{_text(dice)}\n", "utf-8")
    with Stack.open(base) as stack:
        stack.ingest(texts)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = "from ragstack.cli import main; main()"
    words = [sys.executable, "-c", start, "serve", "--base", str(base), "--port", str(port)]
    environ = {name: value for name, value in os.environ.items() if name != "RAGSTACK_API_KEY"}
    environ |= {"RAGSTACK_API_KEY": api_key} if api_key else {}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*words, "--in-process"], stdout=log, stderr=log, cwd=folder, env=environ
        )
    try:
        place = f"http://127.0.0.1:{port}"
        _await(place, process, folder / "server.log")
        yield place, process.pid
    finally:
        process.terminate()
        process.wait(60)


def _await(place: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{place}/health", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RemoteError(f"the server did not start: {log.read_text('utf-8', 'replace')[-1000:]}")


def _asked(place: str, pid: int, size: tuple[int, float], what: tuple[str, int]) -> Load:
    """Ask from so many clients for so many seconds."""
    load, (clients, duration_s) = Load(), size
    began = time.monotonic()
    end = began + duration_s
    threads = [
        threading.Thread(target=_client, args=(place, load, end, (*what, number)), daemon=True)
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    pause = max(0.2, min(5.0, duration_s / 60))
    while time.monotonic() < end and any(thread.is_alive() for thread in threads):
        if pid and (megabytes := _megabytes(pid)):
            load.memory.append((round(time.monotonic() - began, 1), megabytes))
        time.sleep(pause)
    for thread in threads:
        thread.join()
    return load


def _client(place: str, load: Load, end: float, what: tuple[str, int, int]) -> None:
    collection, seed, number = what
    dice = random.Random(f"{seed}/{number}")
    key = os.environ.get("RAGSTACK_API_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    turns = number  # so that half of the clients begin with each
    with httpx.Client(base_url=place, headers=headers, timeout=120, trust_env=False) as client:
        while time.monotonic() < end:
            turns += 1
            kind = "search" if turns % 2 else "ask"
            body = {"question": f"Who pays for the {_text(dice, 4)}?", "collection": collection}
            began = time.monotonic()
            try:
                with client.stream("POST", f"/api/{kind}", json=body) as answer:
                    _read(kind, answer, load, began)
            except httpx.HTTPError as error:
                load.failed(type(error).__name__)
                time.sleep(0.1)


def _read(kind: str, answer: httpx.Response, load: Load, began: float) -> None:
    first, events, done = 0.0, 0, kind == "search"
    for line in answer.iter_lines():
        first = first or time.monotonic() - began
        events += line.startswith("event:")
        done = done or line in ("event: done", "event:done")
    cut = answer.status_code == 200 and not done
    load.add(kind, answer.status_code, first, events=events, cut=cut)


def _megabytes(pid: int) -> float:
    """Return what a process and its children have in memory; 0 where that is not told."""
    total = 0
    for each in (pid, *children(pid)):
        try:
            pages = int(Path(f"/proc/{each}/statm").read_text("ascii").split()[1])
        except (OSError, ValueError, IndexError):
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return round(total / 1e6, 1)


def children(pid: int) -> list[int]:
    """Return the processes that a process started; none where that is not told."""
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []


def _text(dice: random.Random, words: int = 60) -> str:
    return " ".join(dice.choice(_WORDS) for _ in range(words))


def _percentile(values: Sequence[float], of: float) -> float:
    return round(float(np.percentile(values, of)), 4) if values else float("nan")


def _summary(load: Load) -> dict[str, Any]:
    waits = {
        kind: {"answers": len(times), **{f"p{of}": _percentile(times, of) for of in (50, 95, 99)}}
        for kind, times in load.first_s.items()
        if times
    }
    return {
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "failures": dict(load.failures),
        "first_byte_s": waits,
        "events": load.events,
        "streams_cut": load.cut,
        "memory_mb": [list(sample) for sample in load.memory],
    }


def _print(found: Mapping[str, Any]) -> None:
    console = results_console()
    columns = ("first byte, s", "answers", "p50", "p95", "p99")
    rows = [
        (kind, str(n["answers"]), *(f"{n[of]:.3f}" for of in ("p50", "p95", "p99")))
        for kind, n in found["first_byte_s"].items()
    ]
    console.print(table(f"{found['clients']} clients, {found['minutes']:g} minutes", columns, rows))
    memory = [megabytes for _, megabytes in found["memory_mb"]]
    if memory:
        console.print(f"memory: {memory[len(memory) // 4]:.0f} MB warm, {memory[-1]:.0f} MB last")
    console.print(f"statuses: {found['statuses']}, {found['events']} events")
    for target, reached in found["verdicts"].items():
        console.print(f"{'[green]reached[/green]' if reached else '[red]missed[/red] '} {target}")
