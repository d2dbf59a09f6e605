from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp

from ragstack.errors import ConfigError, InputError, RemoteError
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Source
from ragstack_connectors.webdav import WebdavConnector

SECRET = "open-sesame-for-tests"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "shared"
    for name in ("b.txt", "docs/été & co #1.md", "docs/deep/a%20b.txt"):
        path = place / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, "utf-8")
        os.utime(path, (1_700_000_000, 1_700_000_000))
    (place / "private.txt").write_text("not below the folder")
    return place


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """WsgiDAV behind cheroot, with a password."""
    monkeypatch.setenv("DAV_WORD", SECRET)
    users = {"*": {"ann": {"password": SECRET}}}
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(folder)},
            "simple_dc": {"user_mapping": users},
            "http_authenticator": {"accept_basic": True, "accept_digest": False},
            "verbose": 0,
            "logging": {"enable": False},
            "property_manager": False,
            "lock_storage": False,
        }
    )
    found = wsgi.Server(("127.0.0.1", 0), app)
    found.prepare()
    thread = threading.Thread(target=found.serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{found.bind_addr[1]}/work"
    found.stop()
    thread.join(5)


def made(url: str, **options: Any) -> WebdavConnector:
    return WebdavConnector(url, user="ann", password={"env": "DAV_WORD"}, **options)


class TestWebdav(ConnectorSuite):
    secrets = (SECRET,)

    @pytest.fixture(autouse=True)
    def _server(self, folder: Path, server: str) -> None:
        self.folder, self.url = folder, server

    def make(self) -> WebdavConnector:
        return made(self.url, max_bytes=100_000)

    def change(self) -> str:
        (self.folder / "work" / "b.txt").unlink()
        return f"{self.url}/b.txt"

    def spoil(self) -> str:
        (self.folder / "work" / "b.txt").write_text("b" * 100_001)
        return f"{self.url}/b.txt"


def sources(connector: WebdavConnector) -> list[Source]:
    return [each for each in connector.fetch() if isinstance(each, Source)]


def test_files_below_the_folder_are_told(server: str) -> None:
    found = sources(made(server))
    assert [s.uri.removeprefix(server) for s in found] == [
        "/b.txt", "/docs/%C3%A9t%C3%A9%20&%20co%20%231.md", "/docs/deep/a%2520b.txt",
    ]  # fmt: skip
    assert [s.data.decode() for s in found] == [
        "b.txt",
        "docs/été & co #1.md",
        "docs/deep/a%20b.txt",
    ]
    assert found[1].media_type == "text/markdown"
    assert found[0].modified == datetime.fromtimestamp(1_700_000_000, UTC)


def test_patterns_and_the_most_files(server: str) -> None:
    assert len(sources(made(server, exclude=["docs/deep/"]))) == 2
    assert len(sources(made(server, include=["*.md"]))) == 1
    with pytest.raises(RemoteError, match="more than 2 files"):
        sources(made(server, max_files=2))


def test_a_wrong_password_and_a_missing_folder(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RemoteError, match="answered 404"):
        sources(made(server + "/none"))
    monkeypatch.setenv("DAV_WORD", "another-word")
    with pytest.raises(RemoteError, match="answered 401") as raised:
        sources(made(server))
    assert "another-word" not in str(raised.value)
    with pytest.raises(ConfigError, match="go together"):
        WebdavConnector(server, user="ann")
    with pytest.raises(InputError, match="password in it"):
        WebdavConnector("https://ann:word@example.org/dav")


def entry(href: str, kind: str = "") -> str:
    return (
        f"<response><href>{href}</href><propstat><prop><resourcetype>{kind}</resourcetype></prop>"
        "<status>HTTP/1.1 200 OK</status></propstat></response>"
    )


def test_a_listing_leads_nowhere_else(site: Any, other_site: Any) -> None:
    other = other_site.put("/dav/secret.txt", "theirs")
    names = ("/dav/a.txt", "/private.txt", "/dav/../private.txt", "/dav/%2e%2e/private.txt", other)
    listing = "".join(map(entry, names)) + entry("/dav/", "<collection/>")
    site.put("/dav/", f'<multistatus xmlns="DAV:">{listing}</multistatus>', 207)
    site.put("/dav/a.txt", "ours")
    site.server.RequestHandlerClass.do_PROPFIND = site.server.RequestHandlerClass.do_GET
    connector = WebdavConnector(site.url + "/dav")
    found = sources(connector)
    assert connector.failures == []
    assert [s.uri for s in found] == [site.url + "/dav/a.txt"]
    assert other_site.asked == [] and "/private.txt" not in site.paths()


@pytest.mark.parametrize(
    "body",
    [
        "no xml",
        '<!DOCTYPE x [<!ENTITY c "d">]><multistatus xmlns="DAV:">&c;</multistatus>',
    ],
)
def test_a_listing_that_cannot_be_read(site: Any, body: str) -> None:
    site.put("/dav/", body, 207)
    site.server.RequestHandlerClass.do_PROPFIND = site.server.RequestHandlerClass.do_GET
    with pytest.raises(RemoteError, match="cannot be read"):
        sources(WebdavConnector(site.url + "/dav"))
