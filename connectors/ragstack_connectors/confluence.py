"""Pages of Confluence Cloud in, HTML Sources out. The REST API of version 2."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urljoin

from ragstack.errors import InputError, RemoteError
from ragstack.types import Scalar, Source
from ragstack_connectors.credentials import Env, authorization, plain_url
from ragstack_connectors.http import Fetcher, Limits
from ragstack_connectors.listed import Entry, ListedConnector, moment_of

__all__ = ["ConfluenceConnector"]

_API = "/wiki/api/v2"
_SIZE = 100
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_PARAMETER = re.compile(r"<ac:parameter\b[^>]*>.*?</ac:parameter>", re.DOTALL)
_CODE = re.compile(r"(</?)ac:plain-text-body\b[^>]*>")


class ConfluenceConnector(ListedConnector):
    """Reads the pages of a Confluence site, or of some of its spaces.

    Args:
        url: Of the site: ``https://NAME.atlassian.net``.
        user: Who asks, by mail address.
        token: ``{ env = "NAME" }``: an API token of theirs.
        spaces: Keys of spaces; none are all that the user may read.
        readers: Users and groups who may see what comes from here; empty is everyone.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str,
        token: Env,
        spaces: Sequence[str] = (),
        readers: Sequence[str] = (),
        allow_private: bool = False,
    ) -> None:
        if isinstance(spaces, str):
            raise InputError(f"spaces is {spaces!r}; a list of keys was expected")
        self._url = plain_url(url).rstrip("/").removesuffix("/wiki")
        self._spaces = tuple(spaces)
        self._readers = tuple(readers)
        headers = authorization(user, token, None)
        self._api = Fetcher(Limits(), headers, allow_private, origin=self._url)
        super().__init__(self._url, self._api)

    def entries(self, since: datetime | None) -> Iterator[Entry]:
        """Yield every current page, by id."""
        params: dict[str, Any] = {"status": "current", "limit": _SIZE, "sort": "id"}
        if not self._spaces:
            yield from self._pages(params)
            return
        spaces = {
            str(space.get("key")): str(space.get("id"))
            for space in self._all("/spaces", {"keys": ",".join(self._spaces), "limit": _SIZE})
        }
        for key in self._spaces:
            if key not in spaces:
                known = ", ".join(sorted(spaces)) or "none"
                raise RemoteError(f"Confluence shows no space {key!r}; of those asked: {known}")
            yield from self._pages({**params, "space-id": spaces[key]})

    def _pages(self, params: Mapping[str, Any]) -> Iterator[Entry]:
        for page in self._all("/pages", params):
            if page.get("id"):
                yield self._entry(page)

    def _all(self, path: str, params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the results of every page of a list."""
        url, asked = self._url + _API + path, dict(params)
        while True:
            reply = self._api.json(url, asked)
            results = reply.get("results") if isinstance(reply, dict) else None
            if not isinstance(results, list):
                raise RemoteError(f"Confluence's answer to {path!r} has no list of results")
            yield from results
            following = (reply.get("_links") or {}).get("next")
            if not following:
                return
            # It names its own query, the cursor among it.
            url, asked = urljoin(self._url + "/", str(following)), {}

    def _entry(self, page: Mapping[str, Any]) -> Entry:
        webui = (page.get("_links") or {}).get("webui") or f"/pages/{page['id']}"
        uri = f"{self._url}/wiki{webui}"
        version = page.get("version") or {}
        modified = moment_of(version.get("createdAt"))

        def read() -> Source:
            place = f"{self._url}{_API}/pages/{quote(str(page['id']), safe='')}"
            whole = self._api.json(place, {"body-format": "storage"})
            body = ((whole.get("body") or {}).get("storage") or {}).get("value") or ""
            title = str(page.get("title", ""))
            meta: dict[str, Scalar] = {
                "title": title,
                "space_id": str(page.get("spaceId", "")),
                "version": version.get("number"),
            }
            data = _page(title, str(body)).encode()
            return Source(uri, data, "text/html", modified, meta, self._readers)

        return Entry(uri, modified, read)


def _page(title: str, storage: str) -> str:
    """Return a page of the storage format as HTML that any parser reads: code and all."""
    body = _CDATA.sub(lambda found: html.escape(found[1]), _PARAMETER.sub("", storage))
    body = _CODE.sub(lambda found: f"{found[1]}pre>", body)
    heading = html.escape(title)
    return (
        f"<!doctype html><html><head><title>{heading}</title></head>"
        f"<body><h1>{heading}</h1>{body}</body></html>"
    )
