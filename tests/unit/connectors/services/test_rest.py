"""Lists of JSON with every kind of pages; a live source that is asked and cited."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangchainDocument
from langchain_core.retrievers import BaseRetriever

from ragstack import Stack
from ragstack.errors import ConfigError, InputError, RemoteError
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.verify import verify
from ragstack.protocols import Connector
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Source
from ragstack_connectors.api import ApiLive
from ragstack_connectors.rest import RestConnector
from ragstack_connectors.template import Template

TOKEN = {"env": "SERVICE_TOKEN"}
_PAGES = {
    "number": {"kind": "number", "param": "page", "start": 1},
    "offset": {"kind": "offset", "param": "offset"},
    "cursor": {"kind": "cursor", "param": "after", "path": "meta.next"},
    "next": {"kind": "next", "path": "links.next"},
    "link": {"kind": "link"},
}


class Shop:
    """Five items, two to a page, in the form of each kind of pages at once."""

    def __init__(self) -> None:
        self.url = ""
        self.items = [
            {
                "id": n,
                "name": f"Item {n}",
                "about": {"text": "Sold by the trust.", "tags": ["a", "b"]},
                "changed": f"2024-05-0{n}T00:00:00Z",
            }
            for n in range(1, 6)
        ]

    def __call__(self, path: str, query: dict[str, str], body: Any) -> Any:
        start = int(query.get("page", 1)) * 2 - 2
        start = int(query.get("offset") or query.get("after") or start)
        found = self.items[start : start + 2]
        more = start + 2 < len(self.items)
        following = f"{path}?after={start + 2}" if more else None
        whole = {
            "data": {"items": found},
            "meta": {"next": start + 2 if more else None},
            "links": {"next": following},
        }
        return whole, {"Link": f"<{following}>; rel=next"} if more else {}


class _Rest(ConnectorSuite):
    secrets = ("s3cret-token",)
    kind = ""

    @pytest.fixture(autouse=True)
    def _service(self, serve: Callable[..., Any]) -> None:
        self.shop = Shop()
        self.service = serve(self.shop)

    def make(self, **more: Any) -> Connector:
        chosen: dict[str, Any] = {
            "template": "# {name}\n\n{about.text} ({about.tags}) {{x}}{gone}",
            "key": "id",
            "items": "data.items",
            "modified": "changed",
            "fields": {"number": "id", "tags": "about.tags"},
            "pages": _PAGES[self.kind],
            "token": TOKEN,
            "header": "X-Key:",
            **more,
        }
        return RestConnector(self.service.url + "/items", allow_private=True, **chosen)

    def change(self) -> str:
        return f"{self.service.url}/items#{self.shop.items.pop(1)['id']}"

    def test_an_item_is_its_template(self) -> None:
        found = [s for s in self.make().fetch() if isinstance(s, Source)]
        assert len(found) == 5
        assert found[0].uri == f"{self.service.url}/items#1"
        assert found[0].data.decode() == "# Item 1\n\nSold by the trust. (a, b) {x}"
        assert found[0].meta == {"number": 1}
        assert self.service.asked[0][3]["x-key"] == "s3cret-token"


class TestNumbered(_Rest):
    kind = "number"


class TestOffset(_Rest):
    kind = "offset"


class TestCursor(_Rest):
    kind = "cursor"


class TestNext(_Rest):
    kind = "next"


class TestLink(_Rest):
    kind = "link"


def _failure(connector: Any) -> str:
    assert list(connector.fetch()) == []
    (failure,) = connector.failures
    return str(failure.reason)


def test_a_service_is_a_place_to_sync(serve: Callable[..., Any], tmp_path: Path) -> None:
    shop = Shop()
    place = {
        "use": "rest",
        "url": serve(shop).url + "/items",
        "template": "{name} {about.text}",
        "key": "id",
        "items": "data.items",
        "modified": "changed",
        "fields": {"number": "id"},
        "pages": _PAGES["link"],
        "allow_private": True,
        "meta": {"place": "shop"},
    }
    overrides = {"embed": {"use": "hashing"}, "sync": {"shop": place}}
    with Stack.open(tmp_path / "kb", overrides=overrides) as stack:
        stack.sync()
        assert {(d.meta["number"], d.meta["place"]) for d in stack.documents()} == {
            (n, "shop") for n in range(1, 6)
        }
        shop.items.pop(1)
        stack.sync()
        assert [d.meta["number"] for d in stack.documents()] == [1, 3, 4, 5]


def test_a_list_that_is_none_is_told(serve: Callable[..., Any]) -> None:
    service = serve(lambda *_: {"items": [{"name": "no id"}], "next": "/a"})
    options: Any = {"template": "{name}", "key": "id", "allow_private": True}
    assert "no list at 'rows'" in _failure(RestConnector(service.url, items="rows", **options))
    assert "nothing at 'id'" in _failure(RestConnector(service.url, items="items", **options))
    options["key"] = "name"
    pages = {"kind": "next", "path": "next"}
    circle = RestConnector(service.url + "/a", items="items", pages=pages, **options)
    assert len(list(circle.fetch())) == 1
    assert "circle" in circle.failures[0].reason
    assert circle.present is None


def test_what_changed_is_asked_for(serve: Callable[..., Any]) -> None:
    service = serve(lambda *_: [])
    connector = RestConnector(
        service.url, template="{id}", key="id", since_param="since", allow_private=True
    )
    assert connector.lists_all(None) is False
    list(connector.fetch(since=datetime(2024, 5, 1)))
    assert service.asked[0][2]["since"].startswith("2024-05-01")
    assert connector.present is None


@pytest.mark.parametrize(
    "options",
    [
        {"template": "{a"},
        {"template": "a}"},
        {"template": "{a b}"},
        {"template": "{}"},
        {"pages": {"kind": "odd"}},
        {"pages": {"kind": "cursor", "param": "x"}},
        {"pages": {"kind": "link", "path": "x"}},
        {"token": "written out"},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RestConnector("https://x.example", **{"template": "{a}", "key": "a", **options})


def test_a_header_has_a_name() -> None:
    with pytest.raises(InputError):
        RestConnector("https://x.example", template="{a}", key="a", header=": x")


def test_a_template_shows_what_there_is() -> None:
    item = {"a": 1, "b": None, "c": [{"d": 1}], "e": True}
    assert Template("{a}|{b}|{c}|{c.0.d}|{e}|{c.9}").filled(item) == '1||[{"d": 1}]|1|True|'


def _search(path: str, query: dict[str, str], body: Any) -> Any:
    assert int(query["limit"]) >= 1
    hits = [
        {
            "id": "t1",
            "title": "Tides",
            "text": "High water at the mill comes at 9:40 on Sunday.",
            "at": 1714550460,
            "who": "harbour",
        },
        {"id": "t2", "title": "Empty", "text": "  "},
        {"id": "t3", "title": "Long", "text": "Low water is late. " * 500},
    ]
    return {"hits": hits if "water" in query["q"] else []}


def _asking(url: str, **more: Any) -> dict[str, Any]:
    ask = {
        "use": "api",
        "url": url + "/search",
        "params": {"q": "{question}", "limit": "{k}", "lang": "en"},
        "items": "hits",
        "template": "{text}",
        "address": "https://tides.example/{id}",
        "title": "title",
        "modified": "at",
        "token": TOKEN,
        "allow_private": True,
    }
    return {"use": "live", "ask": ask, **more}


def _opened(tmp_path: Path, live: dict[str, Any]) -> Stack:
    overrides = {
        "embed": {"use": "hashing"},
        "rerank": {"use": "none"},
        "index": {"web": live},
        "retrieve": {"weights": {"lexical": 1.0, "vector": 1.0, "web": 3.0}},
    }
    generator = ScriptedGenerator(
        lambda _messages: "High water at the mill comes at 9:40 on Sunday.",
        scores=lambda _messages, text: -0.1 if text.lower() in ("yes", "oui") else -3.0,
    )
    return Stack.open(tmp_path / "kb", overrides=overrides, generator=generator)


def test_a_live_source_is_asked_and_cited(
    serve: Callable[..., Any], tmp_path: Path, corpus_folder: Path
) -> None:
    service = serve(_search)
    with _opened(tmp_path, _asking(service.url)) as stack:
        stack.ingest(corpus_folder)
        assert service.asked == []
        answer = stack.ask("When is high water at the mill on Sunday?")
        (citation,) = [c for c in answer.citations if c.source.startswith("https://tides")]
        assert citation.source == "https://tides.example/t1"
        assert "9:40" in citation.quote
        document = stack.document(citation.document_id)
        assert document is not None
        assert document.text[citation.start : citation.end] == citation.quote
        assert document.meta["title"] == "Tides"
        # It is in the answer and in no list of documents.
        assert len(stack.documents()) == 8
        assert stack.stats()["documents"] == 8
        assert service.asked[0][3]["authorization"] == "Bearer s3cret-token"
        assert verify(stack).ok
    # What an answer cites can be looked up by another process, later.
    with _opened(tmp_path, _asking(service.url)) as stack:
        assert stack.document(citation.document_id) == document
        chunks = stack.parts.catalog.chunks([citation.chunk_id], collection="default")
        assert chunks[citation.chunk_id].text == document.text


def test_what_is_found_is_filtered_and_cut(serve: Callable[..., Any], tmp_path: Path) -> None:
    service = serve(_search)
    live = _asking(service.url, max_chars=100, readers=["staff"])
    with _opened(tmp_path, live) as stack:
        assert stack.search("water", asker=["bob"]) == []
        found = stack.search("water", asker=["staff"])
        assert [passage.source[-2:] for passage in found] == ["t1", "t3"]
        assert max(len(passage.chunk.text) for passage in found) <= 100
        titled = stack.search("water", asker=["staff"], where={"title": "Tides"})
        assert [passage.source[-2:] for passage in titled] == ["t1"]


def test_a_service_that_fails_does_not_stop_a_search(
    serve: Callable[..., Any], tmp_path: Path, corpus_folder: Path, caplog: Any, reply: Any
) -> None:
    def down(*_: Any) -> Any:
        raise reply(500, {"error": "down"})

    service = serve(down)
    with _opened(tmp_path, _asking(service.url)) as stack:
        stack.ingest(corpus_folder)
        with caplog.at_level(logging.WARNING):
            assert stack.search("Who built the lighthouse?")
        assert "answered 500" in caplog.text
        assert "s3cret" not in caplog.text
    with (
        _opened(tmp_path, _asking(service.url, required=True)) as stack,
        pytest.raises(RemoteError),
    ):
        stack.search("Who built the lighthouse?")


def test_a_live_source_is_configured_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no place for the question"):
        ApiLive("https://x.example", template="{a}", address="{b}")
    with (
        _opened(tmp_path, {"use": "live", "ask": "api"}) as stack,
        pytest.raises(ConfigError, match="names a live source"),
    ):
        stack.search("water")


class _Retriever(BaseRetriever):
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[LangchainDocument]:
        return [LangchainDocument("High water is at 9:40.", metadata={"source": "tides", "n": 1})]


def test_a_retriever_of_langchain_is_a_live_source(tmp_path: Path) -> None:
    live = {"use": "live", "ask": {"use": "langchain", "retriever": _Retriever()}}
    with _opened(tmp_path, live) as stack:
        (found,) = stack.search("high water")
        assert found.source == "langchain:tides"
        assert found.chunk.meta["n"] == 1
