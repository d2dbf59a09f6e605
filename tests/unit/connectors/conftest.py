"""Counterparts on loopback: a web site, a WebDAV server, S3, a mail server."""

from __future__ import annotations

import hashlib
import http.server
import re
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Page:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Site:
    """A web site whose pages a test changes at will; it answers to ETag and Last-Modified."""

    def __init__(self) -> None:
        self.pages: dict[str, Page | Callable[[Any], Page]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.rfile.read(int(headers.get("content-length", 0)))
                site.asked.append((self.path, headers))
                found = site.pages.get(self.path) or Page(b"not here", 404)
                page = found if isinstance(found, Page) else found(self)
                tag = f'"{hashlib.sha256(page.body).hexdigest()[:12]}"'
                status, body = page.status, page.body
                if status == 200 and headers.get("if-none-match") == tag:
                    status, body = 304, b""
                self.send_response(status)
                for name, value in {"Content-Type": "text/html", **page.headers}.items():
                    self.send_header(name, value)
                self.send_header("ETag", tag)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_words: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def put(self, path: str, body: str | bytes = "", status: int = 200, **headers: str) -> str:
        data = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = Page(data, status, named)
        return self.url + path

    def paths(self) -> list[str]:
        return [path for path, _headers in self.asked]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.close()


@pytest.fixture
def other_site() -> Iterator[Site]:
    found = Site()
    yield found
    found.close()


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs git in a new repository: ``git("commit", …, at="2024-01-01T00:00:00Z")``."""
    if shutil.which("git") is None:
        pytest.skip("the command git is not here")
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path / "cache"))

    def run(*words: str, at: str = "2024-01-01T00:00:00Z", author: str = "Ann") -> str:
        environment = {
            "PATH": shutil.which("git").rpartition("/")[0],  # type: ignore[union-attr]
            "HOME": str(tmp_path),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": author,
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": author,
            "GIT_COMMITTER_EMAIL": "a@example.org",
            "GIT_AUTHOR_DATE": at,
            "GIT_COMMITTER_DATE": at,
        }
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        return done.stdout

    run("init", "-q", "-b", "main")
    return run


@dataclass
class Box:
    validity: int = 1
    next: int = 1
    mails: dict[int, tuple[str, bytes, str]] = field(default_factory=dict)


class MailServer:
    """As much of IMAP4rev1 as a client needs that reads; written from RFC 3501."""

    def __init__(self) -> None:  # noqa: C901 (a server in a closure)
        self.boxes: dict[str, Box] = {}
        self.commands: list[str] = []
        self.password = "open-sesame"
        mail = self

        class Handler(socketserver.StreamRequestHandler):
            box: Box | None = None

            def handle(self) -> None:
                self.say("* OK ready")
                while line := self.rfile.readline():
                    if not self.answer(line.decode().rstrip("\r\n")):
                        return

            def say(self, text: str) -> None:
                self.wfile.write(text.encode() + b"\r\n")

            def answer(self, line: str) -> bool:
                mail.commands.append(line)
                tag, _, rest = line.partition(" ")
                word, _, said = rest.partition(" ")
                known = {
                    "CAPABILITY": self.capability, "LOGIN": self.login, "EXAMINE": self.examine,
                    "UID": self.uid, "LIST": self.listing, "LOGOUT": self.logout,
                }  # fmt: skip
                ask = known.get(word.upper())
                self.say(f"{tag} {ask(said) if ask else 'BAD what is that'}")
                return word.upper() != "LOGOUT"

            def capability(self, _said: str) -> str:
                self.say("* CAPABILITY IMAP4rev1 AUTH=PLAIN")
                return "OK done"

            def login(self, said: str) -> str:
                if said.rpartition(" ")[2].strip('"') == mail.password:
                    return "OK done"
                return f"NO [AUTHENTICATIONFAILED] {said} is wrong"

            def examine(self, said: str) -> str:
                self.box = mail.boxes.get(said.strip('"'))
                if self.box is None:
                    return "NO no such folder"
                self.say(f"* {len(self.box.mails)} EXISTS")
                self.say(f"* OK [UIDVALIDITY {self.box.validity}] numbers last")
                return "OK [READ-ONLY] done"

            def listing(self, _said: str) -> str:
                for name in mail.boxes:
                    flags = "\\Trash" if name == "Trash" else "\\HasNoChildren"
                    self.say(f'* LIST ({flags}) "/" "{name}"')
                return "OK done"

            def logout(self, _said: str) -> str:
                self.say("* BYE")
                return "OK done"

            def uid(self, said: str) -> str:
                assert self.box is not None
                match = re.fullmatch(r"FETCH (\S+) \((.*)\)", said)
                assert match is not None, said
                for at, (uid, (date, data, flags)) in enumerate(self.box.mails.items(), 1):
                    if match[1] not in ("1:*", str(uid)):
                        continue
                    if "BODY.PEEK[]" in match[2]:
                        head = f"* {at} FETCH (UID {uid} BODY[] {{{len(data)}}}\r\n"
                        self.wfile.write(head.encode() + data + b")\r\n")
                    else:
                        self.say(
                            f'* {at} FETCH (UID {uid} INTERNALDATE "{date}" '
                            f"RFC822.SIZE {len(data)} FLAGS ({flags}))"
                        )
                return "OK done"

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def put(self, subject: str, *, folder: str = "INBOX", date: str = "", flags: str = "") -> int:
        box = self.boxes.setdefault(folder, Box())
        date = date or "01-Mar-2024 10:00:00 +0000"
        data = f"From: ann@example.org\r\nSubject: {subject}\r\n\r\nThe text of {subject}.\r\n"
        uid, box.next = box.next, box.next + 1
        box.mails[uid] = (date, data.encode(), flags)
        return uid

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    found = MailServer()
    yield found
    found.close()
