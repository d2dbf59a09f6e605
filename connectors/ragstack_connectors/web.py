"""Pages of a web site in, Sources out: by its sitemap, or by following links from some pages.

Keeps to ``robots.txt``, asks slowly, goes to no other site, and asks for a page that did not change
with the tags it had, so that it is not sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from ragstack.errors import InputError, RemoteError
from ragstack.types import Failure, Gone, Scalar, Source
from ragstack_connectors.choose import Chosen, Known, is_older
from ragstack_connectors.credentials import Env, authorization, plain_url
from ragstack_connectors.http import Fetched, Fetcher, Limits
from ragstack_connectors.page import HTML_TYPES, check_main_text, links_of, main_text, normal_url
from ragstack_connectors.replies import Refused
from ragstack_connectors.robots import MOST_ROBOTS_BYTES, Robots, sitemap_of

__all__ = ["Bounds", "WebConnector"]

_AGENT = "ragstack"
_LONGEST_DELAY_S = 30.0  # that a site may ask for
_MOST_MAPS = 200
_KEPT_LINKS = 500  # of a page, for when it did not change
_KINDS = (
    *HTML_TYPES,
    *("text/plain", "text/markdown", "application/pdf", "application/rtf", "application/msword"),
    *("application/vnd.openxmlformats-officedocument", "application/vnd.oasis.opendocument"),
    "application/epub+zip",
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a crawl goes.

    Attributes:
        depth: Links from the first pages; 0 reads these alone.
        max_pages: Pages asked for in one fetch.
        max_bytes: Of one page.
        delay_s: Seconds between two requests to one host; a site may ask for more.
    """

    depth: int = 3
    max_pages: int = 1_000
    max_bytes: int = 20_000_000
    delay_s: float = 1.0


@dataclass(slots=True)
class _Crawl:
    """One crawl: what waits, what was met, and what is known of each host."""

    waiting: deque[tuple[str, int, datetime | None]]
    met: set[str]
    present: set[str] = field(default_factory=set)
    kept: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    whole: bool = True


