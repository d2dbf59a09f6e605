"""A commit stopped at each of its steps on the disk: what is found after is one state or the other.

Stopped by an exception that nothing here handles, and the object is dropped: the files are then as
a kill at that step leaves them. tests/crash kills real processes, at random times.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ragstack.index.bm25 import store
from ragstack.index.bm25.index import Bm25Index
from ragstack.testing.indexes import chunk_of
from ragstack.types import Hit

QUERIES = ["rose", "lily word7", "new rose"]
STEPS = ("fsync", "replace", "unlink", "ftruncate", "mkdir")


class Killed(BaseException):
    """Where the process ends."""


def state(index: Bm25Index) -> tuple[int, int, list[list[Hit]]]:
    return index.position, len(index), index.search(QUERIES, k=1_000)


def before(folder: Path) -> None:
    index = Bm25Index(folder)
    for number in range(3):
        index.add(
            [chunk_of(f"{number}-{n}", f"rose lily word{n}") for n in range((400, 60, 9)[number])]
        )
        index.commit(number + 1)
    index.close()


def change(index: Bm25Index, kind: str) -> None:
    index.add([chunk_of(f"new{n}", f"new rose {n}") for n in range(5)])
    index.delete([chunk_of(f"0-{n}", f"rose lily word{n}").id for n in range(20)])
    if kind == "closed up":
        index.delete([chunk_of(f"0-{n}", f"rose lily word{n}").id for n in range(400)])
    if kind == "merged":
        index.add([chunk_of(f"more{n}", f"rose word{n}") for n in range(300)])


def kill_after(point: int, patched: pytest.MonkeyPatch) -> None:
    steps = iter(range(point))

    def counted(real: Callable[..., Any], *args: Any, **more: Any) -> Any:
        if next(steps, None) is None:
            raise Killed
        return real(*args, **more)

    for name in STEPS:
        patched.setattr(os, name, partial(counted, getattr(os, name)))


@pytest.mark.parametrize("kind", ["appended", "merged", "closed up", "log rewritten"])
def test_each_step(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "log rewritten":
        monkeypatch.setattr(store, "_REWRITE", 0)
    origin, stopped = tmp_path / "origin", tmp_path / "stopped"
    before(origin)
    index = Bm25Index(origin)
    old = state(index)
    index.close()
    whole = tmp_path / "whole"
    shutil.copytree(origin, whole)
    index = Bm25Index(whole)
    change(index, kind)
    index.commit(9)
    new = state(index)
    index.close()
    assert old != new
    seen = set()
    for point in range(1_000):
        shutil.copytree(origin, stopped)
        index = Bm25Index(stopped)
        change(index, kind)
        with monkeypatch.context() as patched:
            kill_after(point, patched)
            try:
                index.commit(9)
                done = True
            except Killed:
                done = False
        del index
        again = Bm25Index(stopped)
        found = state(again)
        assert found in (old, new), point
        seen.add(found == new)
        change(again, kind)
        again.commit(9)
        assert state(again) == new, point
        again.close()
        shutil.rmtree(stopped)
        if done:
            break
    assert done and point >= 4
    assert seen == {False, True}
