"""The promises of a graph store, as tests: subclass ``GraphStoreSuite`` and write ``make``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from ragstack.errors import InputError
from ragstack.protocols import Closeable, GraphStore
from ragstack.types import Entity, Relation

__all__ = ["GraphStoreSuite"]

ADA = Entity("e:ada", "Ada Lovelace", "person")
BABBAGE = Entity("e:babbage", "Charles Babbage", "person")
ENGINE = Entity("e:engine", "Analytical Engine", "machine")
LONDON = Entity("e:london", "London", "place")
ENGLAND = Entity("e:england", "England", "place")
ALL = (ADA, BABBAGE, ENGINE, LONDON, ENGLAND)

WROTE = Relation(ADA.id, "wrote about", ENGINE.id, "c1")
KNEW = Relation(ADA.id, "knew", BABBAGE.id, "c1")
DESIGNED = Relation(BABBAGE.id, "designed", ENGINE.id, "c2")
LIVED = Relation(BABBAGE.id, "lived in", LONDON.id, "c2")
WITHIN = Relation(LONDON.id, "is in", ENGLAND.id, "c3")
FACTS = (WROTE, KNEW, DESIGNED, LIVED, WITHIN)


class GraphStoreSuite(ABC):
    """What every graph store promises."""

    @abstractmethod
    def make(self) -> GraphStore:
        """Return a new, empty store."""

    @pytest.fixture
    def store(self) -> Iterator[GraphStore]:
        """A new store, closed after the test if it can be."""
        made = self.make()
        yield made
        if isinstance(made, Closeable):
            made.close()

    def test_empty_in_empty_out(self, store: GraphStore) -> None:
        """Nothing stored and nothing asked are both fine: no error, no result."""
        store.add([], [])
        store.delete([])
        assert store.neighbours([], limit=5) == []
        assert store.subgraph([], hops=2, limit=5) == []
        assert store.find([]) == []
        assert store.neighbours(["unknown"], limit=5) == []

    def test_find_ignores_letter_case_and_orders_by_id(self, store: GraphStore) -> None:
        """Compare names with ``casefold``, not with the database's own lower case (É, ß)."""
        upper = Entity("e:2", "ÉCOLE DES MINES", "place")
        street = Entity("e:1", "Hauptstraße", "place")
        twin = Entity("e:3", "École des mines", "school")
        store.add([twin, upper, street], [])
        assert store.find(["école des MINES"]) == [upper, twin]
        assert store.find(["HAUPTSTRASSE", "nobody"]) == [street]

    def test_find_gives_an_entity_once(self, store: GraphStore) -> None:
        """Two spellings of one name must not return it twice."""
        store.add([ADA], [])
        assert store.find(["ada lovelace", "Ada Lovelace"]) == [ADA]

    def test_add_twice_is_add_once(self, store: GraphStore) -> None:
        """Entities are kept by id, facts by content; a repeated ingest must change nothing."""
        store.add(ALL, FACTS)
        store.add(ALL, FACTS)
        assert store.neighbours([ADA.id], limit=10) == [KNEW, WROTE]
        assert store.find([ADA.name]) == [ADA]

    def test_an_entity_is_renamed_by_id(self, store: GraphStore) -> None:
        """The newer name and type stand; the older name finds nothing."""
        store.add([ADA], [])
        renamed = Entity(ADA.id, "Augusta Ada King", "mathematician")
        store.add([renamed], [])
        assert store.find([ADA.name]) == []
        assert store.find(["augusta ada king"]) == [renamed]

    def test_a_fact_needs_its_entities(self, store: GraphStore) -> None:
        """A fact about nobody is refused, and nothing of that call is kept."""
        with pytest.raises(InputError):
            store.add([ADA], [KNEW])
        assert store.find([ADA.name]) == []
        assert store.neighbours([ADA.id], limit=5) == []

    def test_a_fact_may_name_entities_stored_before(self, store: GraphStore) -> None:
        """Only entities that are neither given nor stored are missing."""
        store.add([ADA, BABBAGE], [])
        store.add([], [KNEW])
        assert store.neighbours([BABBAGE.id], limit=5) == [KNEW]

    def test_every_chunk_that_says_it_keeps_its_share(self, store: GraphStore) -> None:
        """A fact said by two chunks survives the deletion of one, with the other as its source."""
        again = Relation(KNEW.subject, KNEW.predicate, KNEW.object, "c9")
        store.add([ADA, BABBAGE], [KNEW, again])
        store.delete(["c1"])
        assert store.neighbours([ADA.id], limit=5) == [again]
        assert store.find([ADA.name, BABBAGE.name]) == [ADA, BABBAGE]

    def test_delete_takes_entities_that_no_fact_names(self, store: GraphStore) -> None:
        """c1 alone names Ada; Babbage and the engine are named by c2 as well."""
        store.add(ALL, FACTS)
        store.delete(["c1"])
        assert store.find([ADA.name, BABBAGE.name, ENGINE.name]) == [BABBAGE, ENGINE]
        assert store.neighbours([BABBAGE.id], limit=5) == [DESIGNED, LIVED]

    def test_delete_ignores_the_unknown(self, store: GraphStore) -> None:
        """An unknown chunk is no error, and takes nothing with it."""
        store.add([*ALL, Entity("e:alone", "Alone", "thing")], FACTS)
        store.delete(["c0", "c0"])
        assert len(store.subgraph([ADA.id], hops=9, limit=99)) == len(FACTS)
        assert len(store.find(["Alone"])) == 1

    def test_neighbours_touch_at_either_end_in_a_fixed_order(self, store: GraphStore) -> None:
        """Subject or object; by subject, predicate, object, chunk, whatever the order of adding."""
        store.add(ALL, FACTS[::-1])
        assert store.neighbours([ENGINE.id], limit=5) == [WROTE, DESIGNED]
        assert store.neighbours([ENGINE.id, ADA.id], limit=5) == [KNEW, WROTE, DESIGNED]
        assert store.neighbours([ENGINE.id, ADA.id], limit=2) == [KNEW, WROTE]

    def test_subgraph_is_breadth_first(self, store: GraphStore) -> None:
        """Nearest first: a fact two steps away never stands before one a step away."""
        store.add(ALL, FACTS)
        assert store.subgraph([ENGLAND.id], hops=0, limit=9) == []
        assert store.subgraph([ENGLAND.id], hops=1, limit=9) == [WITHIN]
        assert store.subgraph([ENGLAND.id], hops=2, limit=9) == [WITHIN, LIVED]
        assert store.subgraph([ENGLAND.id], hops=3, limit=9) == [WITHIN, LIVED, KNEW, DESIGNED]
        assert store.subgraph([ENGLAND.id], hops=9, limit=9) == [
            WITHIN,
            LIVED,
            KNEW,
            DESIGNED,
            WROTE,
        ]

    def test_subgraph_keeps_its_limit(self, store: GraphStore) -> None:
        """The limit cuts the farthest, and 0 gives nothing."""
        store.add(ALL, FACTS)
        assert store.subgraph([ENGLAND.id], hops=9, limit=3) == [WITHIN, LIVED, KNEW]
        assert store.subgraph([ENGLAND.id], hops=9, limit=0) == []

    def test_a_circle_ends(self, store: GraphStore) -> None:
        """A walk that comes back to where it was returns each fact once."""
        ring = [Relation(ALL[n].id, "next", ALL[(n + 1) % 5].id, "c1") for n in range(5)]
        loop = Relation(ADA.id, "is", ADA.id, "c1")
        store.add(ALL, [*ring, loop])
        found = store.subgraph([ADA.id], hops=50, limit=50)
        assert sorted(found, key=repr) == sorted([*ring, loop], key=repr)

    def test_negative_bounds_are_refused(self, store: GraphStore) -> None:
        """A negative limit means «all» to some databases; here it is a mistake."""
        with pytest.raises(InputError):
            store.neighbours([ADA.id], limit=-1)
        with pytest.raises(InputError):
            store.subgraph([ADA.id], hops=-1, limit=1)

    def test_a_lone_string_is_refused(self, store: GraphStore) -> None:
        """A str is a sequence of strings to Python; nobody means its letters."""
        with pytest.raises(InputError):
            store.delete("c1")
        with pytest.raises(InputError):
            store.find("Ada")
        with pytest.raises(InputError):
            store.neighbours("e:ada", limit=1)
        with pytest.raises(InputError):
            store.subgraph("e:ada", hops=1, limit=1)

    def test_names_are_text_not_syntax(self, store: GraphStore) -> None:
        """Quotes, wildcards, braces and line breaks in ids and names mean themselves."""
        odd = [
            Entity(name, name, "odd")
            for name in (
                "a' OR 1=1 --",
                "100%",
                "{x}",
                'say "hi"',
                "two\nlines",
                "\\",
                "𝄞",
                "a\0b",
                "a",
            )
        ]
        facts = [Relation(item.id, item.name, odd[0].id, item.id) for item in odd]
        store.add(odd, facts)
        for item, fact in zip(odd[1:], facts[1:], strict=True):
            assert store.find([item.name]) == [item]
            assert store.neighbours([item.id], limit=9) == [fact]
        store.delete([odd[1].id])
        assert store.find([item.name for item in odd[1:3]]) == [odd[2]]

    def test_inputs_are_left_alone(self, store: GraphStore) -> None:
        """The caller's lists are not sorted, emptied or kept."""
        entities, relations, chunk_ids = list(ALL[::-1]), list(FACTS), ["c3", "c1"]
        store.add(entities, relations)
        relations.clear()
        assert len(store.subgraph([ADA.id], hops=9, limit=9)) == len(FACTS)
        store.delete(chunk_ids)
        assert entities == list(ALL[::-1])
        assert chunk_ids == ["c3", "c1"]
