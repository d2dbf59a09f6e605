"""What keeps a base in order, as tests: collections as wholes, comparison, compaction.

Subclass ``CatalogUpkeepSuite`` or ``IndexUpkeepSuite`` and write ``make``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ragstack.errors import InputError, NotFound
from ragstack.filters import Exists, Not
from ragstack.protocols import Auditable, Catalog, Compactable, Index
from ragstack.testing.catalogs import ODD, chunks_in, document_of
from ragstack.testing.conditions import random_chunks

__all__ = ["CatalogUpkeepSuite", "IndexUpkeepSuite"]


class CatalogUpkeepSuite(ABC):
    """What every catalog promises of its collections, and of itself."""

    @abstractmethod
    def make(self, folder: Path) -> Catalog:
        """Return the catalog that is kept in this folder: a new one, or the one there."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[[], Catalog]]:
        """A function that opens the same catalog once more; all are closed after the test."""
        made: list[Catalog] = []

        def make() -> Catalog:
            made.append(self.make(tmp_path))
            return made[-1]

        yield make
        for catalog in made:
            catalog.close()

    @pytest.fixture
    def catalog(self, opened: Callable[[], Catalog]) -> Catalog:
        """A new catalog."""
        return opened()

    def test_a_setting_is_forgotten(self, catalog: Catalog) -> None:
        """None takes it away; twice is fine."""
        catalog.set_setting("a", "b")
        for _ in range(2):
            catalog.set_setting("a", None)
            assert catalog.setting("a") is None

    def test_hidden_collections(self, catalog: Catalog) -> None:
        """A name that begins with ``~`` is among the others only where it is asked for."""
        document = document_of("s", "text")
        for name in ("b", "~b", "~a"):
            catalog.put(document, chunks_in(document, 2), collection=name, origin="x")
        assert catalog.collections() == ["b"]
        assert catalog.collections(hidden=True) == ["~a", "~b"]
        assert catalog.counts(collection="~a") == (1, 2)

    def test_rename_takes_everything_along(
        self, catalog: Catalog, opened: Callable[[], Catalog]
    ) -> None:
        """Documents, chunks, journal and positions; settings in the same transaction."""
        one, two = document_of("s", "first text"), document_of("s", "second text")
        catalog.put(one, chunks_in(one, 4), collection="a", origin="x")
        catalog.put(two, chunks_in(two, 4), collection="b", origin="y")
        catalog.set_setting("gone", "1")
        before = [(catalog.position(collection=c), catalog.floor(collection=c)) for c in "ab"]
        lines = catalog.changes(collection="b", after=0, limit=99)
        # in order, so that two can change places
        catalog.rename({"a": "~old", "b": "a", "~old": "b"}, settings={"n": "2", "gone": None})
        again = opened()
        assert [(again.position(collection=c), again.floor(collection=c)) for c in "ba"] == before
        assert again.changes(collection="a", after=0, limit=99) == lines
        assert again.document(two.id, collection="a") == two
        assert again.chunks_of(one.id, collection="b") == chunks_in(one, 4)
        assert (again.setting("n"), again.setting("gone")) == ("2", None)
        assert again.collections() == ["a", "b"]

    def test_rename_is_refused_whole(self, catalog: Catalog) -> None:
        """A name that is not there, or taken: nothing of it happens."""
        document = document_of("s", "text")
        for name in ("a", "b"):
            catalog.put(document, [], collection=name, origin="x")
        with pytest.raises(NotFound):
            catalog.rename({"a": "c", "never": "d"}, settings={"n": "1"})
        with pytest.raises(InputError):
            catalog.rename({"a": "b"})
        with pytest.raises(InputError):
            catalog.rename({"a": ""})
        assert (catalog.collections(), catalog.setting("n")) == (["a", "b"], None)
        catalog.remove([document.id], collection="b")
        catalog.rename({"a": "b"})
        assert catalog.collections() == ["b"]

    def test_drop_leaves_nothing(self, catalog: Catalog) -> None:
        """All that a collection had goes; others stay; the name begins anew, its positions not."""
        for number in range(3):
            document = document_of(f"s{number}", f"text {number}")
            for name in ("a", "b"):
                catalog.put(document, chunks_in(document, 3), collection=name, origin="x")
        reached = catalog.position(collection="a")
        assert catalog.drop("a") == 3
        assert catalog.drop("a") == catalog.drop("never") == 0
        assert catalog.counts(collection="a") == (0, 0)
        assert catalog.changes(collection="a", after=0, limit=99) == []
        assert catalog.counts(collection="b") == (3, 6)
        document = document_of("s0", "text 0")
        catalog.put(document, chunks_in(document, 3), collection="a", origin="x")
        assert catalog.position(collection="a") > reached

    def test_compaction_changes_nothing(self, catalog: Catalog) -> None:
        """A sound catalog has no problems, before and after."""
        documents = [document_of(f"s{number}", ODD * 50) for number in range(20)]
        for document in documents:
            catalog.put(document, chunks_in(document, 7), collection="c", origin="x")
        catalog.remove([document.id for document in documents[5:]], collection="c")
        assert catalog.problems() == []
        position = catalog.position(collection="c")
        catalog.compact()
        assert catalog.problems() == []
        assert catalog.position(collection="c") == position
        assert catalog.document(documents[0].id, collection="c") == documents[0]
        assert catalog.chunks_of(documents[1].id, collection="c") == chunks_in(documents[1], 7)


class IndexUpkeepSuite(ABC):
    """What an index promises that can be compared or compacted; any other passes by skipping."""

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

    def test_it_can_be_compared(self, index: Index, opened: Callable[[], Index]) -> None:
        """Where it is Auditable: it lists what it holds, and tells a chunk in another form."""
        if not isinstance(index, Auditable):
            pytest.skip("it does not list its chunks")
        chunks = random_chunks(30, seed=21)
        assert index.ids() == index.damaged(chunks) == []
        index.add(chunks)
        index.delete([chunk.id for chunk in chunks[25:]])
        index.commit(3)
        other = replace(chunks[4], context="zebra " * 5)
        for one in (index, opened()):
            assert isinstance(one, Auditable)
            assert sorted(one.ids()) == sorted(chunk.id for chunk in chunks[:25])
            assert one.damaged(chunks) == []
            assert one.damaged([chunks[0], other, chunks[29]]) == [other.id]

    def test_compaction_keeps_hits_and_position(
        self, index: Index, opened: Callable[[], Index]
    ) -> None:
        """Where it is Compactable: nothing that is found changes."""
        if not isinstance(index, Compactable):
            pytest.skip("it cannot be compacted")
        chunks = random_chunks(60, seed=22)
        index.add(chunks)
        index.delete([chunk.id for chunk in chunks[::2]])
        index.commit(5)
        before = index.search(["common rose", "lily"], k=99, where=Not(Exists("two")))
        reader = opened()
        for _ in range(2):
            index.compact()
            for one in (index, reader, opened()):
                assert (len(one), one.position) == (30, 5)
                found = one.search(["common rose", "lily"], k=99, where=Not(Exists("two")))
                assert found == before
