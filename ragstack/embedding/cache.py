"""An embedder in, the same embedder with a memory out: a text is embedded once, whoever asks again.

Vectors are kept in a SQLite file by the SHA-256 of the embedder's fingerprint and the text. They
are written as they come, so that an ingest which is broken off does not embed again. The file can
be deleted at any time.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np

from ragstack.embedding.inputs import checked
from ragstack.protocols import Embedder, Vectors
from ragstack.sqlite import open_wal

__all__ = ["CachedEmbedder"]

_logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    vector BLOB NOT NULL
)
"""
# Texts embedded between two writes: what a killed ingest may have to do again.
_SLICE = 256
# Below SQLite's oldest limit of variables in one statement.
_ASKED = 500
_BUSY_S = 30.0


class CachedEmbedder:
    """An Embedder. Safe to use from many threads, its file from many processes.

    A file that cannot be used is no reason to stop: the vectors are then computed, with a warning
    in the log.
    """

    def __init__(
        self,
        embedder: Embedder,
        path: Path,
        *,
        limit: int = 1_000_000,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Stand before an embedder, which stays the caller's to close.

        Args:
            path: The file; made when it is first needed, with its folder.
            limit: Vectors kept; the oldest go first.
            progress: Called with the number of texts done since it was last called.
        """
        self._embedder = embedder
        self._path = Path(path)
        self._limit = limit
        self._progress = progress
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._embedder.dimensions

    @property
    def fingerprint(self) -> str:
        """The embedder's own: the same text gives the same vector."""
        return self._embedder.fingerprint

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, in order; equal texts are embedded once."""
        texts = checked(texts)
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        keys = [self._key(text) for text in texts]
        rows: dict[bytes, list[int]] = {}
        for row, key in enumerate(keys):
            rows.setdefault(key, []).append(row)
        for key, vector in self._read(list(rows)):
            self._fill(vectors, rows.pop(key), vector)
        missing = list(rows)
        for start in range(0, len(missing), _SLICE):
            some = missing[start : start + _SLICE]
            made = self._embedder.embed_documents([texts[rows[key][0]] for key in some])
            self._write(some, made)
            for key, vector in zip(some, made, strict=True):
                self._fill(vectors, rows[key], vector)
        return vectors

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, in order; questions are not kept."""
        return self._embedder.embed_queries(texts)

    def prune(self, kept: Iterable[Sequence[str]]) -> int:
        """Forget every vector but those of these texts; return how many went.

        Args:
            kept: The texts, some at a time.
        """
        if not self._path.exists():
            return 0
        gone = 0
        with self._lock, self._survived():
            file = self._opened()
            before = _count(file)
            file.execute("CREATE TEMP TABLE kept (key BLOB PRIMARY KEY) WITHOUT ROWID")
            for texts in kept:
                file.executemany(
                    "INSERT OR IGNORE INTO kept VALUES (?)", [(self._key(t),) for t in texts]
                )
            file.execute("DELETE FROM vectors WHERE key NOT IN (SELECT key FROM kept)")
            file.execute("DROP TABLE kept")
            file.commit()
            gone = before - _count(file)
            file.execute("VACUUM")
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def close(self) -> None:
        """Close the file; it is opened again if it is needed again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _key(self, text: str) -> bytes:
        state = sha256(self._embedder.fingerprint.encode())
        state.update(b"\0")
        state.update(text.encode("utf-8", "surrogatepass"))
        return state.digest()

    def _fill(self, vectors: Vectors, rows: list[int], vector: Vectors) -> None:
        vectors[rows] = vector
        if self._progress is not None:
            self._progress(len(rows))

    def _read(self, keys: list[bytes]) -> Iterator[tuple[bytes, Vectors]]:
        size = self.dimensions * np.dtype(np.float32).itemsize
        for start in range(0, len(keys), _ASKED):
            some = keys[start : start + _ASKED]
            marks = ",".join("?" * len(some))
            found = self._asked(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)
            for key, stored in found:
                if len(stored) == size:
                    yield key, np.frombuffer(stored, dtype="<f4")

    def _write(self, keys: list[bytes], vectors: Vectors) -> None:
        rows = [
            (key, vector.astype("<f4").tobytes()) for key, vector in zip(keys, vectors, strict=True)
        ]
        with self._lock, self._survived(), self._opened() as file:
            file.executemany("INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows)
            file.execute(
                "DELETE FROM vectors WHERE number <= (SELECT max(number) FROM vectors) - ?",
                (self._limit,),
            )

    def _asked(self, statement: str, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        with self._lock, self._survived():
            found = self._opened().execute(statement, keys).fetchall()
        return found

    @contextmanager
    def _survived(self) -> Iterator[None]:
        """End the block, but not the work, where SQLite or the disk fails."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            _logger.warning("the embedding cache %s cannot be used: %s", self._path, error)

    def _opened(self) -> sqlite3.Connection:
        if self._file is None:
            self._file = self._open()
        return self._file

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return open_wal(self._path, _prepare, busy_s=_BUSY_S)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            _logger.warning(
                "the embedding cache %s is broken, a new one begins: %s", self._path, error
            )
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return open_wal(self._path, _prepare, busy_s=_BUSY_S)


def _prepare(file: sqlite3.Connection) -> None:
    file.execute("PRAGMA synchronous = NORMAL")
    file.execute(_SCHEMA)
    file.commit()


def _count(file: sqlite3.Connection) -> int:
    return int(file.execute("SELECT count(*) FROM vectors").fetchone()[0])
