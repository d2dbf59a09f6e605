"""The life of an index that keeps chunks in rows: a log of them, a manifest, one writer, readers.

What a row holds (a vector, terms, token vectors) is the business of who derives from it; here it is
only said when that data is taken in, made durable, numbered anew and let go of.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragstack.errors import BaseError, EmbedderMismatch, IndexStateError
from ragstack.index.attributes import Rows
from ragstack.index.folder import IndexFolder, check_position, refuse_text
from ragstack.index.rows import LogState, RowTable
from ragstack.types import Chunk

__all__ = ["RowedIndex"]

_DEAD_SHARE, _DEAD_COUNT = 0.3, 256  # more dead rows than both: the files are written anew


class RowedIndex(ABC):
    """All of ``protocols.Index`` but ``add`` and ``search``. Rows are never given twice.

    Args:
        folder: Where it keeps its files; made when first written to.
        kind: The name in its manifest.
        fingerprint: Of what makes its data from texts; recorded, and another one is refused.
    """

    def __init__(self, folder: str | os.PathLike[str], *, kind: str, fingerprint: str) -> None:
        self._folder = IndexFolder(folder, kind=kind)
        self._fingerprint = fingerprint
        self._guard = threading.RLock()
        self._closed = False
        self._writing = False
        self._reset({})
        self._stamp: tuple[int, int, int] | None = None
        self._refresh()

    @property
    def position(self) -> int:
        """Journal position of the last commit; 0 for a new index."""
        with self._guard:
            self._refresh()
            return self._position

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Forget these chunks; the unknown are ignored."""
        refuse_text(chunk_ids, "chunk_ids")
        if not chunk_ids:
            return
        with self._guard:
            self._begin()
            self._buried(self._rows.kill(chunk_ids))

    def commit(self, position: int) -> None:
        """Make everything so far durable, together with the journal position it reaches."""
        check_position(position)
        with self._guard:
            self._begin()
            dead = self._rows.size - len(self._rows)
            if dead > _DEAD_COUNT and dead > _DEAD_SHARE * self._rows.size:
                self._compact()
            data = self._flush()
            self._rows.append_to(self._log)
            self._folder.write(
                {
                    "position": position,
                    "generation": self._generation,
                    "rows": self._rows.size,
                    "log": asdict(self._rows.state),
                    "fingerprint": self._fingerprint,
                    **data,
                }
            )
            self._folder.sweep([self._log.name, *self._names()])
            self._position = position
            # Others may write now; what is searched next is read as any reader reads it.
            self._let_go()
            self._stamp = None
        self._committed()

    def ids(self) -> list[str]:
        """Return the id of every chunk that is indexed, in any order."""
        with self._guard:
            self._refresh()
            return list(self._rows.held())

    def compact(self) -> None:
        """Write the files anew without the dead rows; commits at the last position."""
        with self._guard:
            self._begin()
            if self._rows.size > len(self._rows):
                self._compact()
            position = self._position
        self.commit(position)

    def __len__(self) -> int:
        """Return how many chunks are indexed."""
        with self._guard:
            self._refresh()
            return len(self._rows)

    def close(self) -> None:
        """Let go of files. What was not committed is lost."""
        with self._guard:
            self._closed = True
            self._let_go()
            self._reset({})

    @abstractmethod
    def _forget(self) -> None:
        """Let go of the data of all rows in memory, and of what was not committed."""

    @abstractmethod
    def _take(self, manifest: Mapping[str, Any]) -> None:
        """Take in the data that a manifest names; the rows are read already."""

    @abstractmethod
    def _flush(self) -> Mapping[str, Any]:
        """Make the data of all rows durable; return what the manifest says of it."""

    @abstractmethod
    def _names(self) -> list[str]:
        """Return the names of the files and folders that are in use."""

    @abstractmethod
    def _renumber(self, old: Rows, generation: int) -> None:
        """Write the data of the old rows anew, as rows 0, 1, 2 … of another generation."""

    def _buried(self, rows: Sequence[int]) -> None:  # noqa: B027 - nothing to do is the rule
        """These rows just died; they come back if there is no commit."""

    def _committed(self) -> None:  # noqa: B027 - nothing to do is the rule
        """A commit is over, and nothing is held: for work that others need not wait for."""

    def _opened(self) -> None:  # noqa: B027 - nothing to do is the rule
        """The right to write was just taken, and the last commit taken in."""

    def _stopped(self) -> None:  # noqa: B027 - nothing to do is the rule
        """The right to write goes; let go of what is open for writing."""

    @property
    def _log(self) -> Path:
        return self._folder.path / f"rows-{self._generation}.log"

    def _place(self, chunks: Sequence[Chunk]) -> Rows:
        """Give the chunks rows, in place of those that their ids had; for a writer."""
        self._buried(self._rows.kill(chunk.id for chunk in chunks))
        return self._rows.add(chunks)

    def _reset(self, manifest: Mapping[str, Any]) -> None:
        self._rows = RowTable(reuse=False)
        self._generation = int(manifest.get("generation", 1))
        self._position = 0
        self._forget()

    def _refresh(self) -> None:
        """Take in what another process committed, unless this object writes."""
        if self._closed:
            raise BaseError(f"the index in {str(self._folder.path)!r} is closed")
        if self._folder.locked or self._folder.stamp() == self._stamp:
            return
        self._stamp = self._folder.consistently(self._load)

    def _load(self) -> tuple[int, int, int] | None:
        stamp, manifest = self._folder.stamp(), self._folder.read()
        if manifest is None:
            self._reset({})
            return stamp
        if manifest["fingerprint"] != self._fingerprint:
            raise EmbedderMismatch(
                f"the index in {str(self._folder.path)!r} was built with the embedder "
                f"{manifest['fingerprint']!r}, now it is {self._fingerprint!r}",
                hint="configure the first one again, or delete the folder: the index is rebuilt "
                "from the catalog",
            )
        if manifest["generation"] != self._generation:
            self._reset(manifest)
        self._read_rows(manifest)
        if self._rows.size != int(manifest["rows"]):
            self._reset({})
            raise self._folder.broken("its log and its manifest count other rows")
        self._take(manifest)
        self._position = int(manifest["position"])
        return stamp

    def _read_rows(self, manifest: Mapping[str, Any]) -> None:
        state = LogState(**manifest["log"])
        try:
            self._rows.read(self._log, state)
        except IndexStateError:
            # The log may be another one under the same name: the folder was deleted and rebuilt.
            self._reset(manifest)
            self._rows.read(self._log, state)

    def _begin(self) -> None:
        """Become the writer, if this object is not."""
        if self._writing:
            return
        self._refresh()
        self._folder.lock()
        try:
            self._stamp = self._folder.consistently(self._load)
            self._opened()
        except BaseException:
            self._let_go()
            raise
        self._writing = True

    def _let_go(self) -> None:
        self._writing = False
        self._stopped()
        self._folder.unlock()

    def _compact(self) -> None:
        """Write the living rows to new files; the manifest will name them."""
        table, old = self._rows.compacted()
        self._renumber(old, self._generation + 1)
        self._generation += 1
        self._log.unlink(missing_ok=True)
        self._rows = table
