from __future__ import annotations

import gzip
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from ragstack.errors import InputError, MissingExtra, RemoteError
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Source
from ragstack_connectors import page
from ragstack_connectors.page import links_of, main_text, normal_url
from ragstack_connectors.robots import Robots, sitemap_of
from ragstack_connectors.web import WebConnector

NEEDS_TRAFILATURA = pytest.mark.skipif(
    page.trafilatura is None, reason="trafilatura cannot be imported: lxml_html_clean is not here"
)


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def pages(site: Any) -> Any:
    """A start page, two below it, one below these; and what is not to be read."""
    site.put("/", '<a href="b">b</a> <a href="/a#top">a</a> <a href="/private/x">p</a>')
    site.put("/a", '<a href="/">back</a> <a href="/deep">deep</a> <a href="/none">dead</a>')
    site.put("/b", "text", Last_Modified="Mon, 01 Jan 2024 10:00:00 GMT")
    site.put("/deep", '<a href="/deeper">deeper</a>')
    site.put("/deeper", "the end")
    site.put("/private/x", "not for robots")
    site.put("/robots.txt", "User-agent: *\nDisallow: /private/\n", Content_Type="text/plain")
    return site


def made(site: Any, *paths: str, **options: Any) -> WebConnector:
    bounds = {"delay_s": 0, **options.pop("bounds", {})}
    urls = [site.url + path for path in paths or ("/",)]
    given = {"main_text": False, "allow_private": True, "bounds": bounds, **options}
    return WebConnector(urls, **given)


def paths(site: Any, connector: WebConnector, **how: Any) -> list[str]:
    found = [each for each in connector.fetch(**how) if isinstance(each, Source)]
    return [source.uri.removeprefix(site.url) for source in found]


