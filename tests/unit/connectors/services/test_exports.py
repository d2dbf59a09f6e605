"""Exports and dumps: Slack's zip and Wikipedia's XML, written in the form that both document."""

from __future__ import annotations

import bz2
import gzip
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from ragstack.errors import InputError, NotFound
from ragstack.protocols import Connector
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Source
from ragstack_connectors.slack import SlackConnector
from ragstack_connectors.wikipedia import WikipediaConnector
from ragstack_connectors.wikitext import markdown

_DAY = [
    {"type": "message", "user": "U1", "ts": "1714550460.0001", "text": "Who pays, <@U2>?"},
    {
        "type": "message",
        "user": "U2",
        "ts": "1714550520.0002",
        "thread_ts": "1714550460.0001",
        "text": "See <https://example.org/a|the lease> &amp; <#C9|roof>",
    },
    {"type": "message", "subtype": "channel_join", "user": "U3", "ts": "1714550400.0", "text": "x"},
    {
        "type": "message",
        "bot_id": "B1",
        "username": "clock",
        "ts": "1714550580.0003",
        "text": "<!here> done",
        "files": [{"title": "plan.pdf"}],
    },
]


class TestSlack(ConnectorSuite):
    @pytest.fixture(autouse=True)
    def _export(self, tmp_path: Path) -> None:
        self.path = tmp_path / "export.zip"
        self.files: dict[str, Any] = {
            "channels.json": [{"id": "C1", "name": "general"}, {"id": "C2", "name": "roof"}],
            "groups.json": [{"id": "G1", "name": "secret"}],
            "users.json": [
                {"id": "U1", "name": "ann", "profile": {"display_name": "Ann"}},
                {"id": "U2", "name": "bob", "profile": {"real_name": "Bob B."}},
            ],
            "general/2024-05-01.json": _DAY,
            "general/2024-05-02.json": _DAY[:1],
            "roof/2024-05-01.json": _DAY[:1],
            "secret/2024-05-01.json": _DAY[:1],
            "general/canvas.json": [],
        }
        self._write()

    def _write(self) -> None:
        with zipfile.ZipFile(self.path, "w") as export:
            for name, held in self.files.items():
                export.writestr(name, held if isinstance(held, str) else json.dumps(held))

    def make(self, **more: Any) -> Connector:
        return SlackConnector(self.path, workspace="acme", **more)

    def change(self) -> str:
        del self.files["roof/2024-05-01.json"]
        self._write()
        return "slack://acme/roof/2024-05-01"

    def spoil(self) -> str:
        self.files["roof/2024-05-01.json"] = "[{"
        self._write()
        return "slack://acme/roof/2024-05-01"

    def test_a_day_is_what_was_said(self) -> None:
        (first, *rest) = [s for s in self.make().fetch() if isinstance(s, Source)]
        assert first.uri == "slack://acme/general/2024-05-01"
        assert first.data.decode() == (
            "# #general, 2024-05-01\n\n"
            "**Ann** 08:01: Who pays, @Bob B.?\n\n"
            "> **Bob B.** 08:02: See [the lease](https://example.org/a) & #roof\n\n"
            "**clock** 08:03: @here done [files: plan.pdf]\n"
        )
        assert len(rest) == 2

    def test_private_channels_are_asked_for(self) -> None:
        found = [s.uri for s in self.make(private=True, channels=["#secret"]).fetch()]
        assert found == ["slack://acme/secret/2024-05-01"]
        assert list(self.make(channels=["secret"]).fetch()) == []
        with pytest.raises(InputError, match="'gone'"):
            list(self.make(channels=["gone"]).fetch())

    def test_a_file_too_large_is_a_failure(self) -> None:
        connector: Any = self.make(max_bytes=320)
        assert len(list(connector.fetch())) == 2
        assert "more than 320 bytes" in connector.failures[0].reason


def test_an_export_that_is_broken_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as export:
        export.writestr("channels.json", json.dumps([{"name": "general"}]))
        export.writestr("general/2024-05-01.json", json.dumps(_DAY * 50))
    data = bytearray(path.read_bytes())
    place = data.index(b"general/2024") + 60
    data[place : place + 20] = b"\xff" * 20
    path.write_bytes(data)
    connector = SlackConnector(path)
    assert list(connector.fetch()) == []
    assert "cannot be unpacked" in connector.failures[0].reason


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        SlackConnector(tmp_path / "gone.zip")
    (tmp_path / "x.zip").write_text("no")
    with pytest.raises(InputError, match="is no zip"):
        SlackConnector(tmp_path / "x.zip")
    with pytest.raises(NotFound):
        WikipediaConnector(tmp_path / "gone.xml.bz2")


def _page(title: str, text: str, *, space: int = 0, more: str = "") -> str:
    return (
        f"<page><title>{escape(title)}</title><ns>{space}</ns><id>1</id>{more}<revision>"
        f"<id>9</id><timestamp>2024-05-01T10:00:00Z</timestamp><contributor><id>5</id>"
        f"</contributor><text xml:space='preserve'>{escape(text)}</text></revision></page>\n"
    )


def _dump(pages: list[str], end: str = "</mediawiki>") -> bytes:
    head = (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="fr"><siteinfo>'
        "<sitename>W</sitename><base>https://fr.example.org/wiki/Accueil</base></siteinfo>\n"
    )
    return (head + "".join(pages) + end).encode()


