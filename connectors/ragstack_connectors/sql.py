"""A query to a database in, a Source for each row out. Any database that SQLAlchemy has a URL for.

The database is only ever read: a query is a SELECT, and what it did is rolled back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ragstack.errors import ConfigError, InputError, RemoteError
from ragstack.types import Failure, Gone, Scalar, Source
from ragstack_connectors.choose import Known, is_older
from ragstack_connectors.credentials import Env, scrubbed, secret

__all__ = ["SqlConnector"]

_READS = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*\(*\s*(select|with|values|table)\b", re.I | re.S
)
_FIELD = re.compile(r"\{([^{}]+)\}")
_SINCE = re.compile(r"(?<![:\w]):since\b")
_AT_ONCE = 500


class SqlConnector:
    """Turns the rows of a query into documents.

    Args:
        url: SQLAlchemy's, without a password: ``postgresql+psycopg://reader@host/db``; or all of it
            as ``{ env = "NAME" }``.
        query: A SELECT. Where it has ``:since``, the moment is given to it, and it leaves out what
            is older itself; else rows are compared by ``updated`` here.
        key: The column that names a row.
        template: The text of a document, ``{column}`` for a value; empty is a line for each column.
        updated: The column that says when a row changed; a moment without a zone is UTC.
        meta: Columns that become metadata; a mapping gives them other names.
        keys: A SELECT of the keys of all rows, for deletions to be noticed where the query has
            ``:since``.
        readers_column: The column with the users and groups that may see a row: a JSON list, or
            names with commas between.
        name: Part of every address, so that two queries on one database are kept apart; else
            eight digits that change with the query.
        password: ``{ env = "NAME" }``.

    Raises:
        InputError: A query that is no SELECT.
        ConfigError: A URL that cannot be used, or with a password in it; a driver not installed.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        url: str | Env,
        query: str,
        *,
        key: str,
        template: str = "",
        updated: str = "",
        meta: Sequence[str] | Mapping[str, str] = (),
        keys: str = "",
        readers_column: str = "",
        name: str = "",
        password: Env | None = None,
    ) -> None:
        for option, text in (("query", query), ("keys", keys)):
            if text and not _READS.match(text):
                raise InputError(f"{option} is {text[:80]!r}…; a SELECT was expected")
        if isinstance(meta, str):
            raise InputError(f"meta is {meta!r}; a list of columns was expected")
        self._query, self._key, self._template, self._updated = query, key, template, updated
        self._meta = dict(meta) if isinstance(meta, Mapping) else {name: name for name in meta}
        self._keys, self._readers = keys, readers_column
        self._asks_since = _SINCE.search(query) is not None
        self._url, self._secrets = _url(url, password)
        self._engine = _engine(self._url, self._secrets)
        part = name or hashlib.sha256(query.encode()).hexdigest()[:8]
        self._address = f"{_shown(self._url)}#{quote(part, safe='')}/"
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield the rows in the query's order; of those that are dated, the ones after ``since``.

        Raises:
            RemoteError: The database cannot be reached, or does not take the query.
            ConfigError: It gives no such column.
        """
        self.failures, self.present = [], None
        moment = since or datetime(1970, 1, 1, tzinfo=UTC)
        asked = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        seen: set[str] = set()
        try:
            with contextlib.closing(self._engine.connect()) as connection:
                given = {"since": asked.replace(tzinfo=None)} if self._asks_since else {}
                for row in _rows(connection, self._query, given):
                    source = self._source(row, seen)
                    if source is not None and not is_older(
                        source.uri, source.modified, since, self.known
                    ):
                        yield source
                if not self._asks_since or since is None:
                    self.present = frozenset(seen)
                elif self._keys:
                    rows = _rows(connection, self._keys, {})
                    found = (row.get(self._key, next(iter(row.values()))) for row in rows)
                    self.present = frozenset(self._uri(value) for value in found)
        except SQLAlchemyError as error:
            raise self._translated(error) from None

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._engine.dispose()

    def _source(self, row: Mapping[str, Any], seen: set[str]) -> Source | None:
        uri = self._uri(self._column(row, self._key))
        if row[self._key] is None or uri in seen:
            why = "has no key" if row[self._key] is None else "has the key of another row"
            self.failures.append(Failure(uri, f"the row {why} in the column {self._key!r}"))
            return None
        seen.add(uri)
        modified = _moment(self._column(row, self._updated)) if self._updated else None
        meta = {name: _scalar(self._column(row, column)) for column, name in self._meta.items()}
        readers = _names(self._column(row, self._readers)) if self._readers else ()
        text = self._text(row)
        return Source(
            uri, text.encode("utf-8", "replace"), "text/markdown", modified, meta, readers
        )

    def _text(self, row: Mapping[str, Any]) -> str:
        if self._template:
            return _FIELD.sub(lambda m: _shown_value(self._column(row, m[1])), self._template)
        values = ((name, _shown_value(value)) for name, value in row.items())
        return "\n".join(f"{name}: {value}" for name, value in values if value)

    def _column(self, row: Mapping[str, Any], name: str) -> Any:
        if name not in row:
            raise ConfigError(
                f"the query gives no column {name!r}; it gives: {', '.join(row)}",
                hint="name it in the SELECT, or give it that name: SELECT x AS name",
            )
        return row[name]

    def _uri(self, value: object) -> str:
        return self._address + quote(str(value), safe="")

    def _translated(self, error: SQLAlchemyError) -> RemoteError:
        said = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()
        reason = scrubbed(said[0] if said else type(error).__name__, self._secrets)
        return RemoteError(
            f"the database {_shown(self._url)} does not answer: {reason[:300]}",
            hint="check the address, the query, and who may read",
        )

    def __repr__(self) -> str:
        return f"SqlConnector({_shown(self._url)!r}, key={self._key!r})"


def _url(given: str | Env, password: Env | None) -> tuple[URL, list[str]]:
    whole = secret(given, option="url") if isinstance(given, Mapping) else given
    word = secret(password, option="password")
    try:
        url = make_url(whole)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "url is no URL of SQLAlchemy", hint="such as postgresql+psycopg://reader@host/db"
        ) from None
    if url.password is not None and not isinstance(given, Mapping):
        raise ConfigError(
            "url has a password in it",
            hint='name it as an option: password = { env = "NAME" }, or the whole url',
        )
    if word:
        url = url.set(password=word)
    return url, [str(url.password)] if url.password else []


def _engine(url: URL, secrets: Sequence[str]) -> sqlalchemy.Engine:
    try:
        return sqlalchemy.create_engine(url, hide_parameters=True, poolclass=sqlalchemy.NullPool)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"the driver of {url.drivername!r} is not installed: {error}",
            hint="pip install the driver that SQLAlchemy's page on this database names",
        ) from None
    except (SQLAlchemyError, ValueError, TypeError) as error:
        raise ConfigError(f"url cannot be used: {scrubbed(str(error), secrets)}") from None


def _shown(url: URL) -> str:
    """Return a database's address without user, password and options."""
    bare = URL.create(url.get_backend_name(), None, None, url.host, url.port, url.database)
    return bare.render_as_string(hide_password=True)


