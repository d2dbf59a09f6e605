"""A writer killed anywhere: nothing is lost, nothing is there twice, the next one completes it.

The documents change between the kills, so updates and removals are cut off too; so do the chunker,
which cuts everything anew, and the embedder, with which everything is built anew beside. When it
fails, look at what was committed before what: the catalog's transaction comes first, an index's
commit after, and a new generation is shown by one transaction when all of it is there.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ragstack import Stack
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.generations import folder_of
from ragstack.pipeline.verify import verify

EMBEDDERS = ({"use": "hashing"}, {"use": "hashing", "dimensions": 96})
CHUNKERS = ({"use": "markdown"}, {"use": "fixed", "size": 60, "overlap": 10})
DRIVER = """
import json
import sys
from ragstack import Stack
from ragstack.config import Plugin
from ragstack.pipeline.reindex import reindex
overrides, wish = json.loads(sys.argv[3]), json.loads(sys.argv[4])
with Stack.open(sys.argv[1], overrides=overrides) as stack:
    stack.parts.indexes("default")
    print("ready", flush=True)
    if wish is None:
        stack.ingest(sys.argv[2])
    else:
        use = wish.pop("use")
        reindex(stack, embed=Plugin(use, wish))
print("done", flush=True)
"""
WORDS = ["harbour", "light", "keeper", "honey", "bee", "flour", "oven", "tide", "moon", "cart"]
EVERY = " ".join(WORDS)


def document(number: int, edition: int, chance: random.Random) -> str:
    paragraphs = [
        f"Paragraph {n} of document {number}, edition {edition}: "
        + " ".join(chance.choices(WORDS, k=60))
        for n in range(8)
    ]
    return "\n\n".join(paragraphs)


def change(folder: Path, editions: dict[int, int], chance: random.Random) -> None:
    """Add, change and remove documents, as people do."""
    for number in chance.sample(range(24), k=8):
        path = folder / f"{number}.txt"
        if number in editions and chance.random() < 0.3:
            del editions[number]
            path.unlink()
        else:
            editions[number] = editions.get(number, 0) + 1
            path.write_text(document(number, editions[number], chance), "utf-8")


def overrides(chunker: int) -> dict[str, object]:
    return {"embed": EMBEDDERS[0], "chunk": CHUNKERS[chunker], "ingest": {"batch": 8}}


@dataclass(frozen=True)
class Writer:
    """A process that writes to a base.

    Attributes:
        chunker: Which one the configuration names.
        embedder: The one with which the base is built anew; None ingests.
    """

    base: Path
    folder: Path
    chunker: int = 0
    embedder: int | None = None

    @property
    def told(self) -> tuple[object, ...]:
        """The driver and its arguments."""
        wish = None if self.embedder is None else EMBEDDERS[self.embedder]
        settings = json.dumps(overrides(self.chunker))
        return DRIVER, self.base, self.folder, settings, json.dumps(wish)


def opened(base: Path, chunker: int = 0) -> Stack:
    return Stack.open(base, overrides=overrides(chunker), generator=ScriptedGenerator([]))


def check(base: Path) -> None:
    """Hold the base to its promises, whatever it was doing when it was killed."""
    with opened(base) as stack:
        stack.catch_up()
        chunks = [
            chunk
            for info in stack.documents()
            for chunk in stack.parts.catalog.chunks_of(info.id, collection="default")
        ]
        ids = [chunk.id for chunk in chunks]
        assert len(ids) == len(set(ids)) == stack.stats()["chunks"]
        for info in stack.documents():
            found = stack.document(info.id)
            assert found is not None
            mine = [chunk for chunk in chunks if chunk.document_id == info.id]
            assert len(mine) == info.chunks
            assert all(found.text[c.start : c.end] == c.text for c in mine)
        for index in stack.parts.indexes("default").values():
            (hits,) = index.search([f"{EVERY} document edition"], k=len(ids) + 10)
            assert len(index) == len(ids)
            assert {hit.chunk_id for hit in hits} == set(ids)
        report = verify(stack, sample=None)
        assert report.ok, report


def soak(work: Callable[..., float], tmp_path: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    base, folder = tmp_path / "kb", tmp_path / "documents"
    folder.mkdir()
    editions: dict[int, int] = {}
    change(folder, editions, chance)
    embedder = chunker = 0
    whole = work(*Writer(base, folder).told, delay=None)
    for _ in range(kills):
        change(folder, editions, chance)
        kind = chance.choice(("ingest", "ingest", "chunker", "embedder"))
        if kind == "embedder":
            embedder = 1 - embedder
        elif kind == "chunker":
            chunker = 1 - chunker
        writer = Writer(base, folder, chunker, embedder if kind == "embedder" else None)
        work(*writer.told, delay=chance.uniform(0.0, 1.1 * whole))
        check(base)
    # Whatever was left half built is finished first, and the configuration's chunker holds again.
    work(*Writer(base, folder, chunker, embedder).told, delay=None)
    work(*Writer(base, folder, chunker).told, delay=None)
    fresh_base = tmp_path / "fresh"
    work(*Writer(fresh_base, folder, chunker).told, delay=None)
    work(*Writer(fresh_base, folder, chunker, embedder).told, delay=None)
    check(base)
    with opened(base, chunker) as killed, opened(fresh_base, chunker) as fresh:
        mine = {i.source: (i.digest, i.chunks) for i in killed.documents()}
        assert mine == {i.source: (i.digest, i.chunks) for i in fresh.documents()}
        assert len(mine) == len(editions)
        assert killed.stats()["embedder"] == fresh.stats()["embedder"]
        for word in WORDS:
            assert [p.chunk.id for p in killed.search(word, k=3, where=None)]
        vector = [hit for hit in fresh.parts.indexes("default")["vector"].search(WORDS, k=5)]
        assert killed.parts.indexes("default")["vector"].search(WORDS, k=5) == vector
        assert [path.name for path in (base / "collections").iterdir()] == [
            folder_of("default", killed.parts.generation)
        ]
        assert killed.parts.catalog.collections(hidden=True) == []


@pytest.mark.slow
def test_twenty_five_kills(work: Callable[..., float], tmp_path: Path) -> None:
    soak(work, tmp_path, kills=25, seed=20261121)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(12))
def test_hundreds_of_kills(work: Callable[..., float], tmp_path: Path, seed: int) -> None:
    soak(work, tmp_path, kills=40, seed=seed)
