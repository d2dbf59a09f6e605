"""Builds the structure over an index's vectors beside its life, and publishes it in one step.

``near.json`` names the file, the rows it covers and what it was measured to find. It is derived:
what is missing, damaged or of another generation is ignored and built anew; the exact file of
vectors answers meanwhile. One builder at a time, of all processes.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ragstack.errors import IndexStateError
from ragstack.index import codes
from ragstack.index import near as structures
from ragstack.index.attributes import Bits
from ragstack.index.exact import threads
from ragstack.index.near import RECIPES, Measured, Near
from ragstack.protocols import Vectors

__all__ = ["Goal", "Published", "Shelf"]

_logger = logging.getLogger(__name__)

_MANIFEST, _LOCK = "near.json", "near.lock"
_PREFIX = "near"
_GROWN = 1.25  # beyond so many times the rows it was measured over, it is measured again


@dataclass(frozen=True, slots=True)
class Goal:
    """What a structure is built for.

    Attributes:
        kinds: Names in ``RECIPES``, tried in order until one reaches the recall.
        generation: Of the files of vectors.
        recall: Share of the true neighbours that is to be found.
    """

    kinds: tuple[str, ...]
    generation: int
    recall: float


@dataclass(frozen=True, slots=True)
class Published:
    """A structure that was read, and what is known of it.

    Attributes:
        trained: Rows it was trained over.
        wanted: Names in ``RECIPES`` that were to be tried.
        asked: Rows over which it was measured; some have been added since.
        seconds: What building it took.
    """

    near: Near
    generation: int
    trained: int
    wanted: tuple[str, ...]
    measured: Measured
    asked: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Tried:
    near: Near
    trained: int
    measured: Measured
    asked: int


class Shelf:
    """The place in an index's folder where its structure lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: tuple[int, int, int] | None = None
        self._held: Published | None = None

    def names(self) -> list[str]:
        """Return the names of its files, unfinished ones too."""
        try:
            return [name for name in os.listdir(self._folder) if name.startswith(_PREFIX)]
        except FileNotFoundError:
            return []

    def get(self) -> Published | None:
        """Return what is published now, or None; damage counts as nothing and is logged."""
        stamp = self._now()
        if stamp != self._stamp:
            self._held = self._read(mapped=True) if stamp else None
            self._stamp = stamp  # last: until then another thread reads for itself
        return self._held

    def publish(self, vectors: Vectors, alive: Bits, goal: Goal) -> Published | None:
        """Build a structure, measure it, and put it in place of the one there.

        Returns:
            None where another process builds one now, or the folder was replaced meanwhile.
        """
        lock = self._lock()
        if lock is None:
            return None
        try:
            began = time.monotonic()
            # Half of the cores: who searches meanwhile is not to wait, and threads of OpenMP that
            # wait for each other on a busy machine took 430 s for what one does in 40.
            with threads(max(1, (os.cpu_count() or 1) // 2)):
                best = self._best(vectors, alive, goal, lock)
            near, measured = best.near, best.measured
            copies = self._codes(goal.generation).name if near.codes else ""
            name = f"{_PREFIX}-{goal.generation}-{near.rows}-{uuid.uuid4().hex[:8]}.faiss"
            path = self._folder / name
            near.save(path)
            _sync(path)
            found = {
                "format": 1,
                "file": name,
                "bytes": path.stat().st_size,
                "kind": near.kind,
                "wanted": list(goal.kinds),
                "generation": goal.generation,
                "rows": near.rows,
                "dimensions": int(vectors.shape[1]),
                "codes": copies,
                "trained": best.trained,
                "effort": list(near.effort),
                "measured": asdict(measured),
                "asked": best.asked,
                "seconds": round(time.monotonic() - began, 3),
            }
            if not self._same(lock):
                path.unlink(missing_ok=True)
                return None
            part = self._folder / f"{_PREFIX}.part"
            part.write_bytes(json.dumps(found).encode())
            _sync(part)
            os.replace(part, self._folder / _MANIFEST)
            for other in self.names():
                if other not in (name, copies, _MANIFEST, _LOCK):
                    (self._folder / other).unlink(missing_ok=True)
            _logger.info(
                "%s over %d vectors in %.1f s: recall@10 %.3f, recall@100 %.3f of %d queries",
                *(near.kind, near.rows, found["seconds"]),
                *(measured.recall, measured.recall_100, measured.sample),
            )
            return self.get()
        finally:
            os.close(lock)

    def _best(self, vectors: Vectors, alive: Bits, goal: Goal, lock: int) -> _Tried:
        """Return the first kind that reaches the recall, else the one that comes nearest."""
        tried: list[_Tried] = []
        for kind in goal.kinds:
            old = self._to_extend(kind, len(vectors), goal)
            near = structures.build(vectors, kind, old=old.near if old else None)
            if RECIPES[kind].sifts and self._same(lock):
                near = self._with_codes(near, vectors, goal)
            if old and old.measured.reached and near.rows <= _GROWN * old.asked:
                # Measuring compares everything with each query of the sample; adding rows is quick.
                return _Tried(near, old.trained, old.measured, old.asked)
            near, measured = structures.measure(near, vectors, alive, target=goal.recall)
            tried.append(_Tried(near, old.trained if old else near.rows, measured, near.rows))
            if measured.reached:
                break
        best = max(tried, key=lambda one: (one.measured.reached, _least(one.measured)))
        if not best.measured.reached:
            _logger.warning(
                "%s finds %.3f of the true neighbours, %.3f was wanted",
                *(best.near.kind, _least(best.measured), goal.recall),
            )
        return best

    def _with_codes(self, near: Near, vectors: Vectors, goal: Goal) -> Near:
        """Return it with the eight-bit copies of its rows, and write those that are new."""
        path, there = self._codes(goal.generation), self.get()
        known = there is not None and there.generation == goal.generation and there.near.codes
        codes.extend(path, vectors, covered=there.near.rows if there and known else 0)
        return replace(near, codes=codes.load(path, *vectors.shape))

    def _codes(self, generation: int) -> Path:
        return self._folder / f"{_PREFIX}-codes-{generation}.i8"

    def _to_extend(self, kind: str, rows: int, goal: Goal) -> Published | None:
        """Return what is published, in memory, where adding to it is as good as building anew."""
        there = self.get()
        if (
            there is None
            or (there.near.kind, there.generation) != (kind, goal.generation)
            or not rows / 2 <= there.trained <= there.near.rows <= rows
        ):
            return None
        return self._read(mapped=False)

    def _read(self, *, mapped: bool) -> Published | None:
        try:
            found: Mapping[str, Any] = json.loads((self._folder / _MANIFEST).read_bytes())
            path = self._folder / str(found["file"])
            if found["kind"] not in RECIPES or path.stat().st_size != found["bytes"]:
                raise IndexStateError(f"{path.name!r} is not what {_MANIFEST!r} says")
            near = structures.load(path, found["kind"], found["effort"], mapped=mapped)
            if near.rows != found["rows"]:
                raise IndexStateError(f"{path.name!r} covers {near.rows} rows")
            if name := str(found.get("codes", "")):
                held = codes.load(self._folder / name, near.rows, int(found["dimensions"]))
                near = replace(near, codes=held)
            return Published(
                near,
                int(found["generation"]),
                int(found["trained"]),
                tuple(found["wanted"]),
                Measured(**found["measured"]),
                int(found.get("asked", 0)),
                float(found["seconds"]),
            )
        except (OSError, ValueError, KeyError, TypeError, IndexStateError) as error:
            _logger.warning("the structure in %r is not used: %s", str(self._folder), error)
            return None

    def _now(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._folder / _MANIFEST)
        except FileNotFoundError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def _lock(self) -> int | None:
        try:
            file = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        return file

    def _same(self, lock: int) -> bool:
        """Return whether the folder still is the one that was locked."""
        try:
            return os.stat(self._folder / _LOCK).st_ino == os.fstat(lock).st_ino
        except FileNotFoundError:
            return False


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _least(measured: Measured) -> float:
    return min(measured.recall, measured.recall_100)
