"""RSS and Atom feeds in, a Source for each entry out.

A feed holds what is new, so what is no longer in it has not gone: nothing is ever removed.
"""

from __future__ import annotations

import calendar
import html
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import feedparser

from ragstack.errors import InputError, RemoteError
from ragstack.types import Failure, Gone, Scalar, Source
from ragstack_connectors.choose import Known, is_older
from ragstack_connectors.credentials import Env, authorization, plain_url, shown_url
from ragstack_connectors.http import Fetcher, Limits
from ragstack_connectors.page import HTML_TYPES, check_main_text, main_text, normal_url

__all__ = ["FeedConnector"]


class FeedConnector:
    """Reads the entries of feeds, and the pages they lead to where that is wanted.

    Args:
        urls: The feeds.
        pages: Fetch the page of each entry and keep its main text; else what the feed says of it.
        user: Who asks, where a feed wants to know.
        password: ``{ env = "NAME" }``.
        token: In place of both, sent as Bearer. Sent to the host of the first feed alone.
        max_bytes: Of one feed or page.
        delay_s: Seconds between two requests to one host.
        allow_private: Servers of your own network may be reached.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        urls: Sequence[str],
        *,
        pages: bool = False,
        user: str = "",
        password: Env | None = None,
        token: Env | None = None,
        max_bytes: int = 20_000_000,
        delay_s: float = 0.5,
        allow_private: bool = False,
    ) -> None:
        if isinstance(urls, str) or not urls:
            raise InputError(f"urls is {urls!r}; a list of feeds was expected")
        self._urls = [plain_url(url, option="urls") for url in urls]
        if pages:
            check_main_text()
        self._pages = pages
        self._fetcher = Fetcher(
            Limits(max_bytes=max_bytes, delay_s=delay_s),
            authorization(user, password, token),
            allow_private,
            origin=self._urls[0],
        )
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None
        self.state: Mapping[str, Any] = {}

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield the entries in the order of the feeds; those that changed after ``since``."""
        try:
            yield from self._fetched(since)
        finally:
            self.close()  # the next fetch opens what it needs

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._fetcher.close()

    def _fetched(self, since: datetime | None) -> Iterator[Source | Gone]:
        self.failures = []
        met: set[str] = set()
        state: dict[str, Any] = {}
        for url in self._urls:
            entries, tags = self._entries(url, since)
            state[url] = tags
            for entry in entries:
                source = self._source(entry, url, met, since)
                if source is not None:
                    yield source
        self.state = state

    def _entries(self, url: str, since: datetime | None) -> tuple[list[Any], Mapping[str, str]]:
        known = self.state.get(url, {}) if since is not None else {}
        try:
            found = self._fetcher.get(url, headers=known)
            if found.status == 304:
                return [], known
            # Of bytes: given an address, the library would fetch it itself, and guard nothing.
            feed = feedparser.parse(found.body, response_headers={"content-location": found.url})
        except RemoteError as error:
            self.failures.append(Failure(url, error.message))
            return [], known
        if not feed.get("version") and not feed.entries:
            self.failures.append(Failure(url, f"{shown_url(url)} is no feed of RSS or Atom"))
            return [], {}
        tags = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
        title = feed.feed.get("title", "")
        for entry in feed.entries:
            entry["feed_title"] = title
        return list(feed.entries), {k: found.headers[v] for k, v in tags if v in found.headers}

    def _source(
        self, entry: Any, feed: str, met: set[str], since: datetime | None
    ) -> Source | None:
        link = normal_url(str(entry.get("link", "")))
        uri = link or str(entry.get("id", "")).strip()
        if not uri:
            self.failures.append(Failure(feed, "an entry has neither a link nor an id"))
            return None
        modified = _first_moment(entry, "updated", "published")
        if uri in met or is_older(uri, modified, since, self.known):
            return None
        met.add(uri)
        meta = _meta(entry)
        if self._pages and link:
            return self._page(uri, link, modified, meta)
        return Source(uri, _written(entry), "text/html", modified, meta)

    def _page(
        self, uri: str, link: str, modified: datetime | None, meta: dict[str, Scalar]
    ) -> Source | None:
        try:
            found = self._fetcher.get(link)
        except RemoteError as error:
            self.failures.append(Failure(uri, error.message))
            return None
        data, more = found.body, dict[str, Scalar]()
        if found.media_type in HTML_TYPES:
            data, more = main_text(found.body, link)
        return Source(uri, data, found.media_type, modified, {**more, **meta})


def _meta(entry: Any) -> dict[str, Scalar]:
    moment = _first_moment(entry, "published", "updated")
    said = {
        "title": entry.get("title", ""),
        "author": entry.get("author", ""),
        "date": moment.isoformat() if moment else "",
        "feed": entry.get("feed_title", ""),
        "tags": ", ".join(str(tag.get("term") or "") for tag in entry.get("tags", ())),
    }
    return {name: html.unescape(str(value)) for name, value in said.items() if value}


def _written(entry: Any) -> bytes:
    """Return an entry as a page; what it holds was cleaned of scripts by the library."""
    bodies = [part.get("value", "") for part in entry.get("content", ())]
    title = str(entry.get("title", ""))
    body = "\n".join(filter(None, bodies)) or str(entry.get("summary", ""))
    text = f"<!doctype html><meta charset='utf-8'><body><h1>{title}</h1>\n{body}</body>"
    return text.encode("utf-8", "replace")


def _first_moment(entry: Any, *names: str) -> datetime | None:
    # `get` would take one for the other, with a warning.
    found = (_moment(entry[f"{name}_parsed"]) for name in names if f"{name}_parsed" in entry)
    return next((moment for moment in found if moment), None)


def _moment(parsed: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC) if parsed else None
    except (ValueError, OverflowError, TypeError):
        return None
