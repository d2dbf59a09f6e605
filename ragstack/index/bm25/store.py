"""Chunks in, segments of rows on disk out: what is written when, and who may write.

A commit writes one new segment and then the manifest that names it; segments never change, deletes
stand in the log of rows alone. Knows how text becomes terms, and nothing of scores.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ragstack.errors import BaseError, IndexStateError
from ragstack.filters import Filter
from ragstack.index.attributes import Bits
from ragstack.index.bm25 import arrays
from ragstack.index.bm25.build import Gathered
from ragstack.index.bm25.fields import Fields
from ragstack.index.bm25.merge import first_to_merge, merged
from ragstack.index.bm25.segment import Living, Segment, living, without
from ragstack.index.folder import IndexFolder, Stamp, refuse_text
from ragstack.index.rows import LogState, RowTable
from ragstack.types import Chunk

__all__ = ["Snapshot", "Store"]

_DEAD_SHARE, _DEAD_COUNT = 0.3, 256  # more dead rows than both: rows are numbered anew
_GATHERED = 1 << 22  # terms that are gathered before they become a segment
_REWRITE = 4  # a log with so many times more rows than chunks is written anew


class Snapshot(NamedTuple):
    """What a search works on; nothing a writer does later changes it.

    Attributes:
        version: Another one for every other content.
        passing: The rows that satisfy the condition; None where there is none.
    """

    version: int
    parts: tuple[Living, ...]
    ids: Sequence[str]
    chunks: int
    passing: Bits | None
    languages: frozenset[str]


@dataclass(frozen=True, slots=True)
class _File:
    """A segment on disk, as the manifest names it."""

    name: str
    base: int
    crc: int


class Store:
    """The segments of one folder. Safe to use from many threads.

    Args:
        kind: Of the index; a folder of another kind is refused.

    Raises:
        IndexStateError: Its files do not hold together, or were made with other settings.
    """

    def __init__(self, folder: Path, fields: Fields, *, kind: str) -> None:
        self._fields = fields
        self._folder = IndexFolder(folder, kind=kind)
        self._guard = threading.RLock()
        self._closed = False
        self._version = 0
        self._opened: dict[_File, Segment] = {}
        self._reset()
        self._stamp: Stamp | None = None
        with self._guard:
            self._refresh()

    @property
    def position(self) -> int:
        """Journal position of the last commit."""
        with self._guard:
            self._refresh()
            return self._position

    @property
    def languages(self) -> frozenset[str]:
        """The languages of the chunks that were ever here."""
        with self._guard:
            self._refresh()
            return frozenset(self._languages)

    def __len__(self) -> int:
        """Return how many chunks are indexed."""
        with self._guard:
            self._refresh()
            return len(self._rows)

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Take in the chunks, in place of those with the same ids."""
        fresh = list({chunk.id: chunk for chunk in chunks}.values())
        if not fresh:
            return
        read = [self._fields.read(chunk) for chunk in fresh]
        with self._guard:
            self._begin()
            self._rows.kill(chunk.id for chunk in fresh)
            if not len(self._gathered):
                self._gathered_base = self._rows.size
            self._rows.add(fresh)
            for _, fields in read:
                self._gathered.add(fields)
            self._languages |= {language for language, _ in read}
            self._version += 1
            if self._gathered.tokens > _GATHERED:
                self._settle()

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Forget these chunks; the unknown are ignored."""
        refuse_text(chunk_ids, "chunk_ids")
        if not chunk_ids:
            return
        with self._guard:
            self._begin()
            if self._rows.kill(chunk_ids):
                self._version += 1

    def commit(self, position: int) -> None:
        """Make everything so far durable, with the journal position it reaches."""
        with self._guard, self.translated():
            try:
                self._begin()
                self._commit(position)
            except BaseException:
                self._reset()  # what counts is the last commit that was whole
                raise
            finally:
                # Others may write now; what is searched next is read as any reader reads it.
                self._folder.unlock()
                self._stamp = None

    def compact(self) -> None:
        """Write all as one segment, without what was deleted; commits at the last position."""
        with self._guard, self.translated():
            try:
                self._begin()
                self._commit(self._position, whole=True)
            except BaseException:
                self._reset()
                raise
            finally:
                self._folder.unlock()
                self._stamp = None

    def held(self) -> dict[str, int]:
        """Return the row of every chunk."""
        with self._guard:
            self._refresh()
            return dict(self._rows.held())

    def snapshot(self, where: Filter | None = None) -> Snapshot:
        """Return what is there now, with what was added since the last commit."""
        with self._guard, self.translated():
            self._refresh()
            self._settle()
            return Snapshot(
                self._version,
                tuple(self._parts),
                self._rows.ids,
                len(self._rows),
                None if where is None else self._rows.alive(where),
                frozenset(self._languages),
            )

    def verify(self) -> None:
        """Compare every byte of the last commit with its checksum.

        Raises:
            IndexStateError: One does not hold.
        """

        def check() -> None:
            manifest = self._folder.read()
            for file in _files(manifest) if manifest else ():
                arrays.read(self._folder.path / file.name, file.crc, whole=True)

        self._folder.consistently(check)

    def close(self) -> None:
        """Let go of files. What was not committed is lost."""
        with self._guard:
            self._closed = True
            self._reset()
            self._opened = {}
            self._folder.unlock()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what numbers that cannot be lead to into the error of damaged files."""
        try:
            yield
        except (IndexError, ValueError, OverflowError) as error:
            raise self._folder.broken(f"its numbers do not fit: {error}") from error

    @property
    def _log(self) -> Path:
        return self._folder.path / f"rows-{self._log_number}.log"

    def _reset(self) -> None:
        self._rows = RowTable(reuse=False)
        self._parts: list[Living] = []  # in the order of their rows
        self._gathered = Gathered()
        self._gathered_base = 0
        self._languages: set[str] = set()
        self._log_number = self._number = self._position = 0
        self._settled = self._version = self._version + 1

    def _refresh(self) -> None:
        """Take in what another process committed, unless this object writes."""
        if self._closed:
            raise BaseError(f"the index in {str(self._folder.path)!r} is closed")
        if self._folder.locked or self._folder.stamp() == self._stamp:
            return
        self._stamp = self._folder.consistently(self._load)

    def _load(self) -> Stamp | None:
        stamp, manifest = self._folder.stamp(), self._folder.read()
        if manifest is None:
            self._reset()
            return stamp
        self._fields.check(manifest["made_with"], self._folder)
        files = _files(manifest)
        self._opened = {file: self._open(file) for file in files}
        self._read_rows(manifest)
        self._check_rows()
        self._number = int(manifest["number"])
        self._position = int(manifest["position"])
        self._languages = {str(each) for each in manifest["languages"]}
        self._gathered = Gathered()
        with self.translated():
            self._live(list(self._opened.values()))
        return stamp

    def _open(self, file: _File) -> Segment:
        known = self._opened.get(file)
        if known is None:
            known = Segment(arrays.read(self._folder.path / file.name, file.crc), file.base)
            if not known.fits():
                raise self._folder.broken(f"the arrays of {file.name!r} do not fit together")
        return known

    def _read_rows(self, manifest: Mapping[str, Any]) -> None:
        state, number = LogState(**manifest["log"]), int(manifest["log_number"])
        try:
            if number != self._log_number or self._folder.locked:
                raise IndexStateError("another log")
            self._rows.read(self._log, state)
        except IndexStateError:
            self._reset()
            self._log_number = number
            self._rows.read(self._log, state)

    def _check_rows(self) -> None:
        end = 0
        for file, segment in self._opened.items():
            if file.base < end:
                raise self._folder.broken("its segments overlap")
            end = file.base + segment.size
        if end > self._rows.size:
            raise self._folder.broken("its segments have more rows than its log")

    def _live(self, segments: Sequence[Segment]) -> None:
        """Count anew what of the segments lives, from what was known of each."""
        alive = self._rows.alive(None)
        known = {id(part.segment): part for part in self._parts}
        self._parts = []
        for segment in segments:
            mine = alive[segment.base : segment.base + segment.size]
            there = known.get(id(segment))
            # Rows never come back to life, so what was known can only have lost some.
            part = living(segment, mine) if there is None else without(there, mine)
            self._parts.append(part)
        self._settled = self._version = self._version + 1

    def _begin(self) -> None:
        """Become the writer of this folder."""
        self._refresh()
        if self._folder.locked:
            return
        self._folder.lock()
        try:
            if self._folder.stamp() != self._stamp:
                self._stamp = self._folder.consistently(self._load)
        except BaseException:
            self._folder.unlock()
            raise

    def _settle(self) -> None:
        """Make a segment of what was gathered, and count what the deleted took away."""
        if self._settled == self._version:
            return
        segments = [part.segment for part in self._parts]
        if len(self._gathered):
            segments.append(self._gathered.segment(self._gathered_base))
            self._gathered = Gathered()
        self._live(segments)
        # One after another would make one each: those in memory are merged as those on disk are.
        on_disk = len(self._opened)
        sizes = [len(part.segment.texts) for part in self._parts[on_disk:]]
        self._merge(on_disk + first_to_merge(sizes, max(0, len(sizes) - 1)))

    def _merge(self, first: int) -> None:
        if len(self._parts) - first > 1:
            base = self._parts[first].segment.base
            segment = merged(self._parts[first:], base=base, close_up=False)
            self._live([*(part.segment for part in self._parts[:first]), segment])

    def _commit(self, position: int, *, whole: bool = False) -> None:
        self._settle()
        dead = self._rows.size - len(self._rows)
        kept = list(self._opened)
        if (dead > _DEAD_COUNT and dead > _DEAD_SHARE * self._rows.size) or (whole and dead):
            kept = []
            self._close_up()
        elif self._rows.state.written > _REWRITE * max(len(self._rows), 1_000):
            self._log_number += 1
            self._rows = self._rows.rewritten()
            self._log.unlink(missing_ok=True)
        sizes = [len(part.segment.texts) for part in self._parts]
        first = 0 if whole else first_to_merge(sizes, len(kept))
        self._merge(first)
        kept = kept[:first]
        files = kept + [self._written(part.segment) for part in self._parts[len(kept) :]]
        self._rows.append_to(self._log)
        self._folder.write(
            {
                "position": position,
                "number": self._number,
                "log_number": self._log_number,
                "log": asdict(self._rows.state),
                "segments": [asdict(file) for file in files],
                "languages": sorted(self._languages),
                "made_with": self._fields.made_with,
            }
        )
        self._folder.sweep([self._log.name, *(file.name for file in files)])
        self._position = position
        self._opened = {file: self._open(file) for file in files}
        self._live(list(self._opened.values()))

    def _close_up(self) -> None:
        """Number the rows anew, without the dead; every segment is made anew, one by one."""
        closed, base = [], 0
        for part in self._parts:
            segment = merged([part], base=base, close_up=True)
            base += segment.size
            if segment.size:
                closed.append(segment)
        self._rows, _ = self._rows.compacted()
        self._log_number += 1
        self._log.unlink(missing_ok=True)
        self._live(closed)

    def _written(self, segment: Segment) -> _File:
        self._number += 1
        name = f"segment-{self._number}.arrays"
        path = self._folder.path / name
        path.unlink(missing_ok=True)  # of a process that was killed
        return _File(name, segment.base, arrays.write(path, segment.arrays))


def _files(manifest: Mapping[str, Any]) -> list[_File]:
    return [
        _File(str(each["name"]), int(each["base"]), int(each["crc"]))
        for each in manifest["segments"]
    ]