def _rows(
    connection: Connection, query: str, given: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    # A colon in a literal would be taken for a parameter; only :since is one.
    text = sqlalchemy.text(_escaped(query))
    if connection.dialect.name == "sqlite":  # as its driver wrote moments until Python 3.12
        given = {
            name: value.isoformat(" ") if isinstance(value, datetime) else value
            for name, value in given.items()
        }
    streamed = connection.execution_options(yield_per=_AT_ONCE)
    with contextlib.closing(streamed.execute(text, given)) as result:
        yield from (dict(row) for row in result.mappings())


def _escaped(query: str) -> str:
    return re.sub(r"(?<![:\w\\]):(?!since\b)(?=\w)", r"\\:", query)


def _moment(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return float(value) if isinstance(value, Decimal) else _shown_value(value)


def _shown_value(value: object) -> str:
    if value is None or isinstance(value, (bytes, memoryview)):
        return ""
    return value.isoformat() if isinstance(value, date) else str(value)


def _names(value: object) -> tuple[str, ...]:
    """Return the readers a cell names. A cell that names none would show the row to everyone."""
    found: object = value
    if isinstance(value, str):
        try:
            found = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        except ValueError:
            found = None
    if isinstance(found, (list, tuple)) and all(isinstance(each, str) for each in found):
        names = tuple(each.strip() for each in found if each.strip())
        if names:
            return names
    return ("nobody",)
