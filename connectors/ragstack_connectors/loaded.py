"""What another library loaded in, sources out: addresses that differ, and only what is new."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ragstack.types import READ_TEXT, Scalar, Source
from ragstack_connectors.choose import Known, is_older

__all__ = ["Loaded", "digest_of", "moment_in", "sources_of"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document as a library of others has it.

    Attributes:
        address: Several may have the same one: the pages of a file.
        modified: What its metadata says of that: a moment, its text, or anything else for none.
    """

    address: str
    text: str
    modified: object
    meta: Mapping[str, Scalar]


def sources_of(
    documents: Iterable[Loaded], met: set[str], *, since: datetime | None, known: Known
) -> Iterator[Source]:
    """Yield each document; only those dated after ``since`` or not dated, if it is given.

    Args:
        met: Every address there is, those left out too, is added to it.
        known: What the caller has; anything else is yielded whatever its date.
    """
    times: dict[str, int] = {}
    for document in documents:
        base = document.address
        times[base] = times.get(base, 0) + 1
        uri = base if times[base] == 1 else f"{base}#{times[base]}"
        modified = moment_in(document.modified)
        met.add(uri)
        if is_older(uri, modified, since, known):
            continue
        data = document.text.encode("utf-8", "replace")
        yield Source(uri, data, media_type=READ_TEXT, modified=modified, meta=document.meta)


def digest_of(text: str) -> str:
    """Return what names a text that has no address: it changes with each letter."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def moment_in(value: object) -> datetime | None:
    """Return the moment that a metadata's value is or says, UTC where it names no zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