_PAGES = [
    _page("Moulin à vent", "Un '''moulin''' tourne."),
    _page("AC/DC", "Hard rock."),
    _page("Vieux", "#REDIRECTION [[Moulin à vent]]", more='<redirect title="Moulin à vent" />'),
    _page("Discussion:Moulin", "Bla.", space=1),
]


class TestWikipedia(ConnectorSuite):
    @pytest.fixture(autouse=True)
    def _dump(self, tmp_path: Path) -> None:
        self.path = tmp_path / "dump.xml.bz2"
        # As the dumps with an index are: several streams, one behind the other.
        whole = _dump(_PAGES)
        self.path.write_bytes(bz2.compress(whole[:300]) + bz2.compress(whole[300:]))

    def make(self) -> Connector:
        return WikipediaConnector(self.path)

    def test_what_the_dump_holds_is_told_to_who_counts(self) -> None:
        connector: Any = self.make()
        connector.known = frozenset()
        found = [source.uri for source in connector.fetch()]
        assert connector.present == frozenset(found)

    def test_articles_are_markdown(self) -> None:
        found = [s for s in self.make().fetch() if isinstance(s, Source)]
        assert [s.uri for s in found] == [
            "https://fr.example.org/wiki/Moulin_%C3%A0_vent",
            "https://fr.example.org/wiki/AC/DC",
        ]
        assert found[0].data.decode() == "# Moulin à vent\n\nUn moulin tourne.\n"
        assert found[0].meta == {"title": "Moulin à vent", "revision": "9", "language": "fr"}
        assert found[0].modified == datetime(2024, 5, 1, 10, tzinfo=UTC)


def test_namespaces_limit_and_packing_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml.gz"
    path.write_bytes(gzip.compress(_dump(_PAGES)))
    assert len(list(WikipediaConnector(path, namespaces=[0, 1]).fetch())) == 3
    assert len(list(WikipediaConnector(path, limit=1).fetch())) == 1
    small = WikipediaConnector(path, max_bytes=12)
    assert [s.uri[-5:] for s in small.fetch()] == ["AC/DC"]
    assert "more than 12 bytes" in small.failures[0].reason


@pytest.mark.parametrize("end", ["<page><title>Half", "</wrong>"])
def test_a_dump_that_breaks_off_gives_what_it_had(tmp_path: Path, end: str) -> None:
    path = tmp_path / "dump.xml"
    path.write_bytes(_dump(_PAGES[:2], end))
    connector = WikipediaConnector(path)
    assert len(list(connector.fetch())) == 2
    assert "broke off" in connector.failures[0].reason
    connector.known = frozenset()
    list(connector.fetch())
    assert connector.present is None  # what stands behind the break has not gone
    packed = tmp_path / "dump.xml.bz2"
    packed.write_bytes(bz2.compress(_dump(_PAGES))[:-20])
    broken = WikipediaConnector(packed)
    list(broken.fetch())
    assert broken.failures


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><mediawiki><page><title>&a;</title></page></mediawiki>'
    path.write_text(bomb)
    connector = WikipediaConnector(path)
    assert list(connector.fetch()) == []
    assert connector.failures


def test_a_dump_is_never_whole_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml.bz2"
    text = "mot " * 5_000
    with bz2.open(path, "wb") as file:
        file.write(_dump([], ""))
        for number in range(400):
            file.write(_page(f"Article {number}", text).encode())
        file.write(b"</mediawiki>")

    def peak(sources: Iterator[Source]) -> int:
        tracemalloc.start()
        assert sum(1 for _ in sources) == 400
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # 8 MB of text, of which one article of 20 kB is held at a time.
    assert peak(WikipediaConnector(path).fetch()) < 2_000_000


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("'''Bold''' and ''slanted''", "Bold and slanted"),
        ("[[Mill|a mill]] by [[Water]]", "a mill by Water"),
        ("[[File:a.jpg|thumb|A [[mill]]]]Text", "Text"),
        ("Text[[Category:Mills]]", "Text"),
        ("a{{tpl|b={{inner}}}}c", "ac"),
        ("{| class=x\n| cell\n|}\nafter", "after"),
        ("a<ref name=x>note</ref>b<ref name=x />c", "abc"),
        ("== Head ==\ntext", "## Head\ntext"),
        ("* one\n** two\n# three", "- one\n  - two\n1. three"),
        ("[https://x.org a page] and [https://x.org]", "a page and"),
        ("a<!-- hidden -->b __NOTOC__", "ab"),
        ("<nowiki>[[raw]]</nowiki>", "raw"),
        ("open {{ never closed", "open {{ never closed"),
        ("closed }} never opened", "closed }} never opened"),
        ("a&nbsp;b &lt;c&gt;", "a b <c>"),
        ("", ""),
    ],
)
def test_wikitext_is_prose(wikitext: str, expected: str) -> None:
    assert markdown(wikitext) == expected


@pytest.mark.parametrize("piece", ["{{", "[[", "'''", "<ref>", "{|", "==", "[[File:", "<!--"])
def test_hostile_wikitext_takes_no_time(piece: str) -> None:
    markdown(piece * 20_000)