class TestWeb(ConnectorSuite):
    secrets = ("open-sesame",)

    @pytest.fixture(autouse=True)
    def _pages(self, pages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WEB_WORD", "open-sesame")
        self.site = pages

    def make(self) -> WebConnector:
        return made(self.site, user="ann", password={"env": "WEB_WORD"})

    def change(self) -> str:
        del self.site.pages["/b"]
        return f"{self.site.url}/b"

    def spoil(self) -> str:
        self.site.put("/b", "broken", 500)
        return f"{self.site.url}/b"


def test_links_are_followed_nearest_first(pages: Any) -> None:
    assert paths(pages, made(pages)) == ["/", "/b", "/a", "/deep", "/deeper"]
    assert paths(pages, made(pages, bounds={"depth": 1})) == ["/", "/b", "/a"]
    assert paths(pages, made(pages, bounds={"depth": 0})) == ["/"]
    assert "/private/x" not in pages.paths()
    assert "/private/x" in paths(pages, made(pages, robots=False))


def test_where_the_crawl_stops_at_its_limit_nothing_is_taken_for_gone(pages: Any) -> None:
    connector = made(pages, bounds={"max_pages": 2})
    assert paths(pages, connector) == ["/", "/b"]
    assert connector.present is None


def test_no_other_site_is_asked(pages: Any, other_site: Any) -> None:
    other = other_site.put("/theirs", "x")
    pages.put("/", f'<a href="{other}">out</a> <a href="/moved">moved</a>')
    pages.put("/moved", status=302, Location=other)
    connector = made(pages)
    assert paths(pages, connector) == ["/"]
    assert other_site.asked == [] and connector.failures == []


def test_a_site_of_this_machine_is_refused_unless_it_is_allowed(pages: Any) -> None:
    connector = made(pages, allow_private=False, robots=False)
    assert paths(pages, connector) == []
    assert "private address" in connector.failures[0].reason


def test_a_redirect_may_not_lead_where_robots_may_not_go(pages: Any) -> None:
    pages.put("/", status=302, Location="/private/x")
    assert paths(pages, made(pages)) == []
    assert "/private/x" not in pages.paths()


def test_two_addresses_of_one_page_are_one(pages: Any) -> None:
    pages.put("/", '<a href="/b">b</a> <a href="/old-b">b</a> <a href="/b?">b</a>')
    pages.put("/old-b", status=301, Location="/b")
    assert paths(pages, made(pages)) == ["/", "/b"]


def test_robots_that_cannot_be_asked_close_the_site_and_nothing_is_gone(pages: Any) -> None:
    pages.put("/robots.txt", "", 503)
    connector = made(pages)
    assert paths(pages, connector) == []
    assert connector.present is None
    assert [f.source for f in connector.failures] == [pages.url + "/robots.txt"]
    pages.put("/robots.txt", "", 403)
    assert len(paths(pages, made(pages))) == 6


def test_what_did_not_change_is_not_sent_again_and_still_leads_on(pages: Any) -> None:
    connector = made(pages)
    everything = paths(pages, connector)
    pages.put("/deep", '<a href="/deeper">deeper</a> changed')
    pages.asked.clear()
    now = datetime.now(UTC)
    assert paths(pages, connector, since=now) == ["/deep"]
    assert all("if-none-match" in head for path, head in pages.asked if path == "/a")
    assert connector.present == {pages.url + path for path in everything}


def test_a_page_that_fails_hides_nothing_below_it(pages: Any) -> None:
    connector = made(pages)
    paths(pages, connector)
    pages.put("/a", "busy", 500)
    assert paths(pages, connector, since=datetime.now(UTC)) == []
    assert connector.present is not None and pages.url + "/deep" in connector.present
    assert [f.source for f in connector.failures] == [pages.url + "/a"]


def test_what_pages_ask_of_robots(pages: Any) -> None:
    pages.put("/", '<meta name="robots" content="noindex"><a href="/a">a</a><a href="/b">b</a>')
    pages.put("/a", '<meta name="Robots" content="index, nofollow"><a href="/deep">deep</a>')
    pages.put("/b", "x", X_Robots_Tag="noindex")
    assert paths(pages, made(pages)) == ["/a"]


def test_patterns_and_kinds(pages: Any) -> None:
    pages.put("/", '<a href="/a.pdf">a</a><a href="/p.png">p</a><a href="/a">a</a>')
    pages.put("/a.pdf", b"%PDF", Content_Type="application/pdf")
    pages.put("/p.png", b"png", Content_Type="image/png")
    assert paths(pages, made(pages)) == ["/", "/a.pdf", "/a", "/deep", "/deeper"]
    assert paths(pages, made(pages, exclude=["deep*"])) == ["/", "/a.pdf", "/a"]
    assert paths(pages, made(pages, include=["*.pdf", "deeper"])) == ["/a.pdf", "/deeper"]


def test_a_site_may_ask_for_patience(pages: Any, naps: list[float]) -> None:
    pages.put("/robots.txt", "User-agent: ragstack\nCrawl-delay: 7\n")
    paths(pages, made(pages, bounds={"depth": 0}))
    assert naps and 6.0 < naps[0] <= 7.0


MAP = '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{}</urlset>'


def test_sitemaps_are_read_and_their_links_are_not_followed(pages: Any, other_site: Any) -> None:
    entries = "".join(
        f"<url><loc>{url}</loc><lastmod>2024-05-01</lastmod></url>"
        for url in (pages.url + "/a", pages.url + "/b", other_site.url + "/x")
    )
    pages.put("/map.xml.gz", gzip.compress(MAP.format(entries).encode()))
    index = f"<sitemapindex><sitemap><loc>{pages.url}/map.xml.gz</loc></sitemap></sitemapindex>"
    place = pages.put("/sitemap.xml", index)
    given: dict[str, Any] = {
        "main_text": False, "allow_private": True, "bounds": {"delay_s": 0},
    }  # fmt: skip
    connector = WebConnector(sitemaps=[place], **given)
    first, second = connector.fetch()
    assert isinstance(first, Source) and isinstance(second, Source)
    assert (first.uri, first.modified) == (pages.url + "/a", datetime(2024, 5, 1, tzinfo=UTC))
    assert second.modified == datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert other_site.asked == []
    pages.put("/robots.txt", f"Sitemap: {place}")
    assert paths(pages, made(pages, "/deeper", sitemaps=["robots"])) == ["/deeper", "/a", "/b"]
    with pytest.raises(RemoteError, match="answered 404"):
        list(WebConnector(sitemaps=[pages.url + "/none.xml"], **given).fetch())


@pytest.mark.parametrize(
    "data", [b"<a", b"\x1f\x8bbroken", b'<!DOCTYPE a [<!ENTITY b "c">]><urlset>&b;</urlset>']
)
def test_a_sitemap_that_cannot_be_read(data: bytes) -> None:
    with pytest.raises(RemoteError, match="cannot be"):
        sitemap_of(data, "https://example.org/map.xml")


def test_a_sitemap_of_lines() -> None:
    found = sitemap_of(b"https://example.org/a\nnot one\nhttps://example.org/b\n", "x")
    assert [url for url, _moment in found.pages] == [
        "https://example.org/a",
        "https://example.org/b",
    ]


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("", "/x", True),
        ("User-agent: *\nDisallow:", "/x", True),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("User-agent: *\nDisallow: /a", "/ab", False),
        ("User-agent: *\nDisallow: /a\nAllow: /ab", "/abc", True),
        ("User-agent: *\nAllow: /ab\nDisallow: /abc", "/abcd", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", True),
        ("User-agent: *\nDisallow: /*.pdf$", "/x/y.pdf", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/x/y.pdf?a=1", True),
        ("User-agent: *\nDisallow: /a*b*c", "/a1b2c3", False),
        ("User-agent: *\nDisallow: /a$", "/a", False),
        ("User-agent: *\nDisallow: /a$", "/ab", True),
        ("User-agent: *\nDisallow: /?q=", "/?q=x", False),
        ("User-agent: *\nDisallow: /%C3%A9t%C3%A9", "/été", False),
        ("User-agent: *\nDisallow: /été", "/%c3%a9t%c3%a9/x", False),
        ("User-agent: other\nDisallow: /\n\nUser-agent: *\nDisallow: /b", "/a", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: RagStack\nAllow: /", "/a", True),
        ("User-agent: ragstack\nUser-agent: other\nDisallow: /", "/a", False),
        ("User-agent: ragstack\nDisallow: /a\nUser-agent: ragstack\nDisallow: /b", "/b", False),
        ("Disallow: /", "/a", True),
        ("User-agent: *\nDisallow: /a # why\n", "/a", False),
        ("\ufeffUser-agent: *\nDisallow: /a", "/a", False),
    ],
)
def test_rules_for_robots(rules: str, path: str, allowed: bool) -> None:
    assert Robots(rules, "ragstack").allows("https://example.org" + path) is allowed


def test_a_rule_of_many_stars_takes_no_time() -> None:
    robots = Robots("User-agent: *\nDisallow: /" + "*a" * 2_000 + "$", "ragstack")
    begun = time.perf_counter()
    assert robots.allows("https://example.org/" + "a" * 1_900 + "b")
    assert time.perf_counter() - begun < 1.0


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTP://Example.ORG:80", "http://example.org/"),
        ("https://example.org:443/a#b", "https://example.org/a"),
        ("https://example.org:8443/a?b=c d", "https://example.org:8443/a?b=c d"),
        ("https://été.fr/é", "https://xn--t-9fab.fr/é"),
        ("https://[::1]:80/", "https://[::1]:80/"),
        ("mailto:a@example.org", ""),
        ("javascript:x()", ""),
        ("https://a:b@example.org/", ""),
        ("https://[bad/", ""),
        ("//", ""),
    ],
)
def test_addresses_are_written_in_one_way(url: str, normal: str) -> None:
    assert normal_url(url) == normal


