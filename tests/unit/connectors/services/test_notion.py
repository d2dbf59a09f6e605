"""Notion: answers in the form of its public API reference (2022-06-28), written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ragstack.errors import ConfigError
from ragstack.protocols import Connector
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Source
from ragstack_connectors.notion import NotionConnector
from ragstack_connectors.notion_blocks import rendered

TOKEN = {"env": "SERVICE_TOKEN"}


def rich(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": {"content": text}, "plain_text": text, "annotations": {}}]


def block(kind: str, text: str = "", **more: Any) -> dict[str, Any]:
    children = more.pop("children", None)
    held = {"rich_text": rich(text), **more}
    made = {"object": "block", "id": f"b-{kind}-{text}", "type": kind, kind: held}
    return {**made, "has_children": bool(children), **({"children": children} if children else {})}


def page(number: int, **more: Any) -> dict[str, Any]:
    return {
        "object": "page",
        "id": f"0000-{number}",
        "url": f"https://www.notion.so/Page-{number}",
        "last_edited_time": f"2024-05-0{number}T10:00:00.000Z",
        "archived": False,
        "properties": {
            "Name": {"id": "title", "type": "title", "title": rich(f"Page {number}")},
            "Rank": {"type": "number", "number": number},
            "Kind": {"type": "select", "select": {"name": "note"}},
            "When": {"type": "date", "date": {"start": "2024-05-01", "end": None}},
            "Tags": {"type": "multi_select", "multi_select": [{"name": "a"}, {"name": "b"}]},
            "Gone": {"type": "select", "select": None},
        },
        **more,
    }


class Workspace:
    """Three pages on two pages of results; the first page has a nested list on two more."""

    def __init__(self, reply: type[Exception]) -> None:
        self.pages = [page(1), page(2), page(3), page(4, archived=True)]
        self.reply = reply
        self.broken = ""

    def __call__(self, path: str, query: dict[str, str], body: Any) -> Any:
        if path == "/v1/search":
            assert body["filter"] == {"property": "object", "value": "page"}
            start = int(body.get("start_cursor", 0))
            more = start + 2 < len(self.pages)
            found = self.pages[start : start + 2]
            return {
                "object": "list",
                "results": found,
                "has_more": more,
                "next_cursor": str(start + 2) if more else None,
            }
        block_id = path.split("/")[3]
        if block_id == self.broken:
            raise self.reply(404, {"object": "error", "message": "Could not find block"})  # type: ignore[call-arg]
        blocks = [block("paragraph", "Who pays?"), block("bulleted_list_item", "The trust")]
        blocks[1]["has_children"] = block_id.startswith("0000")
        if query.get("start_cursor"):
            blocks = [block("heading_1", "Later")]
        more = block_id == "0000-1" and not query.get("start_cursor")
        return {"results": blocks, "has_more": more, "next_cursor": "x" if more else None}


class TestNotion(ConnectorSuite):
    secrets = ("s3cret-token",)

    @pytest.fixture(autouse=True)
    def _service(self, serve: Callable[..., Any], reply: type[Exception]) -> None:
        self.workspace = Workspace(reply)
        self.service = serve(self.workspace)

    def make(self) -> Connector:
        return NotionConnector(TOKEN, url=self.service.url, delay_s=0, allow_private=True)

    def change(self) -> str:
        return str(self.workspace.pages.pop(1)["url"])

    def spoil(self) -> str:
        self.workspace.broken = "0000-2"
        return "https://www.notion.so/Page-2"

    def test_a_page_is_markdown_with_its_properties(self) -> None:
        (first, *_) = [s for s in self.make().fetch() if isinstance(s, Source)]
        text = first.data.decode()
        assert text.startswith("# Page 1\n\nWho pays?\n\n- The trust\n")
        assert "  - The trust" in text
        assert text.endswith("## Later")
        assert first.meta == {
            "title": "Page 1",
            "Rank": 1,
            "Kind": "note",
            "When": "2024-05-01",
            "Tags": "a, b",
        }

    def test_the_token_goes_along(self) -> None:
        list(self.make().fetch())
        for _, _, _, headers in self.service.asked:
            assert headers["authorization"] == "Bearer s3cret-token"
            assert headers["notion-version"] == "2022-06-28"


def test_a_token_written_out_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        NotionConnector("s3cret-token")  # type: ignore[arg-type]
    assert "s3cret" not in str(refused.value)


def test_blocks_are_markdown() -> None:
    rows = [
        {"type": "table_row", "table_row": {"cells": [rich("a|b"), rich("c")]}},
        {"type": "table_row", "table_row": {"cells": [rich("1"), rich("2")]}},
    ]
    blocks = [
        block("heading_2", "Costs"),
        block("numbered_list_item", "one"),
        block("numbered_list_item", "two"),
        block("to_do", "pay", checked=True),
        block("code", "x = 1", language="python"),
        block("quote", "said", children=[block("paragraph", "inner")]),
        block("table", children=rows),
        block("divider"),
        block("equation", expression="a^2"),
        block("bookmark", url="https://example.org", caption=rich("A place")),
        block("child_page", title="Below"),
        block("unsupported"),
        block("column_list", children=[block("column", children=[block("paragraph", "left")])]),
    ]
    assert rendered(blocks) == (
        "### Costs\n\n1. one\n2. two\n- [x] pay\n\n```python\nx = 1\n```\n\n> said\n>\n> inner\n\n"
        "| a\\|b | c |\n| --- | --- |\n| 1 | 2 |\n\n$$a^2$$\n\n"
        "[A place](https://example.org)\n\nBelow\n\nleft"
    )
