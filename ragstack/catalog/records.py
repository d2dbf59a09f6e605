"""Records in, the same records out. Knows nothing of what they are for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from ragstack.catalog.codec import decode, encode, encode_json
from ragstack.errors import InputError
from ragstack.types import Record

__all__ = ["add_record", "put_record", "record", "records", "remove_records"]

_COLUMNS = "kind, id, body, at, owner"
_NEW = f"INSERT INTO records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"


def put_record(connection: sqlite3.Connection, record: Record) -> None:
    """Store a record in place of the one of its name."""
    connection.execute(
        f"{_NEW} ON CONFLICT (kind, id) DO UPDATE"
        " SET body = excluded.body, at = excluded.at, owner = excluded.owner",
        _row_of(record),
    )


def add_record(connection: sqlite3.Connection, record: Record) -> bool:
    """Store a record unless there is one of its name; return whether it was stored."""
    return connection.execute(f"{_NEW} ON CONFLICT DO NOTHING", _row_of(record)).rowcount > 0


def record(connection: sqlite3.Connection, kind: str, record_id: str) -> Record | None:
    """Return a record, or None."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM records WHERE kind = ? AND id = ?",
        (encode(kind), encode(record_id)),
    ).fetchone()
    return _record_of(found) if found else None


def records(
    connection: sqlite3.Connection,
    kind: str,
    *,
    owner: str | None,
    before: datetime | None,
    limit: int,
) -> list[Record]:
    """Return records of a kind, the latest first, ties by id."""
    wanted, values = ["kind = ?"], [encode(kind)]
    if owner is not None:
        wanted.append("owner = ?")
        values.append(encode(owner))
    if before is not None:
        wanted.append("at < ?")
        values.append(_moment(before))
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM records WHERE {' AND '.join(wanted)} ORDER BY at DESC, id LIMIT ?",
        (*values, limit),
    )
    return [_record_of(row) for row in found]


def remove_records(connection: sqlite3.Connection, kind: str, record_ids: Sequence[str]) -> int:
    """Forget records of a kind; return how many were there."""
    name = encode(kind)
    return sum(
        connection.execute(
            "DELETE FROM records WHERE kind = ? AND id = ?", (name, encode(each))
        ).rowcount
        for each in record_ids
    )


def _row_of(record: Record) -> tuple[bytes, ...]:
    if not record.kind or not record.id:
        raise InputError(f"a record has a kind and an id, got {record.kind!r} and {record.id!r}")
    body = encode_json(dict(record.body), sort_keys=True)
    names = (encode(record.kind), encode(record.id))
    return (*names, body, _moment(record.at), encode(record.owner))


def _record_of(row: Sequence[bytes]) -> Record:
    kind, name, body, at, owner = (decode(part) for part in row)
    return Record(kind, name, json.loads(body), datetime.fromisoformat(at), owner)


def _moment(at: datetime) -> bytes:
    """Return a moment in UTC as text of one length, so that its order is that of time."""
    if at.tzinfo is None:
        raise InputError(f"a record's time has a time zone, got {at!r}")
    return at.astimezone(UTC).isoformat(timespec="microseconds").encode()
