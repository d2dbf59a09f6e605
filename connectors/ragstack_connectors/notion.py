"""Pages of Notion in, Markdown Sources out. The API of 2022-06-28.

Every page that was shared with the integration is listed, rows of databases among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ragstack.errors import RemoteError
from ragstack.types import Scalar, Source
from ragstack_connectors.credentials import Env, plain_url, secret
from ragstack_connectors.http import Fetcher, Limits
from ragstack_connectors.listed import Entry, ListedConnector, moment_of
from ragstack_connectors.notion_blocks import plain, rendered

__all__ = ["NotionConnector"]

_VERSION = "2022-06-28"
_DEPTH = 12  # of blocks in blocks
_SIZE = 100  # the most that the API gives at once


class NotionConnector(ListedConnector):
    """Reads the pages that an integration of Notion was given.

    Args:
        token: ``{ env = "NAME" }``: the integration's secret.
        query: Only pages whose title has these words; empty is all.
        url: Of the API.
        delay_s: Seconds between two requests: Notion allows some three in a second.
    """

    def __init__(
        self,
        token: Env,
        *,
        query: str = "",
        url: str = "https://api.notion.com",
        delay_s: float = 0.35,
        allow_private: bool = False,
    ) -> None:
        self._url = plain_url(url).rstrip("/")
        self._query = query
        headers = {
            "Authorization": f"Bearer {secret(token, option='token')}",
            "Notion-Version": _VERSION,
            "Content-Type": "application/json",
        }
        limits = Limits(delay_s=delay_s)
        self._api = Fetcher(limits, headers, allow_private, origin=self._url)
        super().__init__(self._url, self._api)

    def entries(self, since: datetime | None) -> Iterator[Entry]:
        """Yield every page that is not in the bin, the oldest edit first."""
        asked: dict[str, Any] = {
            "filter": {"property": "object", "value": "page"},
            "sort": {"timestamp": "last_edited_time", "direction": "ascending"},
            "page_size": _SIZE,
        }
        if self._query:
            asked["query"] = self._query
        while True:
            reply = self._api.request(
                "POST", f"{self._url}/v1/search", content=json.dumps(asked).encode()
            ).json()
            for page in _results(reply, "v1/search"):
                if not (page.get("archived") or page.get("in_trash")) and page.get("id"):
                    yield self._entry(page)
            cursor = reply.get("next_cursor")
            if not reply.get("has_more") or not cursor:
                return
            asked["start_cursor"] = cursor

    def _entry(self, page: Mapping[str, Any]) -> Entry:
        uri = str(page.get("url") or f"https://www.notion.so/{str(page['id']).replace('-', '')}")
        modified = moment_of(page.get("last_edited_time"))

        def read() -> Source:
            title = _title(page)
            body = rendered(self._children(str(page["id"]), 0))
            text = f"# {title}\n\n{body}" if title else body
            meta = {**_properties(page), "title": title}
            return Source(uri, text.encode(), "text/markdown", modified, meta)

        return Entry(uri, modified, read)

    def _children(self, block_id: str, depth: int) -> list[dict[str, Any]]:
        """Return the blocks in a block, each with its own under ``children``."""
        found: list[dict[str, Any]] = []
        place = f"{self._url}/v1/blocks/{quote(block_id, safe='')}/children"
        params: dict[str, Any] = {"page_size": _SIZE}
        while True:
            reply = self._api.json(place, params)
            for block in _results(reply, "children"):
                # A page in a page is listed as one of its own.
                inner = block.get("has_children") and block.get("type") != "child_page"
                if inner and depth < _DEPTH:
                    block["children"] = self._children(str(block["id"]), depth + 1)
                found.append(block)
            if not reply.get("has_more") or not reply.get("next_cursor"):
                return found
            params["start_cursor"] = reply["next_cursor"]


def _results(reply: object, what: str) -> list[dict[str, Any]]:
    found = reply.get("results") if isinstance(reply, dict) else None
    if not isinstance(found, list):
        raise RemoteError(f"Notion's answer to {what!r} has no list of results")
    return [each for each in found if isinstance(each, dict)]


def _title(page: Mapping[str, Any]) -> str:
    for value in (page.get("properties") or {}).values():
        if isinstance(value, Mapping) and value.get("type") == "title":
            return plain(value.get("title"))
    return ""


def _properties(page: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return what a filter can use of a page's properties: text, numbers, choices, dates."""
    found: dict[str, Scalar] = {}
    for name, value in (page.get("properties") or {}).items():
        kind = value.get("type") if isinstance(value, Mapping) else None
        held = value.get(kind) if kind else None
        if kind in ("number", "checkbox", "url", "email", "phone_number"):
            found[name] = held
        elif kind in ("select", "status") and held:
            found[name] = held.get("name")
        elif kind == "multi_select" and held:
            found[name] = ", ".join(str(each.get("name")) for each in held)
        elif kind == "date" and held:
            found[name] = held.get("start")
        elif kind == "rich_text" and held:
            found[name] = plain(held)
    return {name: value for name, value in found.items() if value is not None}
