"""Digests of documents in, digests of those that are much like them out: kept in one SQLite file.

Derived from the catalog, and known by what a text is, not by whose it is: the file can be deleted
at any time, and is filled again by whoever asks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ragstack.errors import BaseError
from ragstack.pipeline.minhash import Signature, bands, estimate, shingles, signature
from ragstack.sqlite import open_wal

__all__ = ["Signatures"]

# The number is that of the way signatures are made; another way, another table.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS signatures_1 (digest TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS bands_1 (
    band INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (band, digest)) WITHOUT ROWID;
"""
_BUSY_S = 30.0


class Signatures:
    """Signatures by digest. For one thread at a time; its file is for many processes."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = open_wal(path, _prepare, busy_s=_BUSY_S, autocommit=True, shared=False)
        except sqlite3.Error as error:
            raise BaseError(
                f"the signatures {str(path)!r} cannot be used: {error}",
                hint="delete the file: it is made again",
            ) from error

    def known(self) -> set[str]:
        """Return the digests that have been added."""
        with self._translated():
            return {row[0] for row in self._file.execute("SELECT digest FROM signatures_1")}

    def add(self, digest: str, text: str) -> None:
        """Keep the signature of a text; one that is known already costs nothing."""
        with self._translated():
            if self._read(digest) is not None:
                return
            made = signature(shingles(text))
            data = b"" if made is None else made.astype("<u4").tobytes()
            self._file.execute("BEGIN IMMEDIATE")
            try:
                self._file.execute(
                    "INSERT OR IGNORE INTO signatures_1 VALUES (?, ?)", (digest, data)
                )
                if made is not None:
                    self._file.executemany(
                        "INSERT OR IGNORE INTO bands_1 VALUES (?, ?)",
                        [(band, digest) for band in bands(made)],
                    )
                self._file.execute("COMMIT")
            except BaseException:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise

    def like(self, digest: str) -> list[tuple[str, float]]:
        """Return other digests and how alike they are by estimate, the likest first.

        Nearly all that share 80 % are among them, and few that share less than 40 %.
        """
        with self._translated():
            own = self._read(digest)
            if own is None:
                return []
            marks = bands(own)
            found = self._file.execute(
                "SELECT DISTINCT s.digest, s.data FROM bands_1 b JOIN signatures_1 s"
                f" ON s.digest = b.digest WHERE b.band IN ({','.join('?' * len(marks))})"
                " AND b.digest != ?",
                (*marks, digest),
            ).fetchall()
        near = [(each, estimate(own, np.frombuffer(data, dtype="<u4"))) for each, data in found]
        return sorted(near, key=lambda item: (-item[1], item[0]))

    def prune(self, kept: Iterable[str]) -> int:
        """Forget all but these digests; return how many went."""
        gone = sorted(self.known() - set(kept))
        with self._translated():
            for digest in gone:
                own = self._read(digest)
                marks = [] if own is None else bands(own)
                self._file.executemany(
                    "DELETE FROM bands_1 WHERE band = ? AND digest = ?",
                    [(mark, digest) for mark in marks],
                )
                self._file.execute("DELETE FROM signatures_1 WHERE digest = ?", (digest,))
            if gone:
                self._file.execute("VACUUM")
            self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(gone)

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._file.close()

    def _read(self, digest: str) -> Signature | None:
        """Return a signature; an empty text has none."""
        found = self._file.execute(
            "SELECT data FROM signatures_1 WHERE digest = ?", (digest,)
        ).fetchone()
        return np.frombuffer(found[0], dtype="<u4") if found and found[0] else None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise BaseError(f"the signatures of documents cannot be used: {error}") from error


def _prepare(file: sqlite3.Connection) -> None:
    file.execute("PRAGMA synchronous = NORMAL")
    file.executescript(_SCHEMA)