def test_links_of_a_page() -> None:
    html = (
        '<base href="/base/"><a href="a">1</a><a href="a#x">2</a><a rel="nofollow" href="n">3</a>'
        '<area href="../c"><a href="mailto:x@y">4</a><a>5</a><a href="https://[">6</a><a href="é">'
    )
    found = links_of(html.encode(), "https://example.org/x/y")
    assert found.urls == [f"https://example.org/{p}" for p in ("base/a", "c", "base/é")]


@NEEDS_TRAFILATURA
def test_the_main_text_of_a_page() -> None:
    body = "<h2>Tides</h2>" + "<p>The tide at the harbour rises by seven metres in spring.</p>" * 8
    html = (
        "<html lang='en'><head><title>Harbour</title><meta name='author' content='Ann Moss'></head>"
        f"<body><nav><a href='/'>Home of the menu</a></nav><article>{body}</article>"
        "<footer>Imprint and cookies</footer></body></html>"
    )
    data, meta = main_text(html.encode(), "https://example.org/x")
    text = data.decode()
    assert "seven metres" in text and "<h2>Tides</h2>" in text
    assert "menu" not in text and "cookies" not in text
    assert meta["title"] == "Harbour" and meta["author"] == "Ann Moss"
    assert main_text(b"<p></p>", "https://example.org/x") == (b"<p></p>", {})


def test_options_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="urls or sitemaps"):
        WebConnector()
    with pytest.raises(InputError, match="list was expected"):
        WebConnector("https://example.org")
    with pytest.raises(InputError, match="bounds has no 'deep'"):
        WebConnector(["https://example.org"], bounds={"deep": 1}, main_text=False)
    with pytest.raises(InputError, match="depth in bounds is -1"):
        WebConnector(["https://example.org"], bounds={"depth": -1}, main_text=False)
    monkeypatch.setattr(page, "trafilatura", None)
    with pytest.raises(MissingExtra, match="trafilatura"):
        WebConnector(["https://example.org"])
