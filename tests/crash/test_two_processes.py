"""One process writes, others search: no error, and of each document all that it is, or nothing.

Each document says in every chunk which edition it is of and how many chunks that edition has, so a
reader can count. When it fails, look at who looks things up in which order (pipeline/retrieve.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragstack import Stack
from ragstack.errors import BaseLocked

Start = Callable[..., Any]

OVERRIDES = {"embed": {"use": "hashing", "dimensions": 64}, "ingest": {"batch": 16}}
# A document of edition e has 3 + e % 9 chunks; from edition to edition some ids stay as they were.
COMMON = """
import itertools, json, sys, time
from ragstack import Stack
from ragstack.config import Plugin
from ragstack.pipeline.reindex import reindex
from ragstack.pipeline.verify import verify
from ragstack.testing.catalogs import document_of
from ragstack.types import Chunk
OVERRIDES = json.loads(sys.argv[2])
TEXT = "harbour light and keeper of the tide " * 40

def put(stack, number, edition):
    document = document_of(f"d{number}", TEXT)
    count = 3 + edition % 9
    chunks = [
        Chunk(document.id, document.version, 9 * n, 9 * n + 60, TEXT[9 * n : 9 * n + 60],
              context=f"edition {edition}", meta={"edition": edition, "of": count})
        for n in range(count)
    ]
    stack.parts.catalog.put(document, chunks, collection="default", origin="x")
"""
WRITER = (
    COMMON
    + """
import random
dice, end, rounds = random.Random(1), time.monotonic() + float(sys.argv[3]), 0
with Stack.open(sys.argv[1], overrides=OVERRIDES) as stack:
    print("ready", flush=True)
    while time.monotonic() < end:
        rounds += 1
        with stack.writing():
            for number in dice.sample(range(12), k=4):
                put(stack, number, rounds)
            if rounds % 5 == 0:
                gone = document_of(f"d{dice.randrange(12)}", TEXT).id
                stack.parts.catalog.remove([gone], collection="default")
            stack.catch_up()
    assert verify(stack).ok
print(rounds, flush=True)
"""
)
READER = (
    COMMON
    + """
from collections import defaultdict
seen, searches, halves = set(), 0, []
end = time.monotonic() + float(sys.argv[3])
with Stack.open(sys.argv[1], overrides=OVERRIDES) as stack:
    while time.monotonic() < end:
        searches += 1
        documents = defaultdict(list)
        for passage in stack.search("harbour light", k=500):
            documents[passage.chunk.document_id].append(passage.chunk)
        for document_id, chunks in documents.items():
            editions = {chunk.meta["edition"] for chunk in chunks}
            seen |= editions
            if len(editions) != 1 or len(chunks) != chunks[0].meta["of"]:
                halves.append((document_id, sorted(editions), len(chunks), chunks[0].meta["of"]))
print(json.dumps({"searches": searches, "seen": len(seen), "halves": halves[:5]}), flush=True)
"""
)


def readers_beside_a_writer(start: Start, base: Path, *, seconds: float, readers: int) -> None:
    told = base, json.dumps(OVERRIDES), seconds
    writer = start(WRITER, *told)
    writer.ready()
    others = [start(READER, *told) for _ in range(readers)]
    rounds = writer.finish(timeout_s=seconds + 120)
    for reader in others:
        found = json.loads(reader.finish(timeout_s=120))
        assert found["halves"] == []
        assert found["searches"] > 5
        assert found["seen"] > 1
    assert int(rounds) > 2


@pytest.mark.slow
def test_readers_beside_a_writer(start: Start, tmp_path: Path) -> None:
    readers_beside_a_writer(start, tmp_path / "kb", seconds=8, readers=2)


@pytest.mark.soak
def test_readers_beside_a_writer_for_minutes(start: Start, tmp_path: Path) -> None:
    readers_beside_a_writer(start, tmp_path / "kb", seconds=240, readers=4)


@pytest.mark.slow
def test_a_second_writer_is_told(start: Start, tmp_path: Path) -> None:
    with Stack.open(tmp_path / "kb", overrides=OVERRIDES) as stack:
        stack.catch_up()
        writer = start(COMMON + HOLDER, tmp_path / "kb", json.dumps(OVERRIDES), 30)
        writer.ready()
        with pytest.raises(BaseLocked, match=f"process {writer.pid}"):
            stack.catch_up()
        assert stack.search("harbour") == []
        writer.kill()
        deadline = time.monotonic() + 10
        while True:
            try:
                stack.catch_up()
                break
            except BaseLocked:
                assert time.monotonic() < deadline
                time.sleep(0.05)


HOLDER = """
with Stack.open(sys.argv[1], overrides=OVERRIDES) as stack, stack.writing():
    print("ready", flush=True)
    time.sleep(float(sys.argv[3]))
"""


@pytest.mark.slow
def test_readers_go_over_to_a_new_generation(start: Start, tmp_path: Path) -> None:
    told = tmp_path / "kb", json.dumps(OVERRIDES), 6
    writer = start(COMMON + REBUILD, *told)
    writer.ready()
    reader = start(COMMON + STEADY, *told)
    generations = writer.finish(timeout_s=240)
    found = json.loads(reader.finish(timeout_s=120))
    assert found["short"] == []
    assert found["generations"] > 1
    assert int(generations) > 1


REBUILD = """
end = time.monotonic() + float(sys.argv[3])
with Stack.open(sys.argv[1], overrides=OVERRIDES) as stack:
    stack.parts.record_embedder()
    for number in range(12):
        put(stack, number, 1)
    stack.catch_up()
    print("ready", flush=True)
    generation = 0
    while time.monotonic() < end or generation < 3:
        size = 32 + 32 * (generation % 2)
        embed = Plugin("hashing", {"dimensions": size})
        report = reindex(stack, embed=embed, chunk=Plugin("fixed", {"size": size, "overlap": 0}))
        generation = report.generation
print(generation, flush=True)
"""
STEADY = """
end = time.monotonic() + float(sys.argv[3])
short, generations = [], set()
with Stack.open(sys.argv[1], overrides=OVERRIDES) as stack:
    while time.monotonic() < end or (len(generations) < 2 and time.monotonic() < end + 100):
        found = stack.search("harbour light", k=2_000)
        if len({passage.chunk.document_id for passage in found}) != 12:
            short.append((stack.parts.generation, len(found)))
        generations.add(stack.parts.generation)
print(json.dumps({"short": short[:5], "generations": len(generations)}), flush=True)
"""