class WebConnector:
    """Reads pages of the hosts it is given, and of no other.

    Args:
        urls: Pages to begin with, whose links are followed.
        sitemaps: Sitemaps whose pages are read; ``robots`` takes those that the site itself names.
        include: Only these paths, in the syntax of ``.gitignore``; others are followed, not kept.
        exclude: These are neither.
        hosts: Further hosts that links may lead to.
        bounds: Keys of ``Bounds``: ``{ depth = 2, max_pages = 500 }``.
        robots: Keep to ``robots.txt``. Only for a site of your own is it yours to say no.
        main_text: Keep the article, and not what stands round it on every page.
        user: Who asks, where the site wants to know.
        password: ``{ env = "NAME" }``.
        token: In place of both, sent as Bearer. Sent to the host of the first address alone.
        allow_private: Sites of your own network may be reached.

    Raises:
        InputError: Neither ``urls`` nor ``sitemaps``, or a bound that is none.
        MissingExtra: ``main_text`` without trafilatura.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        urls: Sequence[str] = (),
        *,
        sitemaps: Sequence[str] = (),
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        hosts: Sequence[str] = (),
        bounds: Bounds | Mapping[str, Any] | None = None,
        robots: bool = True,
        main_text: bool = True,
        user: str = "",
        password: Env | None = None,
        token: Env | None = None,
        allow_private: bool = False,
    ) -> None:
        for option, given in (("urls", urls), ("sitemaps", sitemaps), ("hosts", hosts)):
            if isinstance(given, str):
                raise InputError(f"{option} is {given!r}; a list was expected", hint=f"[{given!r}]")
        self._urls = [normal_url(plain_url(url, option="urls")) for url in urls]
        from_robots = "robots" in sitemaps
        self._maps = [plain_url(url, option="sitemaps") for url in sitemaps if url != "robots"]
        if not (self._urls or self._maps):
            raise InputError("a web place has urls or sitemaps", hint='urls = ["https://…/"]')
        self._named_by_robots = from_robots
        if main_text:
            check_main_text()
        self._bounds = _bounds(bounds)
        self._chosen, self._excluded = Chosen(include, exclude), Chosen((), exclude)
        self._obeys, self._main_text = robots, main_text
        first = [*self._urls, *self._maps]
        self._hosts = {_site(url) for url in first} | {host.lower() for host in hosts}
        limits = Limits(max_bytes=self._bounds.max_bytes, delay_s=self._bounds.delay_s)
        headers = authorization(user, password, token)
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(first[0]))
        self._fetcher = Fetcher(limits, headers, allow_private, origin=origin)
        self._robots: dict[str, Robots | None] = {}
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None
        self.state: Mapping[str, Any] = {}

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield the pages, nearest first; where ``since`` is given, those that changed.

        Raises:
            RemoteError: No sitemap can be read, and no page was named.
        """
        try:
            yield from self._fetched(since)
        finally:
            self.close()  # the next fetch opens what it needs

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._fetcher.close()

    def _fetched(self, since: datetime | None) -> Iterator[Source | Gone]:
        self.failures, self.present, self._robots = [], None, {}
        crawl = _Crawl(deque((url, 0, None) for url in self._urls), set(self._urls))
        known = self.state.get("pages", {}) if since is not None else {}
        self._add_mapped(crawl)
        while crawl.waiting:
            url, depth, dated = crawl.waiting.popleft()
            if crawl.asked >= self._bounds.max_pages:
                crawl.whole = False
                break
            before = known.get(url) or {}
            source = self._visited(crawl, url, depth, dated, (before, since))
            if source is not None:
                yield source
        self.present = frozenset(crawl.present) if crawl.whole else None
        self.state = {"pages": crawl.kept}

    def _visited(
        self,
        crawl: _Crawl,
        url: str,
        depth: int,
        dated: datetime | None,
        before: tuple[Mapping[str, Any], datetime | None],
    ) -> Source | None:
        """Fetch one page, note what it leads to, and return what is to be kept of it."""
        known, since = before
        if not self._may(url, crawl):
            return None
        crawl.asked += 1
        try:
            asked = _conditions(known) if self._has(known) else {}
            found = self._fetcher.get(url, headers=asked, follow=self._follows(crawl))
        except RemoteError as error:
            self._failed(crawl, url, depth, known, error)
            return None
        if found.status == 304:
            crawl.kept[url] = dict(known)
            self._add(crawl, known.get("links", ()), depth)
            if known.get("uri"):
                crawl.present.add(known["uri"])
            return None
        return self._kept(crawl, url, depth, found, dated, since)

    def _kept(
        self,
        crawl: _Crawl,
        url: str,
        depth: int,
        found: Fetched,
        dated: datetime | None,
        since: datetime | None,
    ) -> Source | None:
        uri = normal_url(found.url)
        is_page = found.media_type in HTML_TYPES
        declared = _charset(found)
        links = links_of(found.body, uri, declared=declared) if is_page else None
        follows = links.urls if links and links.follow else []
        note: dict[str, Any] = {"links": follows[:_KEPT_LINKS]}
        for name, header in (("etag", "etag"), ("modified", "last-modified")):
            if header in found.headers:
                note[name] = found.headers[header]
        crawl.kept[url] = note
        if uri != url and uri in crawl.met and uri in crawl.present:
            return None  # two addresses of one page
        crawl.met.add(uri)
        self._add(crawl, follows, depth)
        wanted = found.media_type.startswith(_KINDS) and self._chosen.wants(_path(uri))
        if not wanted or not found.body or (links and not links.index) or _noindex(found):
            return None
        crawl.present.add(uri)
        note["uri"] = uri
        modified = found.modified or dated
        if is_older(uri, modified, since, self.known):
            return None
        data, meta = found.body, dict[str, Scalar]()
        if is_page and self._main_text:
            data, meta = main_text(found.body, uri, declared=declared)
            declared = ""
        return Source(uri, data, media_type=found.media_type, modified=modified, meta=meta)

    def _failed(
        self, crawl: _Crawl, url: str, depth: int, known: Mapping[str, Any], error: RemoteError
    ) -> None:
        status = error.status if isinstance(error, Refused) else 0
        if 300 <= status < 400:
            return  # it leads to where we do not go
        if status in (404, 410) and depth > 0:
            return  # a dead link is the site's business
        # What was there and cannot be read just now is still there, and so is what it leads to.
        if known:
            crawl.kept[url] = dict(known)
            self._add(crawl, known.get("links", ()), depth)
            crawl.present.update(filter(None, [known.get("uri")]))
        self.failures.append(Failure(url, error.message))

    def _add(self, crawl: _Crawl, urls: Sequence[str], depth: int) -> None:
        if depth >= self._bounds.depth:
            return
        for url in urls:
            if url not in crawl.met and self._is_ours(url):
                crawl.met.add(url)
                crawl.waiting.append((url, depth + 1, None))

    def _add_mapped(self, crawl: _Crawl) -> None:
        """Put the pages that sitemaps name in line; their links are not followed."""
        waiting: deque[str] = deque(self._maps)
        if self._named_by_robots:
            waiting.extend(each for url in self._urls for each in self._rules(url, crawl).sitemaps)
        met: set[str] = set()
        while waiting and len(met) < _MOST_MAPS:
            place = waiting.popleft()
            if place in met or not self._is_ours(place):
                continue
            met.add(place)
            try:
                found = sitemap_of(self._fetcher.get(place, follow=self._is_ours).body, place)
            except RemoteError as error:
                if not self._urls and len(self._maps) == 1 and place in self._maps:
                    raise
                crawl.whole = False
                self.failures.append(Failure(place, error.message))
                continue
            waiting.extend(found.maps)
            for url, moment in found.pages:
                if url not in crawl.met and self._is_ours(url):
                    crawl.met.add(url)
                    crawl.waiting.append((url, self._bounds.depth, moment))
        crawl.whole &= not waiting

    def _has(self, known: Mapping[str, Any]) -> bool:
        """Return whether the caller has what a page was kept as, so that 304 says enough."""
        return "uri" not in known or self.known is None or known["uri"] in self.known

    def _is_ours(self, url: str) -> bool:
        return _site(url) in self._hosts and self._excluded.wants(_path(url))

    def _follows(self, crawl: _Crawl) -> Any:
        return lambda url: self._is_ours(normal_url(url)) and self._may(normal_url(url), crawl)

    def _may(self, url: str, crawl: _Crawl) -> bool:
        return not self._obeys or self._rules(url, crawl).allows(url)

    def _rules(self, url: str, crawl: _Crawl) -> Robots:
        """Return what a host asks of robots; where it cannot be asked, nothing is fetched of it."""
        site = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        if site not in self._robots:
            place = urljoin(site, "/robots.txt")
            try:
                body = self._fetcher.get(place).body[:MOST_ROBOTS_BYTES]
                self._robots[site] = Robots(body.decode("utf-8", "replace"), _AGENT)
            except RemoteError as error:
                status = error.status if isinstance(error, Refused) else 0
                if 400 <= status < 500 and status != 429:
                    self._robots[site] = Robots("", _AGENT)
                else:
                    self._robots[site] = None
                    self.failures.append(Failure(place, error.message))
            rules = self._robots[site]
            wanted = min(rules.delay_s if rules else 0.0, _LONGEST_DELAY_S)
            limits = self._fetcher.limits
            self._fetcher.limits = replace(limits, delay_s=max(limits.delay_s, wanted))
        found = self._robots[site]
        if found is None:
            crawl.whole = False
            return Robots("user-agent: *\ndisallow: /", _AGENT)
        return found

    def __repr__(self) -> str:
        return f"WebConnector({self._urls!r}, sitemaps={self._maps!r})"


