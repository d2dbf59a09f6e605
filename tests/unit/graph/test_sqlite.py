from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from ragstack.errors import BaseLocked, BaseVersionError, IndexStateError, InputError
from ragstack.graph import sqlite as module
from ragstack.graph.sqlite import SqliteGraphStore
from ragstack.types import Entity, Relation

ONE, TWO = Entity("1", "One", "thing"), Entity("2", "Two", "thing")
FACT = Relation("1", "before", "2", "c1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "graph.db"


def test_what_was_stored_is_there_after_reopening(path: Path) -> None:
    with SqliteGraphStore(path) as store:
        store.add([ONE, TWO], [FACT])
    with SqliteGraphStore(path) as store:
        assert store.neighbours(["2"], limit=5) == [FACT]
        assert store.find(["one"]) == [ONE]


def test_close_twice_and_use_after(path: Path) -> None:
    store = SqliteGraphStore(path)
    store.close()
    store.close()
    with pytest.raises(IndexStateError, match="is closed"):
        store.find(["one"])


def test_a_newer_format_is_refused(path: Path) -> None:
    SqliteGraphStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(BaseVersionError, match="format 99"):
        SqliteGraphStore(path)


def test_bytes_that_are_no_database_are_refused(path: Path) -> None:
    path.write_bytes(b"these are plain words, not a database\n" * 50)
    with pytest.raises(IndexStateError, match="not a database"):
        SqliteGraphStore(path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexStateError, match="cannot be used"):
        SqliteGraphStore(tmp_path / "nowhere" / "graph.db")


def test_another_writer_makes_it_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.05)
    with SqliteGraphStore(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BaseLocked):
            store.add([ONE], [])
        other.execute("ROLLBACK")
        other.close()
        store.add([ONE], [])
        assert store.find(["one"]) == [ONE]


def test_text_that_is_no_unicode_is_refused_and_nothing_is_kept(path: Path) -> None:
    with SqliteGraphStore(path) as store:
        with pytest.raises(InputError, match="not valid Unicode"):
            store.add([ONE, Entity("x", "half \ud800", "thing")], [])
        assert store.find(["one"]) == []


def test_a_wide_step_passes_no_variable_limit(path: Path) -> None:
    # SQLite binds at most 32,766 variables by default; ids go in by a temporary table.
    many = [Entity(f"e{number:05d}", "x", "thing") for number in range(40_000)]
    with SqliteGraphStore(path) as store:
        store.add([ONE, *many], [Relation("1", "has", item.id, "c") for item in many])
        found = store.subgraph([item.id for item in many], hops=2, limit=50_000)
        assert len(found) == 40_000


def test_threads_share_one_store(path: Path) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                entity = Entity(f"{number}-{turn}", f"name {number}", "thing")
                store.add([entity, ONE], [Relation(entity.id, "is", ONE.id, f"c{number}")])
                store.neighbours([ONE.id], limit=1_000)
        except BaseException as error:
            failures.append(error)

    with SqliteGraphStore(path) as store:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(store.neighbours([ONE.id], limit=1_000)) == 40
