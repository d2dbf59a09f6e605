"""No search of any kind shows a chunk to who may not read it: over every kind of index there is."""

from __future__ import annotations

import inspect
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ragstack import Stack, registry
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import MissingExtra
from ragstack.filters import Filter, matches
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.index.live import chunk_of
from ragstack.pipeline.duplicates import duplicates
from ragstack.pipeline.facets import fields_of
from ragstack.pipeline.retrieve import visible
from ragstack.protocols import Index
from ragstack.testing.conditions import random_chunks, random_filter
from ragstack.testing.sparse import WordWeights
from ragstack.types import Chunk, Document, Source

PEOPLE = ("ann", "bob", "group:staff", "", "nobody")
WORDS = ("common rose", "lily", "fern moss", "word7 word31", "")


HERE = f"{__name__}:"


class Service:
    """What a live source is asked for: sources with rights of their own, other ones each time."""

    dice: ClassVar[random.Random] = random.Random(9)
    said: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self) -> None:
        self.texts = [f"common {name} of the harbour" for name in ("rose", "lily", "fern", "moss")]

    def ask(self, question: str, *, k: int) -> list[Source]:
        """Return texts in an order of the moment, to people of the moment."""
        order = self.dice.sample(range(len(self.texts)), len(self.texts))
        for n in order:
            self.said[f"live:{n}"] = tuple(
                self.dice.sample(PEOPLE[:3], self.dice.choice((0, 1, 2)))
            )
        return [
            Source(f"live:{n}", self.texts[n].encode(), readers=self.said[f"live:{n}"])
            for n in order[:k]
        ]


class Kept:
    """A shelf, and what is on it as chunks."""

    def __init__(self) -> None:
        self.chunks: dict[str, Chunk] = {}

    def keep(self, document: Document) -> None:
        """Keep the last that was said."""
        self.chunks[chunk_of(document).id] = chunk_of(document)


def made(kind: str, folder: Path, shelf: Kept) -> Index:
    """Return an index of a kind, with encoders that need no model; or skip for want of a library.

    A new kind that takes something else fails here: give it that.
    """
    embedder = HashingEmbedder(dimensions=64)
    try:
        index: Index = registry.create(
            "indexes",
            kind,
            {"ask": {"use": "stand-in"}} if kind == "live" else {},
            folder=folder,
            embedder=embedder,
            token_embedder=embedder,
            sparse_embedder=WordWeights(),
            shelf=shelf,
        )
    except MissingExtra as error:
        pytest.skip(f"{kind}: {error}")
    return index


