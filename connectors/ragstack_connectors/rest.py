"""Any service that answers with JSON in, a Source for each item out: by paths and a template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from ragstack.errors import ConfigError, InputError, RemoteError
from ragstack.types import Scalar, Source
from ragstack_connectors.credentials import Env, plain_url, secret
from ragstack_connectors.http import Fetcher, Limits
from ragstack_connectors.issues import next_link
from ragstack_connectors.listed import Entry, ListedConnector, field_of, moment_of
from ragstack_connectors.template import Template

__all__ = ["RestConnector"]

_PAGES: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "number": ("param", "start"),
    "offset": ("param", "size"),
    "cursor": ("param", "path"),
    "link": (),
    "next": ("path",),
}
_MOST_PAGES = 100_000


class RestConnector(ListedConnector):
    r"""Reads the items of a list that a service gives as JSON.

    A path names a place in the JSON: ``data.items``, ``author.name``, ``tags.0``. A template is
    text with paths of an item in braces: ``"# {title}\n\n{body}"``.

    Args:
        url: Of the list.
        template: An item's text.
        key: Path of what names an item for ever.
        items: Path of the list; empty is the answer itself.
        address: Template of an item's address; else the list's with ``#KEY``.
        modified: Path of the moment of an item's last change: ISO 8601, or seconds since 1970.
        fields: Metadata, by name, as paths.
        params: Of the query.
        since_param: Name in the query of the moment since which changes are wanted, where the
            service takes one.
        pages: How the list goes on: ``{ kind = "number", param = "page", start = 1 }``,
            ``{ kind = "offset", param = "offset", size = 100 }``,
            ``{ kind = "cursor", param = "cursor", path = "next_cursor" }``,
            ``{ kind = "next", path = "links.next" }`` or ``{ kind = "link" }`` (the header).
        media_type: Of the text.
        token: ``{ env = "NAME" }``; sent as ``header``.
        header: Name of the header, and what stands before the token: ``Authorization: Bearer``.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        url: str,
        *,
        template: str,
        key: str,
        items: str = "",
        address: str = "",
        modified: str = "",
        fields: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        since_param: str = "",
        pages: Mapping[str, Any] | None = None,
        media_type: str = "text/markdown",
        token: Env | None = None,
        header: str = "Authorization: Bearer",
        allow_private: bool = False,
    ) -> None:
        self._url = plain_url(url)
        self._template, self._key, self._items = Template(template), key, items
        self._address = Template(address) if address else None
        self._modified, self._fields = modified, dict(fields or {})
        self._params, self._since_param = dict(params or {}), since_param
        self._pages = _checked(pages or {"kind": "none"})
        self._media_type = media_type
        self._api = Fetcher(Limits(), token_header(token, header), allow_private, origin=self._url)
        super().__init__(self._url, self._api)

    def lists_all(self, since: datetime | None) -> bool:
        """Return whether the service is asked for everything."""
        return not self._since_param

    def entries(self, since: datetime | None) -> Iterator[Entry]:
        """Yield the items in the service's order."""
        for item in self._all(since):
            key = field_of(item, self._key)
            if key is None or isinstance(key, (dict, list)):
                raise RemoteError(
                    f"an item of {self._name!r} has nothing at {self._key!r} that names it"
                )
            yield self._entry(item, str(key))

    def _entry(self, item: Any, key: str) -> Entry:
        uri = self._address.filled(item) if self._address else f"{self._url}#{key}"
        modified = moment_of(field_of(item, self._modified)) if self._modified else None
        values = {name: field_of(item, path) for name, path in self._fields.items()}
        meta: dict[str, Scalar] = {
            name: value
            for name, value in values.items()
            if isinstance(value, (str, int, float, bool))
        }
        data = self._template.filled(item).encode("utf-8", "replace")
        return Entry(uri, modified, lambda: Source(uri, data, self._media_type, modified, meta))

    def _all(self, since: datetime | None) -> Iterator[Any]:
        kind, params, url = self._pages["kind"], dict(self._params), self._url
        if since is not None and self._since_param:
            params[self._since_param] = since.isoformat()
        if kind == "number":
            params[self._pages["param"]] = int(self._pages.get("start", 1))
        if kind == "offset":
            params[self._pages["param"]] = 0
        asked = set[str]()
        for _ in range(_MOST_PAGES):
            reply = self._api.get(url, params, headers={"Accept": "application/json"})
            whole = reply.json()
            found = field_of(whole, self._items)
            if not isinstance(found, list):
                raise RemoteError(
                    f"{self._name!r} has no list at {self._items or 'its top'!r}",
                    hint="items is the path of the list in the answer",
                )
            yield from found
            following = self._following(whole, len(found), params, reply.headers.get("link", ""))
            if following is None:
                return
            url, params = following if following[0] else (url, following[1])
            place = f"{url} {sorted(params.items())}"
            if place in asked:
                raise RemoteError(f"{self._name!r} leads from page to page in a circle")
            asked.add(place)

    def _following(
        self, whole: Any, count: int, params: Mapping[str, Any], link: str
    ) -> tuple[str, dict[str, Any]] | None:
        """Return the next page's address and query; an empty address is the list's own."""
        kind = self._pages["kind"]
        if kind in ("number", "offset"):
            name = self._pages["param"]
            step = 1 if kind == "number" else count
            return ("", {**params, name: params[name] + step}) if count else None
        if kind == "cursor":
            cursor = field_of(whole, self._pages["path"])
            return ("", {**params, self._pages["param"]: cursor}) if cursor else None
        following = next_link(link) if kind == "link" else ""
        if kind == "next":
            following = str(field_of(whole, self._pages["path"]) or "")
        return (urljoin(self._url, following), {}) if following else None


def token_header(token: Env | None, header: str) -> dict[str, str]:
    """Return the header that holds a token.

    Raises:
        InputError: ``header`` has no name.
    """
    name, _, before = header.partition(":")
    if not name.strip():
        raise InputError(f"header is {header!r}; 'Name: prefix' was expected")
    if token is None:
        return {}
    return {name.strip(): f"{before.strip()} {secret(token, option='token')}".strip()}


def _checked(pages: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(pages.get("kind"))
    if kind not in _PAGES:
        raise ConfigError(f"pages has the kind {kind!r}; known: {', '.join(_PAGES)}")
    known = {"kind", *_PAGES[kind]}
    unknown = set(pages) - known
    if unknown:
        raise ConfigError(
            f"pages of kind {kind!r} has no {min(unknown)!r}; known: {', '.join(sorted(known))}"
        )
    missing = [name for name in ("param", "path") if name in known and not pages.get(name)]
    if missing:
        raise ConfigError(f"pages of kind {kind!r} needs {missing[0]!r}")
    return dict(pages)
