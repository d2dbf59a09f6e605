"""A graph store against a slow model: a dict of entities and a set of facts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ragstack.graph.sqlite import SqliteGraphStore
from ragstack.types import Entity, Relation

IDS = [f"e{number}" for number in range(6)]
CHUNKS = [f"c{number}" for number in range(4)]
entity_ids = st.sampled_from(IDS)
entities = st.builds(
    Entity, entity_ids, st.sampled_from(["Ada", "ADA", "Élan", "élan", "x y"]), st.just("thing")
)
relations = st.builds(
    Relation, entity_ids, st.sampled_from(["p", "q"]), entity_ids, st.sampled_from(CHUNKS)
)


def ordered(facts: set[Relation]) -> list[Relation]:
    return sorted(
        facts, key=lambda fact: (fact.subject, fact.predicate, fact.object, fact.chunk_id)
    )


class GraphAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "graph.db"
        self.store = SqliteGraphStore(self.path)
        self.entities: dict[str, Entity] = {}
        self.facts: set[Relation] = set()

    @rule(given=st.lists(entities, max_size=4), facts=st.lists(relations, max_size=5))
    def add(self, given: list[Entity], facts: list[Relation]) -> None:
        known = {**self.entities, **{item.id: item for item in given}}
        kept = [fact for fact in facts if fact.subject in known and fact.object in known]
        self.store.add(given, kept)
        self.entities = known
        self.facts |= set(kept)

    @rule(chunk_ids=st.lists(st.sampled_from([*CHUNKS, "unknown"]), max_size=3))
    def delete(self, chunk_ids: list[str]) -> None:
        self.store.delete(chunk_ids)
        gone = {fact for fact in self.facts if fact.chunk_id in chunk_ids}
        self.facts -= gone
        named = {end for fact in self.facts for end in (fact.subject, fact.object)}
        for fact in gone:
            for end in (fact.subject, fact.object):
                if end not in named:
                    self.entities.pop(end, None)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = SqliteGraphStore(self.path)

    @rule(
        seeds=st.lists(entity_ids, max_size=3),
        hops=st.integers(0, 4),
        limit=st.integers(0, 12),
    )
    def subgraph(self, seeds: list[str], hops: int, limit: int) -> None:
        reached, found = set(seeds), list[Relation]()
        for _ in range(hops):
            near = {f for f in self.facts if f.subject in reached or f.object in reached}
            found += ordered(near - set(found))
            reached |= {end for fact in near for end in (fact.subject, fact.object)}
        assert self.store.subgraph(seeds, hops=hops, limit=limit) == found[:limit]

    @rule(names=st.lists(st.sampled_from(["ada", "ÉLAN", "X Y", "none"]), max_size=3))
    def find(self, names: list[str]) -> None:
        folded = {name.casefold() for name in names}
        expected = [item for item in self.entities.values() if item.name.casefold() in folded]
        assert self.store.find(names) == sorted(expected, key=lambda item: item.id)

    @invariant()
    def neighbours_are_the_model_s(self) -> None:
        assert self.store.neighbours(IDS, limit=1_000) == ordered(self.facts)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestGraphAgainstModel = GraphAgainstModel.TestCase
TestGraphAgainstModel.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
