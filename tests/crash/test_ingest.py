"""An ingest killed anywhere: nothing is lost, nothing is there twice, the next one completes it.

The documents change between the kills, so updates and removals are cut off too. When it fails, look
at what was committed before what: the catalog's transaction comes first, an index's commit after.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ragstack import Stack
from ragstack.generate.scripted import ScriptedGenerator

OVERRIDES = {"embed": {"use": "hashing"}, "ingest": {"batch": 8}}
DRIVER = """
import sys
from ragstack import Stack
overrides = {"embed": {"use": "hashing"}, "ingest": {"batch": 8}}
with Stack.open(sys.argv[1], overrides=overrides) as stack:
    stack.parts.indexes("default")
    print("ready", flush=True)
    stack.ingest(sys.argv[2])
print("done", flush=True)
"""
WORDS = ["harbour", "light", "keeper", "honey", "bee", "flour", "oven", "tide", "moon", "cart"]


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


def run(base: Path, folder: Path, *, delay: float | None) -> float:
    """Ingest in another process, killed after a delay; return the seconds it ran."""
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(base), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
    begun = time.perf_counter()
    if delay is not None:
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    out, errors = process.communicate(timeout=300)
    if delay is None:
        assert out == "done\n", errors
    return time.perf_counter() - begun


def opened(base: Path) -> Stack:
    return Stack.open(base, overrides=OVERRIDES, generator=ScriptedGenerator([]))


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
            hits = index.search(["harbour document edition"], k=len(ids) + 10)[0]
            assert len(index) == len(ids)
            assert {hit.chunk_id for hit in hits} == set(ids)


def soak(tmp_path: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    base, folder = tmp_path / "kb", tmp_path / "documents"
    folder.mkdir()
    editions: dict[int, int] = {}
    change(folder, editions, chance)
    whole = run(base, folder, delay=None)
    for _ in range(kills):
        change(folder, editions, chance)
        run(base, folder, delay=chance.uniform(0.0, 1.1 * whole))
        check(base)
    run(base, folder, delay=None)
    run(tmp_path / "fresh", folder, delay=None)
    with opened(base) as killed, opened(tmp_path / "fresh") as fresh:
        mine = {i.source: i.digest for i in killed.documents()}
        assert mine == {i.source: i.digest for i in fresh.documents()}
        assert len(mine) == len(editions)
        for word in WORDS:
            assert [p.chunk.id for p in killed.search(word, k=3, where=None)]
        vector = [hit for hit in fresh.parts.indexes("default")["vector"].search(WORDS, k=5)]
        assert killed.parts.indexes("default")["vector"].search(WORDS, k=5) == vector


@pytest.mark.slow
def test_twenty_five_kills(tmp_path: Path) -> None:
    soak(tmp_path, kills=25, seed=20261121)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(12))
def test_hundreds_of_kills(tmp_path: Path, seed: int) -> None:
    soak(tmp_path, kills=40, seed=seed)
