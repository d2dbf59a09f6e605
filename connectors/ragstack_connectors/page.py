"""A web page's bytes in, its main text and its links out. Fetches nothing.

The main text is trafilatura's: what stands round an article on every page of a site (navigation,
footers, banners) would be found again and again.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

from ragstack.errors import MissingExtra
from ragstack.types import Scalar

try:
    import trafilatura
except ImportError:  # told by `check_main_text`, where it is asked for
    trafilatura = None  # type: ignore[assignment]

__all__ = ["HTML_TYPES", "Links", "check_main_text", "links_of", "main_text", "normal_url"]

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_CHARSET = re.compile(rb"""<meta\b[^>]{0,200}?charset\s*=\s*["']?([\w.:-]+)""", re.I)
_HEAD = 4_096
_MOST_LINKS = 5_000
_LONGEST_URL = 2_000
_PORTS = {"http": ":80", "https": ":443"}


@dataclass(slots=True)
class Links:
    """Where a page leads, in its order, and what it asks of robots.

    Attributes:
        follow: Whether its links may be followed.
        index: Whether its text may be kept.
    """

    urls: list[str] = field(default_factory=list)
    follow: bool = True
    index: bool = True


def check_main_text() -> None:
    """Make sure that main texts can be found.

    Raises:
        MissingExtra: trafilatura, or a package it needs, is not installed.
    """
    if trafilatura is None:
        raise MissingExtra("trafilatura", extra="connectors")


def main_text(data: bytes, url: str, *, declared: str = "") -> tuple[bytes, dict[str, Scalar]]:
    """Return a page's main text as a page of its own, and what the page says of itself.

    Where no main text is found, the page is returned as it is.

    Args:
        declared: The character set that the server names.
    """
    text = _decoded(data, declared)
    try:
        found = trafilatura.bare_extraction(
            text, url=url, with_metadata=True, include_comments=False, include_tables=True
        )
        body = trafilatura.extract(
            text, url=url, output_format="html", include_comments=False,
            include_tables=True, include_formatting=True,
        )  # fmt: skip
    except Exception:  # whatever a page does to its parsers, the page itself can still be read
        return data, {}
    if not body:
        return data, {}
    about = {name: getattr(found, name, None) for name in ("title", "author", "date", "language")}
    meta: dict[str, Scalar] = {name: str(value) for name, value in about.items() if value}
    title = html.escape(str(meta.get("title", "")))
    inner = re.sub(r"^.*?<body>|</body>.*$", "", body, flags=re.S)
    return (
        f"<!doctype html><html><head><meta charset='utf-8'><title>{title}</title></head>"
        f"<body>{inner}</body></html>"
    ).encode("utf-8", "replace"), meta


def links_of(data: bytes, url: str, *, declared: str = "") -> Links:
    """Return the addresses that a page links to, as they are once ``normal_url`` has them."""
    reader = _Reader(url)
    try:
        reader.feed(_decoded(data, declared))
        reader.close()
    except (AssertionError, ValueError, RecursionError):
        pass  # what was read so far stands
    return reader.found


def normal_url(url: str) -> str:
    """Return an address of http or https in the one way it is written here; empty for others."""
    try:
        parts = urlsplit(urldefrag(url.strip())[0])
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except (ValueError, UnicodeError):
        return ""
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc or len(url) > _LONGEST_URL:
        return ""
    if ":" in host:
        host = f"[{host}]"
    shown = f":{port}" if port and f":{port}" != _PORTS[parts.scheme] else ""
    path = "".join(c if c.isprintable() and c != " " else "%20" for c in parts.path) or "/"
    return urlunsplit((parts.scheme, f"{host}{shown}", path, parts.query, ""))


class _Reader(HTMLParser):
    """Picks links, the base address and the robots' directives out of a page."""

    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self._base = url
        self._met: set[str] = set()
        self.found = Links()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what a tag says."""
        said = {name: value or "" for name, value in attrs}
        if tag == "base" and said.get("href"):
            self._base = urljoin(self._base, said["href"])
        elif tag == "meta" and said.get("name", "").lower() in ("robots", "ragstack"):
            wishes = {word.strip() for word in said.get("content", "").lower().split(",")}
            self.found.follow &= wishes.isdisjoint({"nofollow", "none"})
            self.found.index &= wishes.isdisjoint({"noindex", "none"})
        elif tag in ("a", "area") and "nofollow" not in said.get("rel", "").lower().split():
            self._link(said.get("href", ""))

    def _link(self, target: str) -> None:
        try:
            url = normal_url(urljoin(self._base, target)) if target.strip() else ""
        except ValueError:
            return
        if url and url not in self._met and len(self._met) < _MOST_LINKS:
            self._met.add(url)
            self.found.urls.append(url)


def _decoded(data: bytes, declared: str) -> str:
    found = _CHARSET.search(data[:_HEAD])
    names = (declared, found[1].decode("ascii", "replace") if found else "", "utf-8")
    for name in names:
        try:
            return data.decode(name) if name else data.decode("utf-8")
        except (LookupError, ValueError):
            continue
    return data.decode("cp1252", "replace")
