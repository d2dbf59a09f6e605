"""Any sequence of puts, removals and forgetting: a catalog against dicts, its journal replayed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ragstack.catalog.sqlite import SqliteCatalog
from ragstack.testing.catalogs import chunks_in, document_of
from ragstack.types import Chunk, Document

SOURCES = st.sampled_from(["a", "b/é", "c\ud800"])
COLLECTIONS = st.sampled_from(["one", "two"])
TEXTS = st.sampled_from(["", "short", "some words " * 9, "d'autres mots\x00 " * 300])


class CatalogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.catalog = SqliteCatalog(self.folder / "catalog.db")
        self.held: dict[str, dict[str, tuple[Document, list[Chunk]]]] = {"one": {}, "two": {}}
        self.index: dict[str, dict[str, Chunk]] = {"one": {}, "two": {}}
        self.applied = {"one": 0, "two": 0}

    @rule(
        source=SOURCES,
        collection=COLLECTIONS,
        text=TEXTS,
        size=st.sampled_from([7, 50]),
        context=st.sampled_from(["", "head"]),
        meta=st.sampled_from([{}, {"n": 1}, {"n": True}]),
        readers=st.sampled_from([(), ("ann",)]),
    )
    def put(self, source, collection, text, size, context, meta, readers) -> None:  # type: ignore[no-untyped-def]
        document = document_of(source, text, meta=meta, readers=readers)
        chunks = chunks_in(document, size, context=context, meta=meta, readers=readers)
        self.catalog.put(document, chunks, collection=collection, origin=context)
        self.held[collection][document.id] = (document, chunks)

    @rule(source=SOURCES, collection=COLLECTIONS)
    def remove(self, source: str, collection: str) -> None:
        document_id = document_of(source, "").id
        there = self.held[collection].pop(document_id, None) is not None
        assert self.catalog.remove([document_id], collection=collection) == there

    @rule(collection=COLLECTIONS, limit=st.integers(1, 40))
    def catch_up(self, collection: str, limit: int) -> None:
        """What an index does: read changes, look the chunks up, apply, forget."""
        changes = self.catalog.changes(
            collection=collection, after=self.applied[collection], limit=limit
        )
        found = self.catalog.chunks([c.chunk_id for c in changes], collection=collection)
        for change in changes:
            if change.added and change.chunk_id in found:
                self.index[collection][change.chunk_id] = found[change.chunk_id]
            else:
                self.index[collection].pop(change.chunk_id, None)
            self.applied[collection] = change.position
        self.catalog.forget(collection=collection, upto=self.applied[collection])
        assert self.catalog.floor(collection=collection) == self.applied[collection]

    @rule()
    def open_again(self) -> None:
        self.catalog.close()
        self.catalog = SqliteCatalog(self.folder / "catalog.db")

    @invariant()
    def holds_what_was_put(self) -> None:
        for collection, held in self.held.items():
            chunks = {chunk.id: chunk for _, some in held.values() for chunk in some}
            assert self.catalog.counts(collection=collection) == (len(held), len(chunks))
            assert self.catalog.chunks(list(chunks), collection=collection) == chunks
            infos = list(self.catalog.documents(collection=collection))
            assert [info.source for info in infos] == sorted(d.source for d, _ in held.values())
            for document_id, (document, some) in held.items():
                assert self.catalog.document(document_id, collection=collection) == document
                assert self.catalog.chunks_of(document_id, collection=collection) == some
        assert self.catalog.collections() == [name for name in self.held if self.held[name]]

    @invariant()
    def journal_leads_to_the_same(self) -> None:
        for collection, held in self.held.items():
            chunks = {chunk.id: chunk for _, some in held.values() for chunk in some}
            found = dict(self.index[collection])
            for change in self.catalog.changes(
                collection=collection, after=self.applied[collection], limit=10_000
            ):
                if change.added and change.chunk_id in chunks:
                    found[change.chunk_id] = chunks[change.chunk_id]
                else:
                    found.pop(change.chunk_id, None)
            assert as_text(found) == as_text(chunks)

    def teardown(self) -> None:
        self.catalog.close()
        shutil.rmtree(self.folder)


TestCatalog = CatalogMachine.TestCase
TestCatalog.settings = hypothesis.settings(max_examples=40, stateful_step_count=20)


def as_text(chunks: dict[str, Chunk]) -> list[str]:
    return sorted(map(repr, chunks.values()))  # by repr: True is not 1
