"""A site's ``robots.txt`` and sitemaps in, what may be fetched and what there is out (RFC 9309).

The longest rule that matches decides, ``*`` and ``$`` mean what search engines mean by them, and of
two rules as long the one that allows wins.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ragstack.errors import RemoteError
from ragstack_connectors.page import normal_url

__all__ = ["MOST_ROBOTS_BYTES", "Robots", "Sitemap", "sitemap_of"]

MOST_ROBOTS_BYTES = 500_000
_MOST_SITEMAP_BYTES = 52_428_800  # what sitemaps.org allows, unpacked


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line of a group: what stands between the stars of its path, in order."""

    allows: bool
    length: int
    pieces: tuple[str, ...]
    ends: bool

    @classmethod
    def of(cls, key: str, value: str) -> _Rule:
        wanted = _canonical(value.removesuffix("$"))
        pieces = tuple(re.split(r"\*+", wanted))
        return cls(key == "allow", len(value), pieces, value.endswith("$"))

    def matches(self, path: str) -> bool:
        # Each piece where it first fits: a pattern of many stars must not cost time without end.
        first, *others = self.pieces
        if not path.startswith(first):
            return False
        at = len(first)
        for piece in others[:-1] if self.ends and others else others:
            at = path.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        if not self.ends:
            return True
        return (
            at == len(path)
            if not others
            else len(path) - len(others[-1]) >= at and (path.endswith(others[-1]))
        )


class Robots:
    """The rules of one site for one robot.

    Args:
        text: Of ``robots.txt``; empty allows all.
        agent: The robot's name, as product token: ``ragstack``.

    Attributes:
        delay_s: Seconds the site wants between two requests; 0 where it says nothing.
        sitemaps: Addresses of its sitemaps.
    """

    def __init__(self, text: str, agent: str) -> None:
        self.delay_s = 0.0
        self.sitemaps: list[str] = []
        groups = self._groups(text)
        own = [rules for names, rules in groups if agent.lower() in names]
        chosen = own or [rules for names, rules in groups if "*" in names]
        lines = [line for rules in chosen for line in rules if line[1]]
        self._rules = [_Rule.of(key, value) for key, value in lines if key != "crawl-delay"]
        for key, value in lines:
            if key == "crawl-delay" and re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value, re.ASCII):
                self.delay_s = max(self.delay_s, float(value))

    def allows(self, url: str) -> bool:
        """Return whether an address may be fetched."""
        parts = urlsplit(url)
        path = _canonical(parts.path or "/") + (
            f"?{_canonical(parts.query)}" if parts.query else ""
        )
        matching = [rule for rule in self._rules if rule.matches(path)]
        best = max(matching, key=lambda rule: (rule.length, rule.allows), default=None)
        return best is None or best.allows or parts.path == "/robots.txt"

    def _groups(self, text: str) -> list[tuple[set[str], list[tuple[str, str]]]]:
        groups: list[tuple[set[str], list[tuple[str, str]]]] = []
        naming = False
        for line in text.lstrip("\ufeff").splitlines():
            key, colon, value = line.partition("#")[0].partition(":")
            key, value = key.strip().lower(), value.strip()
            if not colon:
                continue
            if key == "sitemap":
                self.sitemaps.extend(filter(None, [normal_url(f"{line.partition(':')[2]}")]))
            elif key == "user-agent":
                if not naming:
                    groups.append((set(), []))
                groups[-1][0].add(value.split("/")[0].strip().lower())
                naming = True
            elif key in ("allow", "disallow", "crawl-delay"):
                naming = False
                if groups:
                    groups[-1][1].append((key, value))
        return groups


@dataclass(frozen=True, slots=True)
class Sitemap:
    """What one sitemap names: pages with the moment they changed, and further sitemaps."""

    pages: tuple[tuple[str, datetime | None], ...] = ()
    maps: tuple[str, ...] = ()


def sitemap_of(data: bytes, url: str) -> Sitemap:
    """Return what a sitemap names, be it XML, packed XML, a feed or lines of text.

    Raises:
        RemoteError: It cannot be read.
    """
    if data[:2] == b"\x1f\x8b":
        data = _unpacked(data, url)
    if not data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        lines = data.decode("utf-8", "replace").splitlines()
        return Sitemap(tuple((page, None) for page in map(normal_url, lines) if page))
    try:
        tree = fromstring(data)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise RemoteError(f"the sitemap {url} cannot be read: {type(error).__name__}") from None
    pages, maps = [], []
    for entry in tree:
        said = {_bare(child.tag): (child.text or "").strip() for child in entry}
        place = normal_url(said.get("loc", ""))
        if place and _bare(entry.tag) == "sitemap":
            maps.append(place)
        elif place:
            pages.append((place, _moment(said.get("lastmod", ""))))
    return Sitemap(tuple(pages), tuple(maps))


def _unpacked(data: bytes, url: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            found = packed.read(_MOST_SITEMAP_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise RemoteError(f"the sitemap {url} cannot be unpacked: {error}") from None
    if len(found) > _MOST_SITEMAP_BYTES:
        raise RemoteError(f"the sitemap {url} has more than {_MOST_SITEMAP_BYTES:,} bytes")
    return found


def _bare(tag: object) -> str:
    return str(tag).rpartition("}")[2].lower()


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _canonical(path: str) -> str:
    """Return a path with the same characters escaped, whoever wrote it; ``*`` stays."""
    return quote(
        unquote(path, errors="surrogateescape"),
        safe="/*~!$&'()+,;=:@-._?%",
        errors="surrogateescape",
    )
