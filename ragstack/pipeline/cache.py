"""Questions with their vectors and answers, kept in one SQLite file; asked by nearness in meaning.

Knows no base: what an answer depends on comes as two texts. The scope is the state of a collection:
what was kept for another state of it is thrown away. The key is everything else that must be equal.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from ragstack.errors import BaseError, ConfigError
from ragstack.pipeline.answer_codec import read_answer, write_answer
from ragstack.pipeline.kept import Asked, Cached
from ragstack.pipeline.same import may_share
from ragstack.sqlite import open_wal
from ragstack.types import Answer
from ragstack.vectors import products

__all__ = ["AnswerCache"]

_LARGEST = 4_000_000  # characters of an answer that is kept
_BUSY_S = 5.0
_FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, collection BLOB NOT NULL, scope BLOB NOT NULL, key BLOB NOT NULL,
    question BLOB NOT NULL, vector BLOB NOT NULL, answer BLOB NOT NULL, used REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_of ON answers (collection, scope, key);
"""

Value = TypeVar("Value")

_logger = logging.getLogger(__name__)


class AnswerCache:
    """Answers by question. Safe to use from many threads and processes; a damaged file starts anew.

    Args:
        size: Answers kept; the least lately used goes first.
        threshold: 0: by the embedder, see ``kept.THRESHOLDS``.

    Raises:
        ConfigError: A size or a threshold that cannot be.
    """

    def __init__(self, path: Path, *, size: int = 1_000, threshold: float = 0.0) -> None:
        if size < 1:
            raise ConfigError(f"the cache's size is at least 1, got {size!r}")
        if not 0 <= threshold <= 1:
            raise ConfigError(f"the cache's threshold is a cosine from 0 to 1, got {threshold!r}")
        self.threshold = threshold
        self._path = path
        self._size = size
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def get(self, asked: Asked) -> Cached | None:
        """Return the answer to the nearest question that may share it; None: there is none."""
        return self._within(lambda connection: _found(connection, asked))

    def put(self, asked: Asked, answer: Answer) -> None:
        """Keep an answer; the same question's earlier one goes."""
        text = write_answer(answer)
        if len(text) <= _LARGEST:
            self._within(lambda connection: _kept(connection, asked, text, self._size))

    def __len__(self) -> int:
        """Return how many answers are kept."""
        return self._within(_count) or 0

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        with self._lock:
            self._drop()

    def _within(self, work: Callable[[sqlite3.Connection], Value]) -> Value | None:
        """Return what work in a transaction gives; None where the file cannot be used now.

        A question shall not fail for a cache that is busy, read-only, full or damaged.
        """
        with self._lock:
            try:
                connection = self._connection = self._connection or self._connect()
                connection.execute("BEGIN IMMEDIATE")
                made = work(connection)
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                _logger.warning("the cache of answers is not used: %s", error)
                self._drop()
                if not isinstance(error, sqlite3.OperationalError):
                    self._remove()
                return None
            except BaseException:
                self._drop()
                raise
            return made

    def _drop(self) -> None:
        """Close the connection, and what it had begun is undone."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            _logger.warning("the cache of answers starts anew, it was damaged: %s", error)
            self._remove()
            return self._open()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        return open_wal(self._path, _prepare, busy_s=_BUSY_S, autocommit=True)


def _prepare(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found not in (0, _FORMAT):
        connection.execute("DROP TABLE IF EXISTS answers")
    connection.execute("PRAGMA secure_delete = ON")
    connection.executescript(_TABLES)
    connection.execute(f"PRAGMA user_version = {_FORMAT}")


def _found(connection: sqlite3.Connection, asked: Asked) -> Cached | None:
    _forget_others(connection, asked)
    rows = connection.execute(
        "SELECT id, question, vector FROM answers WHERE collection = ? AND scope = ? AND key = ?",
        _place(asked),
    ).fetchall()
    best = _nearest(rows, asked)
    if best is None:
        return None
    row, question, cosine = best
    (text,) = connection.execute("SELECT answer FROM answers WHERE id = ?", (row,)).fetchone()
    try:
        answer = read_answer(_text(text))
    except (BaseError, UnicodeDecodeError):
        # Written by another version of ragstack, or by somebody else.
        connection.execute("DELETE FROM answers WHERE id = ?", (row,))
        return None
    connection.execute("UPDATE answers SET used = ? WHERE id = ?", (time.time(), row))
    return Cached(answer, question, cosine)


def _kept(connection: sqlite3.Connection, asked: Asked, text: str, size: int) -> None:
    _forget_others(connection, asked)
    place, question = _place(asked), _bytes(asked.question)
    connection.execute(
        "DELETE FROM answers WHERE collection = ? AND scope = ? AND key = ? AND question = ?",
        (*place, question),
    )
    vector = np.asarray(asked.vector, np.float32).tobytes()
    connection.execute(
        "INSERT INTO answers (collection, scope, key, question, vector, answer, used)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*place, question, vector, _bytes(text), time.time()),
    )
    connection.execute(
        "DELETE FROM answers WHERE id NOT IN"
        " (SELECT id FROM answers ORDER BY used DESC, id DESC LIMIT ?)",
        (size,),
    )


def _count(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM answers").fetchone()
    return int(count)


def _nearest(rows: list[tuple[int, bytes, bytes]], asked: Asked) -> tuple[int, str, float] | None:
    vector = np.asarray(asked.vector, np.float32)
    size = vector.nbytes
    fitting = [row for row in rows if len(row[2]) == size]
    if not fitting:
        return None
    vectors = np.frombuffer(b"".join(row[2] for row in fitting), np.float32)
    cosines = products(vectors.reshape(len(fitting), -1), vector.ravel())
    for place in np.argsort(-cosines, kind="stable"):
        cosine = float(cosines[place])
        # The same question is the same, however its vector is rounded.
        question = _text(fitting[place][1])
        if question == asked.question:
            return fitting[place][0], question, cosine
        if not cosine >= asked.threshold:
            return None
        if may_share(asked.question, question, strict=asked.strict):
            return fitting[place][0], question, cosine
    return None


def _forget_others(connection: sqlite3.Connection, asked: Asked) -> None:
    connection.execute(
        "DELETE FROM answers WHERE collection = ? AND scope <> ?",
        (_bytes(asked.collection), _bytes(asked.scope)),
    )


def _place(asked: Asked) -> tuple[bytes, bytes, bytes]:
    return _bytes(asked.collection), _bytes(asked.scope), _bytes(asked.key)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