@pytest.fixture(autouse=True)
def plugins(foreign_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live source and a sparse embedder that need no service and no model."""
    monkeypatch.setattr(Service, "dice", random.Random(9))
    foreign_plugin("live", "stand-in", HERE + "Service")
    foreign_plugin("sparse_embedders", "stand-in", "ragstack.testing.sparse:WordWeights")


def askers(dice: random.Random) -> tuple[str, ...]:
    return tuple(dice.sample(PEOPLE, dice.randrange(4)))


@pytest.mark.parametrize("kind", sorted(registry.TABLE["indexes"]))
def test_an_index_shows_only_what_may_be_read(kind: str, tmp_path: Path) -> None:
    shelf, dice = Kept(), random.Random(3)
    index = made(kind, tmp_path / kind, shelf)
    alive: dict[str, Chunk] = {}
    shown = 0
    for round_ in range(6):
        fresh = random_chunks(60, seed=round_)
        # the same ids come again with other readers: what counts is the last that was said
        alive.update({chunk.id: chunk for chunk in fresh})
        index.add(fresh)
        if round_ % 2:
            gone = dice.sample(sorted(alive), 15)
            index.delete(gone)
            for chunk_id in gone:
                del alive[chunk_id]
        if round_ % 3 == 2:
            index.commit(round_)
        for _ in range(40):
            asker = askers(dice)
            own: Filter | None = random_filter(dice) if dice.random() < 0.5 else None
            where = visible(own, asker)
            k = dice.choice((1, 5, 1_000))
            for hits in index.search(WORDS, k=k, where=where):
                for hit in hits:
                    shown += 1
                    chunk = shelf.chunks[hit.chunk_id] if kind == "live" else alive[hit.chunk_id]
                    assert matches(where, chunk.meta, chunk.readers)
                    assert not chunk.readers or set(chunk.readers) & set(asker)
    assert shown > 100
    index.close()


@pytest.mark.parametrize("kind", sorted({*registry.TABLE["indexes"]} - {"live"}))
def test_a_base_over_one_kind_shows_what_may_be_read_and_all_of_it(
    kind: str, tmp_path: Path
) -> None:
    """Through the retriever, the catalog and fusion with itself, while readers change."""
    dice, folder = random.Random(11), tmp_path / "documents"
    folder.mkdir()
    overrides: dict[str, Any] = {
        "embed": {"use": "hashing", "dimensions": 64},
        "sparse": {"use": "stand-in"},
        "index": {"lexical": {"use": kind}, "vector": {"use": "none"}},
    }
    readers: dict[str, tuple[str, ...]] = {}
    made(kind, tmp_path / "probe", Kept()).close()
    with Stack.open(tmp_path / "kb", overrides=overrides) as stack:
        for round_ in range(5):
            path = folder / f"{dice.randrange(4)}.txt"
            path.write_text(f"common harbour secret{round_} tide " * 6, "utf-8")
            readers[str(path)] = tuple(dice.sample(PEOPLE[:3], dice.choice((0, 1, 2))))
            stack.ingest(path, readers=readers[str(path)])
            for _ in range(4):
                asker = askers(dice)
                may = {s for s, r in readers.items() if not r or set(r) & set(asker)}
                found = stack.search("common harbour secret", k=100, asker=asker)
                assert {passage.source for passage in found} == may
                (many,) = stack.search_many(["common harbour"], k=100, asker=asker)
                assert {passage.source for passage in many} == may


def test_what_a_service_says_is_shown_to_whom_it_may_be(tmp_path: Path) -> None:
    """A live source beside an index, the same text with other rights each time it is asked."""
    overrides: dict[str, Any] = {
        "embed": {"use": "hashing", "dimensions": 64},
        "index": {
            "lexical": {"use": "bm25"},
            "vector": {"use": "none"},
            "web": {"use": "live", "ask": {"use": "stand-in"}},
        },
    }
    dice, shown = random.Random(13), 0
    (tmp_path / "a.txt").write_text("common harbour tide", "utf-8")
    with Stack.open(tmp_path / "kb", overrides=overrides) as stack:
        stack.ingest(tmp_path / "a.txt", readers=["bob"])
        for _ in range(40):
            asker = askers(dice)
            for passage in stack.search("common harbour", k=50, asker=asker):
                rights = passage.chunk.readers
                assert not rights or set(rights) & set(asker)
                # what opens a citation later holds the rights that were last said
                kept = stack.document(passage.chunk.document_id)
                assert kept is not None and kept.readers == rights
                if passage.source.startswith("live:"):
                    assert rights == Service.said[passage.source]
                    shown += 1
    assert shown > 20


def test_nobody_sees_more_of_an_api_than_its_table_says(
    tmp_path: Path, httpserver_of: Callable[[bytes], str]
) -> None:
    """``api`` asked over real HTTP: it names no readers, the index's own hold."""
    pytest.importorskip("ragstack_connectors.api")
    url = httpserver_of(b'[{"t": "common harbour tide", "u": "https://x.example/1"}]')
    ask: dict[str, Any] = {
        "use": "api",
        "url": url,
        "params": {"q": "{question}"},
        "template": "{t}",
    }
    ask |= {"address": "{u}", "allow_private": True}
    overrides: dict[str, Any] = {
        "embed": {"use": "hashing", "dimensions": 64},
        "index": {
            "lexical": {"use": "live", "ask": ask, "readers": ["ann", "group:staff"]},
            "vector": {"use": "none"},
        },
    }
    with Stack.open(tmp_path / "kb", overrides=overrides) as stack:
        for asker, sees in (((), 0), (("bob",), 0), (("ann",), 1), (("bob", "group:staff"), 1)):
            assert len(stack.search("common harbour", asker=asker)) == sees


@pytest.fixture
def httpserver_of() -> Iterator[Callable[[bytes], str]]:
    """Return what starts a server on loopback that answers all questions with one body."""
    servers: list[ThreadingHTTPServer] = []

    def start(body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/search"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_nothing_a_stack_offers_shows_more(tmp_path: Path) -> None:
    """Search, facets, fields, duplicates and chats, by many askers, while readers change."""
    dice, folder = random.Random(5), tmp_path / "documents"
    folder.mkdir()
    overrides = {"embed": {"use": "hashing", "dimensions": 64}}
    readers: dict[str, tuple[str, ...]] = {}
    with Stack.open(
        tmp_path / "kb", overrides=overrides, generator=ScriptedGenerator(lambda *_: "no")
    ) as stack:
        for round_ in range(12):
            path = folder / f"{dice.randrange(8)}.txt"
            path.write_text(f"common harbour secret{round_} tide " * 6, "utf-8")
            rights = tuple(dice.sample(PEOPLE[:3], dice.choice((0, 1, 2))))
            stack.ingest(path, readers=rights, meta={"tag": path.stem})
            readers[str(path)] = rights
            for _ in range(4):
                asker = askers(dice)
                may = {s for s, r in readers.items() if not r or set(r) & set(asker)}
                found = stack.search("common harbour secret", k=100, asker=asker)
                assert {passage.source for passage in found} == may
                tags = stack.facets("tag", asker=asker)
                assert {tag.value for tag in tags} == {Path(source).stem for source in may}
                fields = fields_of(stack.parts.catalog, collection="default", asker=asker)
                assert all(field.documents <= len(may) for field in fields)
                for pair in duplicates(
                    stack.parts.catalog, stack.folder, collection="default", asker=asker
                ):
                    assert {pair.source, pair.of} <= may


def test_every_index_takes_a_condition() -> None:
    """What has no ``where`` could not keep the promise."""
    for kind in registry.TABLE["indexes"]:
        try:
            found = registry.load("indexes", kind)
        except MissingExtra:
            continue
        assert "where" in inspect.signature(found.search).parameters, kind
