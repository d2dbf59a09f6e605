"""Any sequence of changes, commits and openings: an index against a dict."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.filters import Compare, Eq, Exists, Filter, Not, Readable, matches
from ragstack.index.bm25.index import Bm25Index
from ragstack.index.faiss import FaissIndex
from ragstack.index.tantivy import TantivyIndex
from ragstack.protocols import Index
from ragstack.testing.indexes import chunk_of
from ragstack.types import Chunk

NAMES = st.sampled_from([f"d{number}" for number in range(12)])
WORDS = ["rose", "lily", "fern"]
FILTERS: list[Filter] = [
    Eq("n", 1),
    Not(Exists("n")),
    Compare("n", "gt", 0),
    Readable(frozenset({"ann"})),
]


@st.composite
def any_chunks(draw: st.DrawFn) -> list[Chunk]:
    return [
        chunk_of(
            name,
            "common",
            context=draw(st.sampled_from(WORDS)),
            meta=draw(st.sampled_from([{}, {"n": 1}, {"n": 2, "m": "x"}, {"n": True}])),
            readers=draw(st.sampled_from([(), ("ann",), ("bob",)])),
        )
        for name in draw(st.lists(NAMES, min_size=1, max_size=6))
    ]


class Machine(RuleBasedStateMachine):
    """``there``: what was changed; ``kept``: what was committed, and at which position."""

    def make(self) -> Index:
        """Return the index under test: each machine below says which."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.index = self.make()
        self.reader = self.make()
        self.there: dict[str, Chunk] = {}
        self.kept: tuple[int, dict[str, Chunk]] = (0, {})

    @rule(chunks=any_chunks())
    def add(self, chunks: list[Chunk]) -> None:
        self.index.add(chunks)
        self.there = {**self.there, **{chunk.id: chunk for chunk in chunks}}

    @rule(names=st.lists(NAMES, max_size=4))
    def delete(self, names: list[str]) -> None:
        gone = [chunk_of(name, "common").id for name in names]
        self.index.delete(gone)
        self.there = {each: chunk for each, chunk in self.there.items() if each not in gone}

    @rule(position=st.integers(0, 99))
    def commit(self, position: int) -> None:
        self.index.commit(position)
        self.kept = (position, self.there)

    @rule()
    def open_again(self) -> None:
        self.index.close()
        self.index = self.make()
        self.there = self.kept[1]

    @rule(word=st.sampled_from(WORDS), k=st.integers(1, 14), where=st.sampled_from(FILTERS))
    def search(self, word: str, k: int, where: Filter) -> None:
        for index, held in ((self.index, self.there), (self.reader, self.kept[1])):
            (full,) = index.search([f"common {word}"], k=99)
            right = {each for each, c in held.items() if matches(where, c.meta, c.readers)}
            expected = [hit.chunk_id for hit in full if hit.chunk_id in right][:k]
            (hits,) = index.search([f"common {word}"], k=k, where=where)
            assert [hit.chunk_id for hit in hits] == expected

    @invariant()
    def holds_what_was_put(self) -> None:
        for index, held in ((self.index, self.there), (self.reader, self.kept[1])):
            assert len(index) == len(held)
            (hits,) = index.search(["common"], k=99)
            assert sorted(hit.chunk_id for hit in hits) == sorted(held)
            assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
        assert self.reader.position == self.kept[0]

    def teardown(self) -> None:
        self.index.close()
        self.reader.close()
        shutil.rmtree(self.folder)


class Bm25Machine(Machine):
    def make(self) -> Index:
        return Bm25Index(self.folder / "index")


class TantivyMachine(Machine):
    def make(self) -> Index:
        return TantivyIndex(self.folder / "index")


class FaissMachine(Machine):
    def make(self) -> Index:
        return FaissIndex(self.folder / "index", embedder=HashingEmbedder(dimensions=16))


TestBm25 = Bm25Machine.TestCase
TestBm25.settings = hypothesis.settings(max_examples=40, stateful_step_count=20)
TestTantivy = TantivyMachine.TestCase
TestTantivy.settings = hypothesis.settings(max_examples=12, stateful_step_count=12)
TestFaiss = FaissMachine.TestCase
TestFaiss.settings = hypothesis.settings(max_examples=40, stateful_step_count=20)
