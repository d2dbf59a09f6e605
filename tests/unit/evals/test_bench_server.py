"""The load test: its double, its verdicts, and a short run against a server that really runs."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from ragstack.cli.app import app
from ragstack.errors import ConfigError
from ragstack.types import Message, Sampling
from ragstack_evals.bench_server import Load, flat, verdicts
from ragstack_evals.paced import PacedGenerator


def test_the_double_keeps_its_pace_and_nothing_else() -> None:
    generator = PacedGenerator(tokens_per_second=200, reply="one two three")
    began = time.monotonic()
    deltas = list(generator.stream([Message("user", "Who?")], sampling=Sampling()))
    assert "".join(delta.text for delta in deltas) == "one two three"
    assert time.monotonic() - began >= 3 / 200
    assert generator.asked == []
    assert not generator.capabilities.logprobs
    with pytest.raises(ConfigError, match="above 0"):
        PacedGenerator(tokens_per_second=0)


@pytest.mark.parametrize(
    ("memory", "found"),
    [
        ([100.0] * 40, True),
        ([100.0 + 5 * n for n in range(40)], False),
        ([100.0] * 3 + [400.0] * 37, True),  # pools and caches fill first
        ([400.0, 500.0], True),  # too little to say anything
        ([200.0] * 30 + [245.0] * 10, True),
        ([200.0] * 30 + [260.0] * 10, False),
    ],
)
def test_memory_that_grows(memory: list[float], found: bool) -> None:
    assert flat(memory) is found


def test_each_target_can_be_missed() -> None:
    load = Load()
    load.add("search", 200, 0.1)
    load.add("ask", 200, 3.0, events=9)
    assert all(verdicts(load).values())
    load.add("search", 500, 0.1)
    load.add("ask", 200, 0.1, cut=True)
    load.failed("ReadTimeout")
    for _ in range(20):
        load.add("search", 200, 1.5)
    load.memory = [(float(n), 100.0 + 9 * n) for n in range(40)]
    assert not any(verdicts(load).values())


class _Double(BaseHTTPRequestHandler):
    """Answers searches, ends every second stream without its event, fails where it is told to."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        broken = "broken" in body["collection"]
        text = 'event: run\ndata: {"run": "r"}\n\n'
        text += "" if broken else "event: done\ndata: {}\n\n"
        data = (text if self.path.endswith("ask") else '{"passages": []}').encode()
        self.send_response(500 if broken and self.path.endswith("search") else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize(("collection", "code"), [("default", 0), ("broken", 1)])
def test_a_run_against_a_server(collection: str, code: int) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Double) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        words = ["eval", "bench-server", "--minutes", "0.01", "--clients", "3", "--json"]
        words += ["--url", f"http://127.0.0.1:{server.server_port}", "--collection", collection]
        done = CliRunner().invoke(app, words)
        server.shutdown()
        thread.join()
    assert done.exit_code == code, done.output
    found = json.loads(done.stdout)
    assert found["clients"] == 3
    assert found["verdicts"]["no 5xx"] == found["verdicts"]["every stream ended"] == (code == 0)
    assert ("500" in found["statuses"]) == (code == 1)


def test_an_address_that_is_none() -> None:
    done = CliRunner().invoke(app, ["eval", "bench-server", "--url", "localhost"])
    assert done.exit_code == 2
    assert "http://127.0.0.1:8000" in done.output


@pytest.mark.slow
@pytest.mark.integration
def test_the_server_that_is_started_bears_a_little() -> None:
    words = ["eval", "bench-server", "--minutes", "0.1", "--clients", "10", "--json"]
    done = CliRunner().invoke(app, words)
    found = json.loads(done.stdout)
    assert set(found["statuses"]) == {"200"}, found["failures"]
    assert found["verdicts"]["every stream ended"]
    assert found["events"] > 10 * found["first_byte_s"]["ask"]["answers"]
    assert found["memory_mb"]
