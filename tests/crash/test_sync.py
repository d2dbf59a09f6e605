"""A sync killed anywhere while its place changes: the base holds what the place does, once.

When it fails, look at what is remembered before what is written (pipeline/visit.py).
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragstack import Stack
from ragstack.errors import BaseLocked
from ragstack.pipeline.verify import verify

DRIVER = """
import json, sys, time
from pathlib import Path
from ragstack import Stack, registry
from ragstack.pipeline.places import places_of
from ragstack.pipeline.sync import sync_place
from ragstack.pipeline.turns import Bounds

files = registry.load("connectors", "files")
fetch = files.fetch

def slowly(self, **given):
    for each in fetch(self, **given):
        time.sleep(0.01)
        yield each

files.fetch = slowly
with Stack.open(sys.argv[1], overrides=json.loads(sys.argv[2])) as stack:
    stack.parts.indexes("default")
    print("ready", flush=True)
    (place,) = places_of(stack.config.sync)
    found = sync_place(stack, place, bounds=Bounds(count=3))
print("done" if not found.error else found.error, flush=True)
"""
WORDS = ["harbour", "light", "keeper", "honey", "bee", "flour", "oven", "tide", "moon", "cart"]


def change(folder: Path, count: int, chance: random.Random) -> None:
    """Add, change and remove files; half of those that come are older than every sync."""
    there = sorted(folder.iterdir())
    for path in chance.sample(there, k=min(len(there), count // 2)):
        if chance.random() < 0.5:
            path.unlink()
        else:
            path.write_text(" ".join(chance.choices(WORDS, k=90)), "utf-8")
    for _ in range(count // 2):
        path = folder / f"{chance.getrandbits(40)}.txt"
        path.write_text(" ".join(chance.choices(WORDS, k=90)), "utf-8")
        if chance.random() < 0.5:
            os.utime(path, (1_000_000_000, 1_000_000_000))


def overrides(folder: Path) -> dict[str, object]:
    return {
        "embed": {"use": "hashing", "dimensions": 32},
        "chunk": {"use": "fixed", "size": 200, "overlap": 0},
        "ingest": {"batch": 8},
        "sync": {"docs": {"use": "files", "paths": [str(folder)]}},
    }


def soak(work: Callable[..., float], tmp_path: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    base, folder, letters = tmp_path / "kb", tmp_path / "docs", tmp_path / "letters"
    folder.mkdir()
    letters.mkdir()
    told = DRIVER, base, json.dumps(overrides(folder))
    change(folder, 20, chance)
    whole = work(*told, delay=None)
    for number in range(kills):
        change(folder, 10, chance)
        work(*told, delay=chance.uniform(0.0, whole))
        if number % 3 == 0:  # another writer, over what the killed one left
            letter = letters / f"{number}.txt"
            letter.write_text(f"Letter {number} of the harbour.")
            with Stack.open(base, overrides=overrides(folder)) as stack:
                stack.ingest(letter)
    work(*told, delay=None)
    with Stack.open(base, overrides=overrides(folder)) as stack:
        sources = [info.source for info in stack.documents()]
        wanted = {
            path.resolve().as_posix() for each in (folder, letters) for path in each.iterdir()
        }
        assert len(sources) == len(set(sources))
        assert set(sources) == wanted
        for info in stack.documents():
            found = stack.document(info.id)
            assert found is not None
            assert found.text.strip() == Path(info.source).read_text("utf-8").strip()
        assert verify(stack, sample=None).ok
        assert stack.parts.catalog.records("sync_batch") == []


@pytest.mark.slow
def test_eight_kills(work: Callable[..., float], tmp_path: Path) -> None:
    soak(work, tmp_path, kills=8, seed=20_261_121)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(6))
def test_a_hundred_kills(work: Callable[..., float], tmp_path: Path, seed: int) -> None:
    soak(work, tmp_path, kills=100, seed=seed)


@pytest.mark.slow
def test_a_slow_place_keeps_nobody_from_writing(start: Callable[..., Any], tmp_path: Path) -> None:
    base, folder, letter = tmp_path / "kb", tmp_path / "docs", tmp_path / "letter.txt"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.txt").write_text(f"File {number} of the harbour.")
    letter.write_text("A letter of the keeper.")
    process = start(DRIVER, base, json.dumps(overrides(folder)))
    process.ready()
    taken = 0
    with Stack.open(base, overrides={**overrides(folder), "sync": {}}) as stack:
        while not process.ended:
            letter.write_text(f"A letter of the keeper, edition {taken}.")
            try:
                stack.ingest(letter)
            except BaseLocked:
                time.sleep(0.002)
            else:
                taken += 1
        assert process.finish(timeout_s=60) == "done\n"
        assert taken >= 3
        assert len(stack.documents()) == 61
        assert verify(stack, sample=None).ok
