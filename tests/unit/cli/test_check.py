"""``ragstack check``: each problem is told, with what to do about it, and nothing is changed."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ragstack import Stack
from ragstack.catalog.lock import WriteLock
from ragstack.cli import machine_check
from ragstack.cli.app import app
from ragstack.cli.machine_check import Finding
from ragstack.config import Config, Plugin

CONFIG = '[embed]\nuse = "hashing"\n[generate]\nuse = "scripted"\nreplies = ["yes"]\n'
Found = Callable[..., Any]


@pytest.fixture
def base(tmp_path: Path, corpus_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine_check, "PORTS", {})
    folder = tmp_path / "kb"
    folder.mkdir()
    (folder / "ragstack.toml").write_text(CONFIG, "utf-8")
    with Stack.open(folder) as stack:
        stack.ingest(corpus_folder / "lease.md")
    return folder


def checked(folder: Path, code: int) -> Any:
    done = CliRunner().invoke(app, ["check", "--base", str(folder), "--json"])
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout)


def only(findings: Iterator[Finding], name: str) -> Finding:
    (found,) = (each for each in findings if each.name == name)
    return found


def test_all_is_well(base: Path) -> None:
    found = checked(base, 0)
    assert found["faults"] == found["notes"] == {}
    assert "3.1" in found["python"]
    assert "GB free" in found["disk"]
    assert found["writer"].startswith("nobody")
    assert found["indexes"].startswith("lexical: bm25 (")
    shown = CliRunner().invoke(app, ["check", "--base", str(base)]).stdout
    assert "faults: 0, notes: 0" in shown
    assert "mend:" not in shown


def test_nothing_is_made(tmp_path: Path, base: Path) -> None:
    (tmp_path / "ragstack.toml").write_text(CONFIG, "utf-8")
    found = checked(tmp_path / "none", 0)
    assert not (tmp_path / "none").exists()
    assert "ragstack ingest PATH" in found["notes"]["catalog"]


def test_a_configuration_that_cannot_be_read_hides_nothing_else(base: Path) -> None:
    (base / "ragstack.toml").write_text("[embed\n", "utf-8")
    found = checked(base, 1)
    assert "is not TOML" in found["faults"]["config"]
    assert "GB free" in found["memory"]


def test_another_embedder(base: Path) -> None:
    (base / "ragstack.toml").write_text(CONFIG.replace('"hashing"', '"hashing"\ndimensions = 64'))
    found = checked(base, 1)
    assert "was built with the embedder 'hashing:1:256'" in found["faults"]["indexes"]
    assert "hint: `ragstack reindex`" in found["faults"]["indexes"]


def test_a_writer_at_work(base: Path) -> None:
    with WriteLock(base):
        found = checked(base, 0)
    assert f"({os.getpid()})" in found["notes"]["writer"]
    assert "wait until it is done" in found["notes"]["writer"]


def test_an_index_that_is_behind(base: Path) -> None:
    folder = next(base.rglob("vector"))
    for file in sorted(folder.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    found = checked(base, 0)
    assert "vector is " in found["notes"]["indexes"]
    assert "verify --repair" in found["notes"]["indexes"]


def test_a_model_that_is_not_here(base: Path) -> None:
    config = CONFIG.replace(
        '"scripted"\nreplies = ["yes"]', '"local"\nmodel = "smollm2-135m-instruct"'
    )
    (base / "ragstack.toml").write_text(config, "utf-8")
    found = checked(base, 1)
    assert "ragstack models pull smollm2-135m-instruct" in found["faults"]["generator"]


def test_an_index_whose_package_is_missing(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "ragstack.toml").write_text(CONFIG + '[index.vector]\nuse = "chrome"\n', "utf-8")
    assert "did you mean 'chroma'" in checked(base, 1)["faults"]["indexes"]


def test_a_service_that_does_not_answer() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        config = Config(
            generate=Plugin("remote", {"url": [url], "model": "m"}),
            index={"vector": Plugin("chroma", {"url": url})},
        )
        closed = list(machine_check.of_services(config))
        assert [each.name for each in closed] == ["generator", "index vector"]
        assert all(url in each.text and each.state == "fault" and each.mend for each in closed)
        listening.listen()
        assert list(machine_check.of_services(config)) == []


def test_a_port_that_is_taken() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        (found,) = machine_check.ports({port: "serve"})
    assert found.state == "note"
    assert f"port {port}, where `ragstack serve` listens, is taken" in found.text
    assert int(found.mend.rpartition(" ")[2]) > port
    assert only(machine_check.ports({port: "serve"}), "port").state == "ok"


def test_our_own_server_is_no_stranger() -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "ok"}')

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        (found,) = machine_check.ports({server.server_port: "serve"})
        server.shutdown()
        thread.join()
    assert found.state == "ok"


@pytest.mark.parametrize(("free", "state"), [(10e9, "ok"), (1e9, "note"), (1e8, "fault")])
def test_a_disk_that_is_full(
    free: float, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_check.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    found = only(machine_check.of_folders(tmp_path), "disk")
    assert found.state == state
    assert ("make room" in found.mend) == (state != "ok")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    found = only(machine_check.of_folders(tmp_path / "kb"), "disk")
    tmp_path.chmod(0o700)
    assert found.state == "fault" and "chown" in found.mend


def test_a_clock_that_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catalog.sqlite").touch()
    ahead = time.time() + 86_400
    os.utime(tmp_path / "catalog.sqlite", (ahead, ahead))
    found = only(machine_check.of_folders(tmp_path), "clock")
    assert found.state == "fault" and "the base was written at" in found.text
    monkeypatch.setattr(machine_check.time, "time", lambda: 0.0)
    assert "1970-01-01" in only(machine_check.of_folders(tmp_path / "none"), "clock").text


@pytest.mark.parametrize(
    ("free", "state"), [(8_000_000_000, "ok"), (900_000_000, "note"), (None, "ok")]
)
def test_little_memory(free: int | None, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_check, "available", lambda: free)
    monkeypatch.setattr(machine_check, "PORTS", {})
    assert only(machine_check.of_machine(), "memory").state == state


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_another_python(version: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_check.sys, "version_info", (*version, 0))
    monkeypatch.setattr(machine_check, "PORTS", {})
    found = only(machine_check.of_machine(), "python")
    assert found.state == "fault" and "python3.11 -m venv" in found.mend


def test_extras_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ['numpy>=1; extra == "local"', 'no-such-thing>=1; extra == "ocr"', "httpx>=0.28"]
    monkeypatch.setattr(machine_check.importlib.metadata, "requires", lambda _: lines)
    monkeypatch.setattr(machine_check, "PORTS", {})
    found = only(machine_check.of_machine(), "extras")
    assert found.text == "local; not installed: ocr"
    assert found.mend == 'pip install "ragstack[ocr]"'
