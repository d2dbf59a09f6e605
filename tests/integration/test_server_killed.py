"""A server killed in the middle of its work, and the next one that takes it up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.integration]

_CONFIG = '[embed]\nuse = "hashing"\n[generate]\nuse = "paced"\ntokens_per_second = 1\n'


@contextmanager
def served(base: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = "from ragstack.cli import main; main()"
    words = [sys.executable, "-c", start, "serve", "--base", str(base), "--port", str(port)]
    environ = {name: value for name, value in os.environ.items() if name != "RAGSTACK_API_KEY"}
    with (base / "server.log").open("wb") as log:
        process = subprocess.Popen([*words, "--in-process"], stdout=log, stderr=log, env=environ)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as web:
            end = time.monotonic() + 120
            while time.monotonic() < end and process.poll() is None:
                with suppress(httpx.HTTPError):
                    if web.get("/health").status_code == 200:
                        break
                time.sleep(0.1)
            yield web, process
    finally:
        process.kill()
        process.wait()


def until(look: Any, *, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_a_kill_loses_no_ingest_and_no_run(tmp_path: Path) -> None:
    (tmp_path / "ragstack.toml").write_text(_CONFIG, "utf-8")
    jobs: list[str] = []
    with served(tmp_path) as (web, process):
        text = "The roof was repaired by the ferry keeper after the winter storm. " * 40

        def send(name: str, count: int) -> str:
            files = [("files", (f"{name}{n}.md", f"{n} {text}".encode())) for n in range(count)]
            return str(web.post("/api/ingest", files=files).raise_for_status().json()["job"])

        first = send("zero", 1)
        web.get(f"/api/ingest/{first}/events")
        asking = threading.Thread(
            target=lambda: suppress_all(
                lambda: web.post(
                    "/api/ask", json={"question": "Who repaired the roof?", "keep": True}
                )
            )
        )
        asking.start()
        until(lambda: web.get("/api/runs").json()["runs"])
        jobs += [send("a", 400), send("b", 3), send("c", 3)]
        until(lambda: web.get(f"/api/ingest/{jobs[0]}").json()["done"] > 3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        asking.join(30)
    with served(tmp_path) as (web, _):
        (run,) = web.get("/api/runs").json()["runs"]
        assert run["state"] == "failed"
        assert "the server was stopped" in web.get(f"/api/runs/{run['id']}/events").text
        for job in jobs:
            web.get(f"/api/ingest/{job}/events")
            found = web.get(f"/api/ingest/{job}").json()
            assert found["state"] == "done", found["error"]
        report = web.get(f"/api/ingest/{jobs[0]}").json()["report"]
        assert len(report["added"]) + len(report["unchanged"]) == 400 and report["unchanged"]
        stats = web.get("/api/stats").json()
        assert stats["documents"] == 407
        assert {one["behind"] for one in stats["indexes"].values()} == {0}


def suppress_all(work: Any) -> None:
    """Do what a kill may cut off."""
    with suppress(httpx.HTTPError):
        work()
