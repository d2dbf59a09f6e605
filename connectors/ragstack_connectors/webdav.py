"""A folder on a WebDAV server (Nextcloud, ownCloud, Apache) in, a Source for each file out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ragstack.errors import RemoteError
from ragstack.types import Failure, Gone, Source
from ragstack_connectors.choose import Chosen, Known, is_older
from ragstack_connectors.credentials import Env, authorization, plain_url, shown_url
from ragstack_connectors.files import media_type_of
from ragstack_connectors.http import Fetcher, Limits
from ragstack_connectors.replies import Refused, moment_of

__all__ = ["WebdavConnector"]

_DAV = "{DAV:}"
_ASKED = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/>'
    b"<getlastmodified/><getcontentlength/><getcontenttype/></prop></propfind>"
)
_DEEPEST = 50
_VAGUE = frozenset({"", "application/octet-stream"})


@dataclass(frozen=True, slots=True)
class _Entry:
    url: str
    is_folder: bool
    size: int
    media_type: str
    modified: datetime | None


class WebdavConnector:
    """Walks a folder and those below it, in sorted order.

    Args:
        url: The folder. Nextcloud's is ``https://host/remote.php/dav/files/USER/Folder``.
        user: Who asks.
        password: ``{ env = "NAME" }``; Nextcloud makes one for each app.
        token: In place of both, sent as Bearer.
        include: Only these paths below the folder, in the syntax of ``.gitignore``; empty is all.
        exclude: Not these.
        max_bytes: A larger file is a failure.
        max_files: More are an error, before any is read.
        allow_private: A server of your own network may be reached. Only this one server ever is.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        url: str,
        *,
        user: str = "",
        password: Env | None = None,
        token: Env | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        max_bytes: int = 200_000_000,
        max_files: int = 100_000,
        allow_private: bool = True,
    ) -> None:
        self._root = _normal(plain_url(url)).rstrip("/") + "/"
        self._chosen = Chosen(include, exclude)
        self._max_bytes, self._max_files = max_bytes, max_files
        headers = authorization(user, password, token)
        limits = Limits(max_bytes=max_bytes, total_s=600.0)
        self._fetcher = Fetcher(limits, headers, allow_private, origin=self._root)
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield the files by address; those changed after ``since``, if it is given.

        Raises:
            RemoteError: The folder cannot be listed, or holds more files than ``max_files``.
        """
        try:
            yield from self._fetched(since)
        finally:
            self.close()  # the next fetch opens what it needs

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._fetcher.close()

    def _fetched(self, since: datetime | None) -> Iterator[Source | Gone]:
        self.failures, self.present = [], None
        files, whole = self._walked()
        for entry in files:
            if is_older(entry.url, entry.modified, since, self.known):
                continue
            if entry.size > self._max_bytes:
                limit = f"it has {entry.size:,} bytes; the limit is {self._max_bytes:,}"
                self.failures.append(Failure(entry.url, limit))
                continue
            try:
                found = self._fetcher.get(entry.url, follow=self._is_inside)
            except RemoteError as error:
                self.failures.append(Failure(entry.url, error.message))
                continue
            said = entry.media_type or found.media_type
            kind = media_type_of(unquote(entry.url)) or said if said in _VAGUE else said
            yield Source(entry.url, found.body, media_type=kind, modified=entry.modified)
        self.present = frozenset(entry.url for entry in files) if whole else None

    def _walked(self) -> tuple[list[_Entry], bool]:
        """Return all files by address, and whether every folder could be listed."""
        files: dict[str, _Entry] = {}
        waiting, met, whole = [(self._root, 0)], {self._root}, True
        while waiting:
            folder, depth = waiting.pop()
            try:
                listed = self._listed(folder)
            except RemoteError as error:
                if folder == self._root:
                    raise
                self.failures.append(Failure(folder, f"it cannot be listed: {error.message}"))
                whole = False
                continue
            for entry in listed:
                if entry.is_folder and entry.url not in met and depth < _DEEPEST:
                    met.add(entry.url)
                    waiting.append((entry.url, depth + 1))
                elif not entry.is_folder and self._wants(entry.url):
                    files[entry.url] = entry
            if len(files) > self._max_files:
                raise RemoteError(
                    f"{shown_url(self._root)} holds more than {self._max_files:,} files",
                    hint="name a folder below it, or raise max_files",
                )
        return [files[url] for url in sorted(files)], whole

    def _listed(self, folder: str) -> list[_Entry]:
        headers = {"Depth": "1", "Content-Type": "application/xml"}
        found = self._fetcher.request(
            "PROPFIND", folder, headers=headers, content=_ASKED, follow=self._is_inside
        )
        if found.status != 207:
            raise Refused(
                f"{shown_url(folder)} answered {found.status}, which is no listing",
                status=found.status,
                hint="is it the address of a WebDAV folder?",
            )
        try:
            tree = fromstring(found.body)
        except (ParseError, DefusedXmlException, ValueError) as error:
            raise RemoteError(
                f"{shown_url(folder)} gave a listing that cannot be read: {type(error).__name__}"
            ) from None
        entries = (self._entry(response, folder) for response in tree.iter(f"{_DAV}response"))
        return [entry for entry in entries if entry is not None]

    def _entry(self, response: Element, folder: str) -> _Entry | None:
        url = _normal(urljoin(folder, (response.findtext(f"{_DAV}href") or "").strip()))
        prop = next(
            (
                found.find(f"{_DAV}prop")
                for found in response.iter(f"{_DAV}propstat")
                if " 200" in (found.findtext(f"{_DAV}status") or " 200")
            ),
            None,
        )
        if prop is None or not self._is_inside(url):
            return None
        is_folder = prop.find(f"{_DAV}resourcetype/{_DAV}collection") is not None
        size = (prop.findtext(f"{_DAV}getcontentlength") or "0").strip()
        return _Entry(
            url.rstrip("/") + "/" if is_folder else url,
            is_folder,
            int(size) if size.isascii() and size.isdigit() and len(size) < 19 else 0,
            (prop.findtext(f"{_DAV}getcontenttype") or "").partition(";")[0].strip().lower(),
            moment_of(prop.findtext(f"{_DAV}getlastmodified") or ""),
        )

    def _is_inside(self, url: str) -> bool:
        # What a listing names elsewhere is not ours to read, and not the server's to choose.
        return f"{_normal(url).rstrip('/')}/".startswith(self._root)

    def _wants(self, url: str) -> bool:
        return self._chosen.wants(unquote(url.removeprefix(self._root)))

    def __repr__(self) -> str:
        return f"WebdavConnector({shown_url(self._root)!r})"


def _normal(url: str) -> str:
    """Return an address with its path written in one way, and without query and fragment."""
    parts = urlsplit(url)
    path = quote(unquote(parts.path), safe="/~!$&'()*+,;=:@-._")
    segments = [segment for segment in path.split("/") if segment != "."]
    host = parts.netloc.lower().removesuffix(":80" if parts.scheme == "http" else ":443")
    if ".." in segments:
        return ""
    return urlunsplit((parts.scheme, host, "/".join(segments) or "/", "", ""))
