"""Entities and facts in, facts around an entity out: one SQLite file, knows nothing of extraction.

A fact is stored once for each chunk that says it, so deleting a chunk takes away its share and no
more.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ragstack.errors import BaseLocked, BaseVersionError, IndexStateError, InputError
from ragstack.sqlite import open_wal
from ragstack.types import Entity, Relation

__all__ = ["SqliteGraphStore"]

_FORMAT = 1
_BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE entity (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, folded TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX entity_by_name ON entity (folded);
CREATE TABLE fact (
    subject TEXT NOT NULL, predicate TEXT NOT NULL, object TEXT NOT NULL, chunk_id TEXT NOT NULL,
    PRIMARY KEY (subject, predicate, object, chunk_id)
) WITHOUT ROWID;
CREATE INDEX fact_by_object ON fact (object);
CREATE INDEX fact_by_chunk ON fact (chunk_id);
"""

# Ids are given in temporary tables: bound one by one, they may be any text and any number of them.
# A list of variables ends at 32,766, and SQLite cuts a text in a JSON array at a NUL.
_GIVEN = """
CREATE TEMP TABLE given (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE passed (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""

# A fact that touches the frontier belongs to this step unless its other end was passed before: then
# it was found in that step. UNION merges a fact whose ends both lie in the frontier.
_STEP = """
SELECT subject, predicate, object, chunk_id FROM fact
WHERE subject IN temp.given AND object NOT IN temp.passed
UNION
SELECT subject, predicate, object, chunk_id FROM fact
WHERE object IN temp.given AND subject NOT IN temp.passed
ORDER BY subject, predicate, object, chunk_id
LIMIT ?
"""


class SqliteGraphStore:
    """A graph store in one SQLite file (WAL). Safe to call from many threads."""

    def __init__(self, path: str | Path) -> None:
        """Open the file; a missing one is made.

        Raises:
            BaseVersionError: A newer ragstack wrote it.
            IndexStateError: It is no SQLite database, or a damaged one.
        """
        self._path = str(path)
        self._lock = threading.RLock()
        with _translated(self._path):
            self._connection: sqlite3.Connection | None = open_wal(
                self._path, self._prepare, busy_s=_BUSY_SECONDS, autocommit=True
            )

    def add(self, entities: Sequence[Entity], relations: Sequence[Relation]) -> None:
        """Store entities by id and facts by content, in one transaction.

        An entity whose id is there takes the new name and type.

        Raises:
            InputError: A fact names an entity that is neither given nor stored; nothing is stored.
        """
        rows = [(item.id, item.name, item.type, _folded(item.name)) for item in entities]
        facts = [_row(relation) for relation in relations]
        with self._transaction(writes=True) as connection:
            connection.executemany(
                "INSERT INTO entity (id, name, type, folded) VALUES (?, ?, ?, ?) ON CONFLICT (id)"
                " DO UPDATE SET name = excluded.name, type = excluded.type,"
                " folded = excluded.folded",
                rows,
            )
            self._require_ends(connection, facts)
            connection.executemany("INSERT OR IGNORE INTO fact VALUES (?, ?, ?, ?)", facts)

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove what these chunks said, and the entities that no fact names any longer."""
        given = _strings(chunk_ids, "chunk_ids")
        with self._transaction(writes=True) as connection:
            _give(connection, given)
            touched = connection.execute(
                "SELECT subject FROM fact WHERE chunk_id IN temp.given"
                " UNION SELECT object FROM fact WHERE chunk_id IN temp.given"
            ).fetchall()
            connection.execute("DELETE FROM fact WHERE chunk_id IN temp.given")
            _give(connection, (row[0] for row in touched))
            connection.execute(
                "DELETE FROM entity WHERE id IN temp.given"
                " AND NOT EXISTS (SELECT 1 FROM fact WHERE subject = entity.id)"
                " AND NOT EXISTS (SELECT 1 FROM fact WHERE object = entity.id)"
            )

    def neighbours(self, entity_ids: Sequence[str], *, limit: int) -> list[Relation]:
        """Return at most ``limit`` facts that touch these entities, in a fixed order."""
        return self.subgraph(entity_ids, hops=1, limit=limit)

    def find(self, names: Iterable[str]) -> list[Entity]:
        """Return the entities of these names, letter case aside, by id."""
        wanted = [_folded(name) for name in _strings(names, "names")]
        with self._transaction(writes=False) as connection:
            _give(connection, wanted)
            rows = connection.execute(
                "SELECT id, name, type FROM entity WHERE folded IN temp.given ORDER BY id"
            ).fetchall()
        return [Entity(*row) for row in rows]

    def subgraph(self, entity_ids: Sequence[str], *, hops: int, limit: int) -> list[Relation]:
        """Return at most ``limit`` facts within ``hops`` steps of these entities, nearest first.

        Breadth first: a fact is one step away when it names one of the entities. Within a step
        facts come by subject, predicate, object, chunk.

        Raises:
            InputError: ``hops`` or ``limit`` below 0.
        """
        if hops < 0 or limit < 0:
            raise InputError(f"hops and limit must not be below 0, got {hops!r} and {limit!r}")
        frontier = set(_strings(entity_ids, "entity_ids"))
        passed: set[str] = set()
        found: list[Relation] = []
        with self._transaction(writes=False) as connection:
            connection.execute("DELETE FROM temp.passed")
            for _ in range(hops):
                if not frontier or len(found) == limit:
                    break
                _give(connection, frontier)
                rows = connection.execute(_STEP, (limit - len(found),))
                step = [Relation(*row) for row in rows]
                found += step
                passed |= frontier
                connection.execute("INSERT OR IGNORE INTO temp.passed SELECT id FROM temp.given")
                frontier = {end for fact in step for end in (fact.subject, fact.object)} - passed
        return found

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __enter__(self) -> SqliteGraphStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.executescript(_GIVEN)
        connection.execute("BEGIN IMMEDIATE")  # of two that open a new file, one makes the tables
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.strip().removesuffix(";").split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
        elif version != _FORMAT:
            raise BaseVersionError(
                f"the graph {self._path!r} has format {version!r}, this ragstack reads {_FORMAT!r}",
                hint="open it with the ragstack that wrote it, or delete it and ingest again",
            )
        connection.execute("COMMIT")

    def _require_ends(
        self, connection: sqlite3.Connection, facts: Sequence[tuple[str, str, str, str]]
    ) -> None:
        _give(connection, (end for subject, _, object_, _ in facts for end in (subject, object_)))
        missing = connection.execute(
            "SELECT id FROM temp.given WHERE id NOT IN (SELECT id FROM entity) LIMIT 1"
        ).fetchone()
        if missing is not None:
            raise InputError(
                f"a fact names the entity {missing[0]!r}, which is neither given nor stored",
                hint="pass the entities together with their facts",
            )

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated(self._path):
            connection = self._connection
            if connection is None:
                raise IndexStateError(f"the graph {self._path!r} is closed")
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _give(connection: sqlite3.Connection, values: Iterable[str]) -> None:
    connection.execute("DELETE FROM temp.given")
    rows = ((value,) for value in values)
    connection.executemany("INSERT OR IGNORE INTO temp.given VALUES (?)", rows)


def _row(relation: Relation) -> tuple[str, str, str, str]:
    return (relation.subject, relation.predicate, relation.object, relation.chunk_id)


def _folded(name: str) -> str:
    return name.strip().casefold()


def _strings(values: Iterable[str], name: str) -> list[str]:
    if isinstance(values, str):
        raise InputError(f"{name} takes a sequence of strings, got the string {values!r}")
    return list(values)


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise InputError(f"text that is not valid Unicode cannot be stored: {error}") from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise BaseLocked(
                f"another process is writing to the graph {path!r}", hint="try again later"
            ) from error
        raise IndexStateError(f"the graph {path!r} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        raise IndexStateError(
            f"the graph {path!r} is damaged: {error}", hint="delete it and ingest again"
        ) from error
