"""Small models, a hub on loopback, and wheels in a folder for the real pip."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import huggingface_hub.constants
import pytest

from ragstack.models.table import ModelFile, ModelPart, Source

MakeModel = Callable[..., ModelFile]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def make_model() -> MakeModel:
    """Return a function that describes a model of the given files, bytes by file name."""

    def make(
        files: dict[str, bytes],
        sources: Sequence[Source],
        *,
        name: str = "mini",
        members: dict[str, str] | None = None,
    ) -> ModelFile:
        parts = tuple(
            ModelPart(
                filename,
                len(data),
                hashlib.sha256(data).hexdigest(),
                hub_path=f"sub/{filename}",
                member=(members or {}).get(filename, f"*/{filename}"),
            )
            for filename, data in files.items()
        )
        return ModelFile(name, "generate", "MIT", parts, tuple(sources))

    return make


@dataclass
class Hub:
    """A hub: files by path, every request it got, and a way to break off in the middle."""

    url: str = ""
    cdn: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    break_after: int | None = None
    status: int = 0


class _Handler(http.server.BaseHTTPRequestHandler):
    state: ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.state.requests.append((self.command, self.path, self.headers.get("Range", "")))
        path = unquote(self.path).partition("?")[0]
        name = path.rpartition("/resolve/")[2].partition("/")[2]
        if self.state.status:
            self._head(self.state.status, {"Content-Length": "0"})
        elif path.startswith("/api/models/"):
            found = [
                {"rfilename": key, "size": len(data)} for key, data in self.state.files.items()
            ]
            self._json({"id": "some/repo", "sha": COMMIT, "siblings": found}, body=body)
        elif path.startswith("/cdn/"):
            self._file(self.state.files[path.removeprefix("/cdn/")], body=body)
        elif name not in self.state.files:
            self._head(404, {"X-Error-Code": "EntryNotFound", "Content-Length": "0"})
        else:
            data = self.state.files[name]
            headers = {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
                "X-Linked-Size": str(len(data)),
                "ETag": '"of-the-pointer"',
                "Location": f"{self.state.cdn}/cdn/{name}",
                "Content-Length": "0",
            }
            self._head(302, headers)

    def _json(self, value: object, *, body: bool) -> None:
        data = json.dumps(value).encode()
        self._head(200, {"Content-Length": str(len(data)), "Content-Type": "application/json"})
        if body:
            self.wfile.write(data)

    def _file(self, data: bytes, *, body: bool) -> None:
        start = 0
        if asked := self.headers.get("Range", "").removeprefix("bytes="):
            start = int(asked.partition("-")[0])
        headers = {
            "Content-Length": str(len(data) - start),
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}",
        }
        self._head(206 if start else 200, headers)
        if not body:
            return
        if self.state.break_after is not None:
            self.wfile.write(data[start : start + self.state.break_after])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(data[start:])

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server that speaks the hub's protocol: HEAD and GET of resolve, a redirect, ranges."""
    state = Hub()
    handler = type("Handler", (_Handler,), {"state": state})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    # another host name: where files lie is never the hub itself
    state.cdn = f"http://localhost:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Index:
    """A folder of wheels that pip is pointed at."""

    folder: Path

    def add(self, name: str, version: str, files: dict[str, bytes]) -> Path:
        """Write a wheel by hand: no build tool is needed for files alone."""
        stem = f"{name.replace('-', '_')}-{version}"
        path = self.folder / f"{stem}-py3-none-any.whl"
        info = f"{stem}.dist-info"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            for member, data in files.items():
                wheel.writestr(member, data)
            # what it requires does not exist: whoever follows requirements fails
            wheel.writestr(
                f"{info}/METADATA",
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                "Requires-Dist: there-is-no-such-package-at-all\n",
            )
            wheel.writestr(
                f"{info}/WHEEL",
                "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            wheel.writestr(f"{info}/RECORD", "")
        return path


@pytest.fixture
def package_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Index(folder)
