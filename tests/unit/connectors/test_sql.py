from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import ConfigError, InputError, RemoteError
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Source
from ragstack_connectors.sql import SqlConnector

QUERY = "SELECT id, title, body, author, changed FROM articles ORDER BY id"
ROWS = (
    ("1", "Bees", "They give honey.", "Ann", "2024-01-01 10:00:00"),
    ("2", "Été", "Il fait chaud : 30 °C.", None, "2024-02-01T10:00:00+02:00"),
    ("x/3 %", "Undated", "Text.", "Ben", None),
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "articles.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE articles (id, title, body, author, changed, who)")
        connection.executemany(
            "INSERT INTO articles (id, title, body, author, changed) VALUES (?, ?, ?, ?, ?)", ROWS
        )
    connection.close()
    return path


def run(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement, values)
    connection.close()


def made(path: Path, query: str = QUERY, **options: Any) -> SqlConnector:
    return SqlConnector(f"sqlite:///{path}", query, **{"key": "id", **options})


class TestSql(ConnectorSuite):
    @pytest.fixture(autouse=True)
    def _database(self, database: Path) -> None:
        self.path = database

    def make(self) -> SqlConnector:
        return made(self.path, updated="changed", name="articles")

    def change(self) -> str:
        run(self.path, "DELETE FROM articles WHERE id = '2'")
        return f"sqlite:///{self.path}#articles/2"

    def spoil(self) -> str:
        run(self.path, "INSERT INTO articles (id, title) VALUES (NULL, 'no key')")
        return f"sqlite:///{self.path}#articles/None"


def sources(connector: SqlConnector, **how: Any) -> list[Source]:
    return [each for each in connector.fetch(**how) if isinstance(each, Source)]


def test_a_row_is_written_by_the_template(database: Path) -> None:
    connector = made(
        database,
        template="# {title}\n\n{body} {author}",
        updated="changed",
        meta={"author": "author", "id": "number"},
        name="a b",
    )
    first, second, third = sources(connector)
    assert first.data == b"# Bees\n\nThey give honey. Ann"
    assert first.media_type == "text/markdown"
    assert first.uri == f"sqlite:///{database}#a%20b/1"
    assert first.meta == {"author": "Ann", "number": "1"}
    assert first.modified == datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert second.data.decode() == "# Été\n\nIl fait chaud : 30 °C. "
    assert second.modified == datetime(2024, 2, 1, 8, tzinfo=UTC)
    assert third.uri.endswith("/x%2F3%20%25") and third.modified is None


def test_without_a_template_each_column_has_a_line(database: Path) -> None:
    assert sources(made(database))[1].data.decode().splitlines() == [
        "id: 2", "title: Été", "body: Il fait chaud : 30 °C.", "changed: 2024-02-01T10:00:00+02:00",
    ]  # fmt: skip


def test_the_query_may_ask_for_the_moment_itself(database: Path) -> None:
    query = "SELECT id, title, changed FROM articles WHERE changed > :since AND title != 'a:b'"
    moment = datetime(2024, 1, 15, tzinfo=UTC)
    plain = made(database, query, name="a")
    assert [s.meta for s in sources(plain)] == [{}, {}]
    assert [s.uri[-1] for s in sources(plain, since=moment)] == ["2"]
    assert plain.present is None
    told = made(database, query, name="a", keys="SELECT id FROM articles")
    sources(told, since=moment)
    assert told.present is not None and len(told.present) == 3


def test_readers_come_from_a_column_and_an_empty_cell_is_no_leave(database: Path) -> None:
    run(database, """UPDATE articles SET who = '["ann", "staff"]' WHERE id = '1'""")
    run(database, "UPDATE articles SET who = 'ann, ben' WHERE id = '2'")
    query = "SELECT id, title, who FROM articles ORDER BY id"
    found = sources(made(database, query, readers_column="who"))
    assert [s.readers for s in found] == [("ann", "staff"), ("ann", "ben"), ("nobody",)]


def test_a_row_with_the_key_of_another_is_named(database: Path) -> None:
    run(database, "INSERT INTO articles (id, title) VALUES ('1', 'again')")
    connector = made(database)
    assert len(sources(connector)) == 3
    assert "key of another row" in connector.failures[0].reason


@pytest.mark.parametrize("query", ["DELETE FROM articles", "UPDATE x SET y = 1", "; SELECT 1", ""])
def test_only_a_select_is_a_query(database: Path, query: str) -> None:
    with pytest.raises(InputError, match="SELECT"):
        made(database, query or " ")


def test_a_query_with_comments_and_common_tables_is_one(database: Path) -> None:
    query = "-- all\n/* of them */ WITH a AS (SELECT * FROM articles) SELECT * FROM a"
    assert len(sources(made(database, query))) == 3


def test_a_column_that_is_not_there(database: Path) -> None:
    with pytest.raises(ConfigError, match=r"no column 'name'; it gives: id, title"):
        sources(made(database, key="name"))
    with pytest.raises(ConfigError, match="no column 'text'"):
        sources(made(database, template="{text}"))


def test_what_the_database_says_is_told_without_statement_or_password(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RemoteError, match="no such table: none") as raised:
        sources(made(database, "SELECT id, 'hidden-literal' FROM none"))
    assert "hidden-literal" not in str(raised.value)
    with pytest.raises(ConfigError, match="password in it") as refused:
        SqlConnector("postgresql://reader:open-sesame@host/db", QUERY, key="id")
    assert "sesame" not in str(refused.value)
    with pytest.raises(ConfigError, match="not installed"):
        SqlConnector("firebird://host/db", QUERY, key="id")
    with pytest.raises(ConfigError, match="no URL") as unread:
        monkeypatch.setenv("DB", "open-sesame@host")
        SqlConnector({"env": "DB"}, QUERY, key="id")
    assert "sesame" not in str(unread.value)
    monkeypatch.setenv("DB", f"sqlite:///{database}")
    monkeypatch.setenv("WORD", "open-sesame")
    assert len(sources(SqlConnector({"env": "DB"}, QUERY, key="id"))) == 3
    with pytest.raises(ConfigError, match="cannot be used") as unusable:
        SqlConnector({"env": "DB"}, QUERY, key="id", password={"env": "WORD"})
    assert "sesame" not in str(unusable.value)
