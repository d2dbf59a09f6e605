"""A list of entries in, the Sources of those that changed out; what every service's connector does.

Knows no service: that is ``entries``, which each connector writes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ragstack.errors import DocumentError, RagstackError, RemoteError
from ragstack.types import Failure, Gone, Source
from ragstack_connectors.choose import Known, is_older
from ragstack_connectors.http import Fetcher

__all__ = ["Entry", "ListedConnector", "field_of", "moment_of"]


# What reading an answer of another shape raises.
_ODD = (AttributeError, KeyError, IndexError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a list says of one source.

    Attributes:
        read: Fetches the source itself; asked for only where it changed.
    """

    uri: str
    modified: datetime | None
    read: Callable[[], Source]


class ListedConnector(ABC):
    """A connector to a service that lists what it has.

    Attributes:
        failures: What could not be read in the last fetch, and why.
        present: After a fetch to the end, all that is there; None where the service did not say.
        known: What the caller has; anything else is yielded whatever its date.
    """

    def __init__(self, name: str, fetcher: Fetcher | None = None) -> None:
        self._name = name
        self._fetcher = fetcher
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    @abstractmethod
    def entries(self, since: datetime | None) -> Iterator[Entry]:
        """Yield what the service lists; all of it where ``since`` is None."""

    def lists_all(self, since: datetime | None) -> bool:
        """Return whether a list is one of everything, though it is asked with ``since``."""
        return True

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield what is there, or what changed since; a list that breaks off is a failure."""
        self.failures, self.present = [], None
        try:
            yield from self._changed(since)
        finally:
            self.close()

    def _changed(self, since: datetime | None) -> Iterator[Source]:
        after = None if since is None else _utc(since)
        asked = after if self.known is None else None  # old ones may be new to the caller
        met: set[str] = set()
        entries = self.entries(asked)
        while True:
            try:
                entry = next(entries, None)
            except (RemoteError, DocumentError) as error:
                self.failures.append(Failure(self._name, error.message))
                return
            except _ODD as error:
                self.failures.append(_odd(self._name, error))
                return
            if entry is None:
                break
            if entry.uri in met:
                continue
            met.add(entry.uri)
            if not is_older(entry.uri, entry.modified, after, self.known):
                source = self._read(entry)
                if source is not None:
                    yield source
        if asked is None or self.lists_all(asked):
            self.present = frozenset(met)

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        if self._fetcher is not None:
            self._fetcher.close()

    def _read(self, entry: Entry) -> Source | None:
        try:
            return entry.read()
        except (RemoteError, DocumentError) as error:
            self.failures.append(Failure(entry.uri, error.message))
        except _ODD as error:
            self.failures.append(_odd(entry.uri, error))
        return None


def _odd(uri: str, error: Exception) -> Failure:
    if isinstance(error, RagstackError):
        raise error  # a mistake in the options, and no answer
    reason = f"{type(error).__name__}: {error}"
    return Failure(uri, f"what the service answered is not as it documents: {reason}")


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def field_of(value: Any, path: str) -> Any:
    """Return what stands at a dotted path (``data.items``, ``labels.0.name``); None for nothing."""
    for part in path.split(".") if path else ():
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def moment_of(value: object) -> datetime | None:
    """Return the moment that ISO 8601 text or seconds since 1970 name, in UTC; else None."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(str(value)) if value else None
    except (ValueError, OverflowError, OSError):
        return None
    if found is None:
        return None
    return _utc(found)
