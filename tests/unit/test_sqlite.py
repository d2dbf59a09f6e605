from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ragstack.sqlite import open_wal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept.sqlite"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[sqlite3.Connection]]:
    """Every connection that is made, so that one nobody was given can be asked whether it is open.

    Those left open are closed when the test is over: the next test is not to suffer.
    """
    real, made = sqlite3.connect, []

    def connect(*arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*arguments, **options)  # type: ignore[call-overload]
        made.append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    yield made
    for connection in made:
        connection.close()


def tables(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")
    connection.commit()


def is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError as error:
        assert "closed" in str(error)
        return False
    return True


def asked(connection: sqlite3.Connection, pragma: str) -> object:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


def test_wal_is_on_and_the_tables_are_there(path: Path) -> None:
    with closing(open_wal(path, tables, busy_s=1)) as file:
        assert asked(file, "journal_mode") == "wal"
        assert file.execute("SELECT word FROM words").fetchall() == []
    with closing(sqlite3.connect(path)) as plain:
        assert asked(plain, "journal_mode") == "wal"


def test_the_busy_timeout_is_what_was_asked_for(path: Path) -> None:
    with closing(open_wal(path, tables, busy_s=0.25)) as file:
        assert asked(file, "busy_timeout") == 250


def test_a_file_that_is_no_database_leaves_no_connection(
    path: Path, opened: list[sqlite3.Connection]
) -> None:
    path.write_bytes(b"these are plain words, not a database\n" * 50)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        open_wal(path, tables, busy_s=1)
    assert [is_open(connection) for connection in opened] == [False]


def test_a_folder_that_is_not_there_is_an_operational_error(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        open_wal(tmp_path / "nowhere" / "kept.sqlite", tables, busy_s=1)


@pytest.mark.parametrize("error", [sqlite3.OperationalError, ValueError, KeyboardInterrupt])
def test_whatever_ends_the_preparing_leaves_no_connection(
    path: Path, opened: list[sqlite3.Connection], error: type[BaseException]
) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise error("on purpose")

    with pytest.raises(error, match="on purpose"):
        open_wal(path, fail, busy_s=1)
    assert [is_open(connection) for connection in opened] == [False]


def test_a_connection_that_is_given_out_is_open(
    path: Path, opened: list[sqlite3.Connection]
) -> None:
    """Or the tests above would pass for any connection."""
    assert is_open(open_wal(path, tables, busy_s=1))
    assert len(opened) == 1


def test_a_change_begins_a_transaction_unless_the_caller_begins_them(path: Path) -> None:
    with (
        closing(open_wal(path, tables, busy_s=1)) as by_itself,
        closing(open_wal(path, tables, busy_s=1, autocommit=True)) as by_caller,
    ):
        by_caller.execute("INSERT INTO words VALUES ('roof')")
        assert not by_caller.in_transaction
        by_itself.execute("INSERT INTO words VALUES ('mill')")
        assert by_itself.in_transaction


@pytest.mark.parametrize("shared", [True, False])
def test_another_thread_may_use_it_only_where_it_is_shared(path: Path, shared: bool) -> None:
    outcomes: list[object] = []

    def use(file: sqlite3.Connection) -> None:
        try:
            outcomes.append(file.execute("SELECT count(*) FROM words").fetchone()[0])
        except sqlite3.ProgrammingError as error:
            outcomes.append(error)

    with closing(open_wal(path, tables, busy_s=1, shared=shared)) as file:
        thread = threading.Thread(target=use, args=(file,))
        thread.start()
        thread.join()
    assert (outcomes == [0]) is shared