def _bounds(given: Bounds | Mapping[str, Any] | None) -> Bounds:
    if isinstance(given, Bounds) or given is None:
        return given or Bounds()
    known = {name: type(value) for name, value in _DEFAULTS.items()}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"bounds has no {name!r}; known: {', '.join(known)}")
        right = isinstance(value, (int, known[name])) and not isinstance(value, bool)
        if not right or value < 0:
            raise InputError(f"{name} in bounds is {value!r}; a number of 0 or more was expected")
    return Bounds(**given)


_DEFAULTS = {
    name: getattr(Bounds(), name) for name in ("depth", "max_pages", "max_bytes", "delay_s")
}


def _site(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _path(url: str) -> str:
    return urlsplit(url).path


def _conditions(known: Mapping[str, Any]) -> dict[str, str]:
    found = {"If-None-Match": known.get("etag"), "If-Modified-Since": known.get("modified")}
    return {name: str(value) for name, value in found.items() if value}


def _charset(found: Fetched) -> str:
    _, _, after = found.headers.get("content-type", "").lower().partition("charset=")
    return after.partition(";")[0].strip(" \"'")


def _noindex(found: Fetched) -> bool:
    said = found.headers.get("x-robots-tag", "").lower()
    return "noindex" in said or "none" in said.split(",")
