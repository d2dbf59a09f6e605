"""A dump of Wikipedia (XML, as it is or packed) in, a Markdown Source for each article out.

Read as a stream: one article is in memory at a time, whatever the dump's size.
"""

from __future__ import annotations

import bz2
import gzip
import xml.etree.ElementTree as etree
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from defusedxml.ElementTree import iterparse

from ragstack.errors import InputError, NotFound
from ragstack.types import Failure, Scalar, Source
from ragstack_connectors.choose import Known, is_older
from ragstack_connectors.listed import moment_of
from ragstack_connectors.wikitext import markdown

__all__ = ["WikipediaConnector"]


class WikipediaConnector:
    """Reads ``pages-articles.xml.bz2`` and its like, of any wiki that MediaWiki runs.

    Redirects are passed over.

    Args:
        path: ``.xml``, ``.xml.bz2`` or ``.xml.gz``.
        namespaces: Numbers; 0 holds the articles.
        limit: Articles at most; 0 is all.
        url: Of the wiki's pages, with a slash at its end; else what the dump says.
        max_bytes: Of one article; a longer one is a failure.

    Attributes:
        failures: Articles that could not be read, and where the dump broke off, if it did.
        known: What the caller has, if it keeps count; anything else is yielded whatever its date.
        present: With ``known``, all that the dump holds; None where it broke off.

    Raises:
        NotFound: There is no such file.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        namespaces: Sequence[int] = (0,),
        limit: int = 0,
        url: str = "",
        max_bytes: int = 5_000_000,
    ) -> None:
        if isinstance(namespaces, (str, int)):
            raise InputError(f"namespaces is {namespaces!r}; a list of numbers was expected")
        self._path = Path(path).expanduser()
        if not self._path.is_file():
            raise NotFound(f"there is no file {str(path)!r}")
        self._namespaces = {str(number) for number in namespaces}
        self._limit = limit
        self._url = url
        self._max_bytes = max_bytes
        self.failures: list[Failure] = []
        self.known: Known = None
        self.present: frozenset[str] | None = None
        self._met: set[str] = set()

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source]:
        """Yield each article in the dump's order; only those edited after ``since`` if given."""
        self.failures, self.present, self._met = [], None, set()
        yielded = 0
        with self._opened() as file:
            try:
                for source in self._articles(file, since):
                    yield source
                    yielded += 1
                    if yielded == self._limit:
                        break
            except (etree.ParseError, OSError, EOFError, zlib.error, ValueError) as error:
                self.failures.append(Failure(str(self._path), f"the dump broke off: {error}"))
                return
        if self.known is not None:
            self.present, self._met = frozenset(self._met), set()

    def _opened(self) -> IO[bytes]:
        opener: Any = {".bz2": bz2.open, ".gz": gzip.open}.get(self._path.suffix, open)
        found: IO[bytes] = opener(self._path, "rb")
        return found

    def _articles(self, file: IO[bytes], since: datetime | None) -> Iterator[Source]:
        base, language = self._url, ""
        open_tags: list[etree.Element] = []
        for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
            name = _local(element.tag)
            if event == "start":
                open_tags.append(element)
                if name == "mediawiki":
                    language = element.get("{http://www.w3.org/XML/1998/namespace}lang", "")
                continue
            open_tags.pop()
            if name == "base" and not base:
                # The main page's address; the others' differ in what stands behind the last slash.
                base = (element.text or "").rpartition("/")[0] + "/"
            elif name == "page":
                source = self._article(element, base, language, since)
                if source is not None:
                    yield source
                # The root would keep every article that it has seen.
                open_tags[-1].clear()

    def _article(
        self, page: etree.Element, base: str, language: str, since: datetime | None
    ) -> Source | None:
        fields = {_local(child.tag): child for child in page}
        title = fields["title"].text if "title" in fields else None
        space = fields["ns"].text if "ns" in fields else "0"
        if not title or space not in self._namespaces or "redirect" in fields:
            return None
        uri = base + quote(title.replace(" ", "_"), safe="/:(),")
        revision = {_local(child.tag): child.text or "" for child in fields.get("revision", ())}
        modified = moment_of(revision.get("timestamp"))
        if self.known is not None:
            self._met.add(uri)  # millions of addresses: for who keeps as many alone
        if is_older(uri, modified, since, self.known):
            return None
        text = revision.get("text", "")
        if len(text) > self._max_bytes:
            self.failures.append(Failure(uri, f"it has more than {self._max_bytes:,} bytes"))
            return None
        body = f"# {title}\n\n{markdown(text)}\n"
        meta: dict[str, Scalar] = {"title": title, "revision": revision.get("id", "")}
        if language:
            meta["language"] = language
        return Source(uri, body.encode("utf-8", "replace"), "text/markdown", _utc(modified), meta)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None
