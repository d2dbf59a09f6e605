"""No search of any kind shows a chunk to who may not read it: over every kind of index there is."""

from __future__ import annotations

import inspect
import random
from pathlib import Path

import pytest

from ragstack import Stack, registry
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import MissingExtra, RagstackError
from ragstack.filters import Filter, matches
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.duplicates import duplicates
from ragstack.pipeline.facets import fields_of
from ragstack.pipeline.retrieve import visible
from ragstack.protocols import Index
from ragstack.testing.conditions import random_chunks, random_filter
from ragstack.types import Chunk

PEOPLE = ("ann", "bob", "group:staff", "", "nobody")
WORDS = ("common rose", "lily", "fern moss", "word7 word31", "")


def made(kind: str, folder: Path) -> Index:
    """Return an index of a kind with its own defaults, or skip what cannot be had here."""
    try:
        index: Index = registry.create(
            "indexes", kind, {}, folder=folder, embedder=HashingEmbedder(dimensions=64)
        )
    except (MissingExtra, RagstackError, TypeError) as error:
        pytest.skip(f"{kind} needs more than a folder and an embedder: {error}")
    return index


def askers(dice: random.Random) -> tuple[str, ...]:
    return tuple(dice.sample(PEOPLE, dice.randrange(4)))


@pytest.mark.parametrize("kind", sorted(registry.TABLE["indexes"]))
def test_an_index_shows_only_what_may_be_read(kind: str, tmp_path: Path) -> None:
    index, dice = made(kind, tmp_path / kind), random.Random(3)
    alive: dict[str, Chunk] = {}
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
                    chunk = alive[hit.chunk_id]
                    assert matches(where, chunk.meta, chunk.readers)
                    assert not chunk.readers or set(chunk.readers) & set(asker)
    index.close()


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
