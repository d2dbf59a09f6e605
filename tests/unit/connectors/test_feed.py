from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ragstack.errors import InputError, MissingExtra
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Source
from ragstack_connectors import page
from ragstack_connectors.feed import FeedConnector

RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>Harbour news</title>
<item><title>Ferry &amp; tide</title><link>{url}/ferry#top</link><author>Ann</author>
<pubDate>Mon, 01 Jan 2024 10:00:00 +0200</pubDate><category>boats</category>
<description>&lt;p&gt;The ferry goes at nine.&lt;/p&gt;&lt;script&gt;x()&lt;/script&gt;
</description></item>
<item><title>Undated</title><guid isPermaLink="false">tag:a</guid>
<description>Text</description></item>
</channel></rss>"""
ATOM = """<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom">
<title>Été</title><entry><title>Un</title><id>urn:1</id><link href="{url}/un"/>
<updated>2024-02-01T00:00:00Z</updated><content type="html">&lt;b&gt;Corps&lt;/b&gt;</content>
</entry></feed>"""


@pytest.fixture
def feeds(site: Any) -> list[str]:
    rss = site.put("/rss", RSS.replace("{url}", site.url), Content_Type="application/rss+xml")
    return [rss, site.put("/atom", ATOM.replace("{url}", site.url))]


def made(feeds: list[str], **options: Any) -> FeedConnector:
    return FeedConnector(feeds, delay_s=0.0, allow_private=True, **options)


class TestFeed(ConnectorSuite):
    secrets = ("open-sesame",)

    @pytest.fixture(autouse=True)
    def _feeds(self, feeds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FEED_WORD", "open-sesame")
        self.feeds = feeds

    def make(self) -> FeedConnector:
        return made(self.feeds, token={"env": "FEED_WORD"})


def sources(connector: FeedConnector, **how: Any) -> list[Source]:
    return [each for each in connector.fetch(**how) if isinstance(each, Source)]


def test_entries_are_told(feeds: list[str], site: Any) -> None:
    first, second, third = sources(made(feeds))
    assert first.uri == site.url + "/ferry"
    assert first.meta == {
        "title": "Ferry & tide", "author": "Ann", "date": "2024-01-01T08:00:00+00:00",
        "feed": "Harbour news", "tags": "boats",
    }  # fmt: skip
    assert first.modified == datetime(2024, 1, 1, 8, tzinfo=UTC)
    assert b"The ferry goes at nine." in first.data and b"script" not in first.data
    assert second.uri == "tag:a" and second.modified is None
    assert third.meta["title"] == "Un" and "<b>Corps</b>" in third.data.decode()


def test_a_feed_that_did_not_change_is_not_sent_again(feeds: list[str], site: Any) -> None:
    connector = made(feeds[:1])
    assert len(sources(connector)) == 2
    assert sources(connector, since=datetime(2000, 1, 1, tzinfo=UTC)) == []
    assert "if-none-match" in site.asked[-1][1]
    assert connector.present is None


def test_one_bad_feed_ends_nothing(feeds: list[str], site: Any) -> None:
    connector = made([site.url + "/none", site.put("/page", "<p>no feed</p>"), feeds[1]])
    assert len(sources(connector)) == 1
    assert [f.source for f in connector.failures] == [site.url + "/none", site.url + "/page"]
    assert "answered 404" in connector.failures[0].reason
    assert "no feed of RSS" in connector.failures[1].reason


def test_a_feed_of_this_machine_is_refused(feeds: list[str]) -> None:
    connector = FeedConnector(feeds[:1])
    assert sources(connector) == []
    assert "private" in connector.failures[0].reason


def test_urls_are_a_list() -> None:
    with pytest.raises(InputError, match="list of feeds"):
        FeedConnector("https://example.org/feed")


@pytest.mark.skipif(page.trafilatura is None, reason="trafilatura cannot be imported here")
def test_pages_of_entries(feeds: list[str], site: Any) -> None:
    site.put("/un", f"<title>x</title><article><p>{'A long text of the page. ' * 20}</p></article>")
    (found,) = sources(made(feeds[1:], pages=True))
    assert b"A long text of the page." in found.data and found.meta["title"] == "Un"


def test_pages_need_trafilatura(feeds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "trafilatura", None)
    with pytest.raises(MissingExtra, match="connectors"):
        made(feeds, pages=True)
