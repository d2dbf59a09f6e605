"""The promises of an index, as tests: subclass ``IndexSuite`` and write ``make``."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ragstack.errors import BaseLocked, InputError
from ragstack.filters import Eq, Exists, Filter, Not, Readable, matches, parse
from ragstack.protocols import Index
from ragstack.testing.conditions import chunk_of, random_chunks, random_filter
from ragstack.types import Chunk, Hit

__all__ = ["IndexSuite", "chunk_of", "random_chunks", "random_filter"]

QUERIES = (
    "",
    " \n\t",
    "common",
    'field:"x" AND (y OR -z) ~2 ^3 [a TO b] * ? \\ / {} <>',
    "a\x00b",
    "\ud800 lone",
    "ﬁn É ß 東京 👩‍👩‍👧",
    "common " * 3_000,
    "x" * 100_000,
)


class IndexSuite(ABC):
    """What every index promises. It must find a chunk by the words of its own text."""

    @abstractmethod
    def make(self, folder: Path) -> Index:
        """Return the index that keeps its files in this folder: a new one, or the one there."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[[], Index]]:
        """A function that opens the same folder once more; all are closed after the test."""
        made: list[Index] = []

        def make() -> Index:
            made.append(self.make(tmp_path / "index"))
            return made[-1]

        yield make
        for index in reversed(made):
            index.close()

    @pytest.fixture
    def index(self, opened: Callable[[], Index]) -> Index:
        """A new index."""
        return opened()

    def test_new_index_is_empty(self, index: Index) -> None:
        """Opening creates nothing that can be found, and position 0."""
        assert len(index) == 0
        assert index.position == 0
        assert index.search(["common", ""], k=3) == [[], []]

    def test_empty_in_empty_out(self, index: Index) -> None:
        """No chunks, no ids, no queries, k = 0."""
        index.add([])
        index.delete([])
        index.add(random_chunks(3, seed=1))
        assert index.search([], k=3) == []
        assert index.search(["common"], k=0) == [[]]

    def test_added_is_found_at_once(self, index: Index) -> None:
        """Without a commit, by the object that added."""
        chunks = random_chunks(50, seed=2)
        index.add(chunks)
        assert len(index) == 50
        found = index.search([chunk.text for chunk in chunks], k=1)
        assert [hits[0].chunk_id for hits in found] == [chunk.id for chunk in chunks]

    def test_context_is_indexed(self, index: Index) -> None:
        """An index reads ``chunk.indexed_text``."""
        plain = [chunk_of(f"d{i}", f"something else {i}") for i in range(5)]
        index.add([*plain, chunk_of("x", "something else 9", context="Heading > Zebra")])
        assert _ids(index, "zebra heading", k=1) == [chunk_of("x", "something else 9").id]

    def test_best_first_and_at_most_k(self, index: Index) -> None:
        """Scores fall; a k above the size is fine; a greater k only appends."""
        index.add(random_chunks(40, seed=3))
        (full,) = index.search(["common rose lily"], k=1_000)
        assert len(full) == 40
        assert len({hit.chunk_id for hit in full}) == 40
        assert full == sorted(full, key=lambda hit: (-hit.score, hit.chunk_id))
        for k in (1, 7, 39):
            assert _similar(index.search(["common rose lily"], k=k)[0], full[:k])

    def test_ties_by_chunk_id(self, index: Index) -> None:
        """Equal texts have equal scores; those with the smallest ids are kept."""
        chunks = [chunk_of(f"t{number:03}", "the same words") for number in range(100)]
        shuffled = random.Random(4).sample(chunks, 100)
        for start in range(0, 100, 9):  # in several batches, so in several segments
            index.add(shuffled[start : start + 9])
            index.search(["same"], k=1)
        for k in (1, 5, 60):
            assert _ids(index, "same words", k=k) == [chunk.id for chunk in chunks[:k]]

    def test_batch_equals_one_by_one(self, index: Index) -> None:
        """What stands beside a query changes nothing."""
        index.add(random_chunks(60, seed=5))
        queries = ["rose", "lily fern", "common moss", "rose"] * 10
        alone = [index.search([query], k=8)[0] for query in queries]
        assert index.search(queries, k=8) == alone

    def test_add_replaces_by_id(self, index: Index) -> None:
        """Same id, other context and metadata: only the new ones are there."""
        index.add(random_chunks(10, seed=6))
        before = chunk_of("x", "common text", context="ancient", meta={"one": "a"})
        index.add([before])
        after = replace(before, context="modern", meta={"one": "b"}, readers=("ann",))
        index.add([after])
        assert len(index) == 11
        assert _ids(index, "common", k=50).count(before.id) == 1
        assert before.id not in _ids(index, "common", k=50, where=Eq("one", "a"))
        assert before.id in _ids(index, "common", k=50, where=Eq("one", "b"))
        assert before.id not in _ids(index, "common", k=50, where=Readable(frozenset({"bob"})))
        assert _ids(index, "modern", k=1) == [before.id]

    def test_last_of_two_with_one_id_counts(self, index: Index) -> None:
        """Twice the same id in one batch is one chunk."""
        first = chunk_of("x", "common text", meta={"one": "a"})
        index.add([first, replace(first, meta={"one": "b"})])
        assert len(index) == 1
        assert _ids(index, "common", k=5, where=Eq("one", "b")) == [first.id]

    def test_delete(self, index: Index) -> None:
        """The deleted are gone at once; the unknown and the twice named are ignored."""
        chunks = random_chunks(20, seed=7)
        index.add(chunks)
        index.delete([chunks[3].id, "unknown", chunks[3].id, "\ud800"])
        index.delete([chunks[3].id])
        assert len(index) == 19
        assert chunks[3].id not in _ids(index, "common", k=50)
        index.add([chunks[3]])
        assert len(index) == 20
        assert chunks[3].id in _ids(index, "common", k=50)

    def test_where_holds_inside_the_search(self, index: Index) -> None:
        """The few that match come back though hundreds of others rank before them."""
        good = [chunk_of(f"g{i}", "rose rose rose common", meta={"one": "a"}) for i in range(300)]
        weak = [
            chunk_of(f"w{i}", "fern moss lily fern common", meta={"one": "b"}) for i in range(5)
        ]
        index.add([*good, *weak])
        assert sorted(_ids(index, "rose common", k=5, where=Eq("one", "b"))) == [
            chunk.id for chunk in weak
        ]
        assert len(_ids(index, "rose common", k=150, where=Eq("one", "a"))) == 150

    def test_where_means_what_filters_say(self, index: Index) -> None:
        """``filters.matches`` is the oracle, over random metadata, readers and conditions."""
        chunks = random_chunks(120, seed=8)
        index.add(chunks[:70])
        index.search(["common"], k=1)
        index.add(chunks[70:])
        index.delete([chunk.id for chunk in chunks[::7]])
        rest = [chunk for number, chunk in enumerate(chunks) if number % 7]
        (ranking,) = index.search(["common rose"], k=200)
        dice = random.Random(9)
        for _ in range(300):
            where = random_filter(dice)
            right = {c.id for c in rest if matches(where, c.meta, c.readers)}
            expected = [hit for hit in ranking if hit.chunk_id in right]
            for k in (3, 200):
                (hits,) = index.search(["common rose"], k=k, where=where)
                assert _similar(hits, expected[:k]), where

    def test_bool_is_no_number_in_where(self, index: Index) -> None:
        """``Eq("one", 1)`` and ``Eq("one", True)`` are two conditions, asked in any order."""
        index.add([chunk_of("i", "common", meta={"one": 1})])
        index.add([chunk_of("b", "common", meta={"one": True})])
        for value, name in ((1, "i"), (True, "b"), (1.0, "i"), (False, "")):
            found = _ids(index, "common", k=5, where=Eq("one", value))
            assert found == ([chunk_of(name, "common").id] if name else [])

    def test_no_syntax_in_queries(self, index: Index) -> None:
        """Any string is words to find: nothing raises, all come back in order."""
        index.add(random_chunks(20, seed=10))
        assert len(index.search(QUERIES, k=5)) == len(QUERIES)
        for query in QUERIES:
            assert len(index.search([query], k=5)[0]) <= 5

    def test_any_text_can_be_indexed(self, index: Index, opened: Callable[[], Index]) -> None:
        """Odd text in chunk, context, id and metadata is kept and can be found and deleted."""
        odd = [
            chunk_of(f"o{number}\ud800\n\x00", f"common {query}", context=query, meta={query: "v"})
            for number, query in enumerate(QUERIES)
        ]
        index.add(odd)
        index.commit(1)
        index.close()
        again = opened()
        assert sorted(_ids(again, "common", k=50)) == sorted(chunk.id for chunk in odd)
        assert _ids(again, "common", k=5, where=Exists("a\x00b")) == [odd[4].id]
        again.delete([chunk.id for chunk in odd])
        assert len(again) == 0

    def test_lone_string_is_refused(self, index: Index) -> None:
        """A str is a sequence of letters, never what was meant."""
        index.add(random_chunks(3, seed=11))
        with pytest.raises(InputError):
            index.search("common", k=3)
        with pytest.raises(InputError):
            index.delete("common")
        assert len(index) == 3

    def test_negative_numbers_are_refused(self, index: Index) -> None:
        """A k or a position below 0 is a mistake."""
        with pytest.raises(InputError):
            index.search(["common"], k=-1)
        with pytest.raises(InputError):
            index.commit(-1)

    def test_inputs_are_not_mutated(self, index: Index) -> None:
        """Lists, chunks and metadata stay as they were."""
        chunks, queries = random_chunks(5, seed=12), ["common", "rose"]
        copies, ids = random_chunks(5, seed=12), [chunk.id for chunk in chunks]
        index.add(chunks)
        index.search(queries, k=2, where=parse({"one": ["a", "b"]}))
        index.delete(ids)
        assert repr(chunks) == repr(copies)  # by repr: NaN is not equal to itself
        assert queries == ["common", "rose"]
        assert ids == [chunk.id for chunk in copies]

    def test_commit_is_durable(self, index: Index, opened: Callable[[], Index]) -> None:
        """After close and open: the same position, hits and scores; deletes too."""
        index.add(random_chunks(30, seed=13))
        index.delete([random_chunks(30, seed=13)[0].id])
        index.commit(42)
        before = index.search(["common rose", "lily"], k=50)
        index.close()
        again = opened()
        assert (len(again), again.position) == (29, 42)
        assert again.search(["common rose", "lily"], k=50) == before

    def test_uncommitted_is_lost(self, index: Index, opened: Callable[[], Index]) -> None:
        """Closing without a commit goes back to the last one, though it was searched."""
        chunks = random_chunks(30, seed=14)
        index.add(chunks[:10])
        index.commit(5)
        before = index.search(["common rose"], k=50)
        index.add(chunks[10:])
        index.delete([chunks[0].id])
        index.search(["common"], k=3)
        index.close()
        again = opened()
        assert (len(again), again.position) == (10, 5)
        assert again.search(["common rose"], k=50) == before
        again.add(chunks[5:])
        assert len(again) == 30
        for one in (again, opened()):
            assert sorted(_ids(one, "common", k=99)) == [c.id for c in chunks][: len(one)]

    def test_applying_twice_changes_nothing(self, index: Index) -> None:
        """After a kill the same changes come again: same size, same hits, each once."""
        chunks = random_chunks(30, seed=15)
        for _ in range(2):
            index.add(chunks)
            index.delete([chunk.id for chunk in chunks[20:]])
            index.commit(60)
        assert len(index) == 20
        assert sorted(_ids(index, "common", k=99)) == [chunk.id for chunk in chunks[:20]]

    def test_others_see_commits_only(self, index: Index, opened: Callable[[], Index]) -> None:
        """A second object on the folder reads what is committed, and each later commit."""
        chunks = random_chunks(30, seed=16)
        reader = opened()
        index.add(chunks[:10])
        assert len(reader) == 0
        for upto in (10, 20, 30):
            index.add(chunks[:upto])
            assert len(reader) < upto
            index.commit(upto)
            assert (len(reader), reader.position) == (upto, upto)
            assert _ids(reader, chunks[upto - 1].text, k=1) == [chunks[upto - 1].id]
        index.delete([chunk.id for chunk in chunks[5:]])
        index.commit(99)
        assert sorted(_ids(reader, "common", k=50)) == [chunk.id for chunk in chunks[:5]]

    def test_one_writer(self, index: Index, opened: Callable[[], Index]) -> None:
        """A second writer is refused from the first's first change until its commit."""
        chunks = random_chunks(3, seed=17)
        index.add(chunks[:2])
        second = opened()
        with pytest.raises(BaseLocked):
            second.add(chunks)
        index.commit(1)
        second.add(chunks)
        second.commit(2)
        assert (len(second), second.position) == (3, 2)

    def test_many_changes_keep_it_whole(self, index: Index, opened: Callable[[], Index]) -> None:
        """Merging, reusing and compacting lose nothing: hundreds of rounds of replacement."""
        alive: dict[str, Chunk] = {}
        dice = random.Random(18)
        for round_ in range(60):
            for chunk in random_chunks(40, seed=round_):
                fresh = replace(chunk, document_id=f"d{dice.randrange(80)}", meta={"r": round_})
                alive[fresh.id] = fresh
                index.add([fresh])
            for chunk_id in dice.sample(sorted(alive), len(alive) // 3):
                del alive[chunk_id]
                index.delete([chunk_id])
            if round_ % 5 == 0:
                index.commit(round_)
        index.commit(1_000)
        for one in (index, opened()):
            assert sorted(_ids(one, "common", k=500)) == sorted(alive)
            for round_ in (0, 30, 58, 59):
                right = sorted(c.id for c in alive.values() if c.meta["r"] == round_)
                assert sorted(_ids(one, "common", k=500, where=Eq("r", round_))) == right

    def test_searches_run_beside_writes(self, index: Index) -> None:
        """From many threads: no error, never a chunk that was not there, none twice."""
        chunks = random_chunks(200, seed=19)
        known, failures = {chunk.id for chunk in chunks}, list[BaseException]()
        stop = threading.Event()

        def search() -> None:
            try:
                while not stop.is_set():
                    for hits in index.search(["common rose", "lily"], k=30, where=Not(Exists("z"))):
                        ids = [hit.chunk_id for hit in hits]
                        assert len(set(ids)) == len(ids)
                        assert known.issuperset(ids)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for start in range(0, 200, 20):
            index.add(chunks[start : start + 20])
            index.delete([chunk.id for chunk in chunks[start : start + 5]])
            index.commit(start)
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(index) == 150

    def test_close_twice(self, index: Index) -> None:
        """A second close does nothing."""
        index.add(random_chunks(2, seed=20))
        index.close()
        index.close()


def _ids(index: Index, query: str, *, k: int, where: Filter | None = None) -> list[str]:
    (hits,) = index.search([query], k=k, where=where)
    return [hit.chunk_id for hit in hits]


def _similar(left: Sequence[Hit], right: Sequence[Hit]) -> bool:
    """Return whether two rankings are the same, but for the last bits of their scores."""
    return [hit.score for hit in left] == pytest.approx(
        [hit.score for hit in right], rel=1e-5, abs=1e-6
    ) and [hit.chunk_id for hit in left] == [hit.chunk_id for hit in right]
