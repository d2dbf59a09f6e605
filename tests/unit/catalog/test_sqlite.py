from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from ragstack.catalog import database, schema
from ragstack.catalog.sqlite import SqliteCatalog
from ragstack.errors import BaseError, BaseLocked, BaseVersionError, InputError
from ragstack.testing.catalogs import chunks_in, document_of
from ragstack.types import Turn


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.db"
    catalog = SqliteCatalog(path)
    document = document_of("s", "text " * 2_000)
    catalog.put(document, chunks_in(document, 500), collection="c", origin="o")
    catalog.close()
    return path


def test_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_bytes(b"This is a text, and a long enough one to be no database. " * 100)
    with pytest.raises(BaseError, match="damaged or is not a catalog"):
        SqliteCatalog(path)
    assert path.read_bytes().startswith(b"This is a text")


def test_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(BaseError, match="not a catalog of ragstack"):
        SqliteCatalog(path)
    assert path.read_bytes() == before


def test_newer_format_is_refused(filled: Path) -> None:
    raw = sqlite3.connect(filled)
    raw.execute(f"PRAGMA user_version = {schema.FORMAT + 1}")
    raw.close()
    with pytest.raises(BaseVersionError, match=f"format {schema.FORMAT + 1}"):
        SqliteCatalog(filled)


def test_older_format_is_migrated(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (*schema.MIGRATIONS, ("CREATE TABLE later (a)",), ("INSERT INTO later VALUES (7)",))
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    monkeypatch.setattr(schema, "FORMAT", len(steps))
    with pytest.raises(BaseVersionError, match="open it for writing once"):
        SqliteCatalog(filled, read_only=True)
    for _ in range(2):
        catalog = SqliteCatalog(filled)
        assert catalog.counts(collection="c") == (1, 20)
        catalog.close()
    raw = sqlite3.connect(filled)
    assert raw.execute("SELECT a FROM later").fetchall() == [(7,)]
    raw.close()


def test_failed_migration_changes_nothing(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (*schema.MIGRATIONS, ("CREATE TABLE later (a)", "INSERT INTO nowhere VALUES (7)"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", steps)
        patch.setattr(schema, "FORMAT", len(steps))
        with pytest.raises(BaseError, match="nowhere"):
            SqliteCatalog(filled)
    catalog = SqliteCatalog(filled)
    assert catalog.counts(collection="c") == (1, 20)
    catalog.close()


def test_damaged_file_is_named(filled: Path) -> None:
    data = bytearray(filled.read_bytes())
    for start in range(4_096, len(data), 4_096):
        data[start : start + 2_048] = b"\xff" * 2_048
    filled.write_bytes(data)
    with (
        pytest.raises(BaseError, match="damaged"),
        contextlib.closing(SqliteCatalog(filled)) as catalog,
    ):
        catalog.chunks_of(document_of("s", "").id, collection="c")


def test_read_only(filled: Path, tmp_path: Path) -> None:
    catalog = SqliteCatalog(filled, read_only=True)
    assert catalog.counts(collection="c") == (1, 20)
    with pytest.raises(BaseError, match="opened for reading"):
        catalog.set_setting("a", "b")
    catalog.close()
    with pytest.raises(BaseError, match="cannot be opened"):
        SqliteCatalog(tmp_path / "none.db", read_only=True)
    assert not (tmp_path / "none.db").exists()


def test_read_only_medium(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database.os, "access", lambda *_: False)
    catalog = SqliteCatalog(filled, read_only=True)
    assert catalog.counts(collection="c") == (1, 20)
    catalog.close()
    assert [path.name for path in filled.parent.iterdir()] == [filled.name]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="cannot be opened"):
        SqliteCatalog(tmp_path / "nowhere" / "catalog.db")


def test_path_with_signs_of_an_address(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%20 é.db"
    SqliteCatalog(path).close()
    assert path.exists()


def test_busy_writer_is_named(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    catalog, other = SqliteCatalog(filled), sqlite3.connect(filled, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BaseLocked) as caught:
        catalog.set_setting("a", "b")
    assert caught.value.retryable
    assert catalog.counts(collection="c") == (1, 20)
    other.execute("ROLLBACK")
    other.close()
    catalog.set_setting("a", "b")
    catalog.close()


def test_backup_opens_as_a_catalog(filled: Path, tmp_path: Path) -> None:
    catalog = SqliteCatalog(filled)
    catalog.append_turn("chat", Turn("q", "a"))
    catalog.backup(str(tmp_path / "copy.db"))
    catalog.remove([document_of("s", "").id], collection="c")
    copy = SqliteCatalog(tmp_path / "copy.db")
    assert copy.counts(collection="c") == (1, 20)
    assert copy.chats() == ["chat"]
    assert copy.position(collection="c") == 20
    copy.close()
    catalog.close()


def test_unchanged_text_is_not_written_again(filled: Path) -> None:
    catalog, document = SqliteCatalog(filled), document_of("s", "text " * 2_000)
    catalog.put(document, chunks_in(document, 500), collection="c", origin="o")
    size = filled.with_name("catalog.db-wal").stat().st_size
    catalog.put(document, chunks_in(document, 500), collection="c", origin="p")
    assert filled.with_name("catalog.db-wal").stat().st_size - size < 20_000
    assert [info.origin for info in catalog.documents(collection="c")] == ["p"]
    catalog.close()


def test_removed_text_is_gone_from_the_file(filled: Path) -> None:
    catalog = SqliteCatalog(filled)
    catalog.remove([document_of("s", "").id], collection="c")
    catalog.close()
    raw = sqlite3.connect(filled)
    for table in ("documents", "chunks", "texts"):
        assert raw.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    raw.close()


def test_fifty_chunks_are_quick(tmp_path: Path) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    ids = []
    for number in range(20):
        document = document_of(f"s{number}", f"some text {number} " * 6_000)
        chunks = chunks_in(document, 1_000)
        catalog.put(document, chunks, collection="c", origin="")
        ids += [chunk.id for chunk in chunks[::20]]
    seconds = []
    for start in range(20):
        wanted = (ids[start:] + ids)[:50]
        began = time.perf_counter()
        assert len(catalog.chunks(wanted, collection="c")) == 50
        seconds.append(time.perf_counter() - began)
    catalog.close()
    assert min(seconds) < 0.02  # measured 0.001; a whole document for each chunk would be 0.05


def test_one_reading_sees_one_state(filled: Path) -> None:
    catalog, other = SqliteCatalog(filled), SqliteCatalog(filled)
    with catalog._database.reading() as connection:
        before = connection.execute("SELECT count(*) FROM chunks").fetchone()
        other.remove([document_of("s", "").id], collection="c")
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == before == (20,)
    assert catalog.counts(collection="c") == (0, 0)
    catalog.close()
    other.close()


def test_connections_are_used_again(filled: Path) -> None:
    catalog = SqliteCatalog(filled)
    for _ in range(50):
        catalog.counts(collection="c")
    assert len(catalog._database._idle) == 1
    with catalog._database.reading():
        catalog.counts(collection="c")
        catalog.close()
    assert catalog._database._idle == []


def test_there_is_nothing_to_replace_in_a_chat_without_turns(tmp_path: Path) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
    with pytest.raises(InputError, match="no turn"):
        catalog.replace_turn("x", Turn("q", "a"))
    catalog.close()
