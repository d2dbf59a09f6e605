"""``[sync.NAME]`` tables in, checked Places out. Reaches for no place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ragstack.errors import ConfigError, InputError
from ragstack.pipeline.ingest import checked_meta
from ragstack.types import Meta

__all__ = ["Place", "places_of", "seconds_of"]

_EVERY = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])", re.ASCII)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_SHORTEST_S = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """A place that is kept up with.

    Attributes:
        name: The table's.
        use: The connector's registered name.
        options: What the connector's constructor is given.
        every_s: Seconds between two syncs where they go by themselves; 0 leaves it to the caller.
    """

    name: str
    use: str
    options: Mapping[str, Any] = field(repr=False)
    collection: str = "default"
    readers: tuple[str, ...] = ()
    meta: Meta = field(default_factory=dict)
    every_s: float = 0.0


def places_of(tables: Mapping[str, Any], names: Sequence[str] = ()) -> list[Place]:
    """Return the places of these names, in the order of the configuration; all where none is named.

    Raises:
        ConfigError: A name that no table has, or a table that cannot be used.
    """
    for name in names:
        if name not in tables:
            known = ", ".join(tables) or "none"
            near = difflib.get_close_matches(name, tables, n=1)
            raise ConfigError(
                f"no place to sync is named {name!r}; known: {known}",
                hint=f"did you mean {near[0]!r}?"
                if near
                else f"write a table [sync.{name}] in ragstack.toml: docs/guides/connectors.md",
            )
    return [_place(name, table) for name, table in tables.items() if not names or name in names]


def seconds_of(text: object, *, option: str = "every") -> float:
    """Return the seconds that ``15m``, ``2h``, ``1d`` or ``30s`` say.

    Raises:
        InputError: Another form, or less than a second.
    """
    found = _EVERY.fullmatch(text.strip()) if isinstance(text, str) else None
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds < _SHORTEST_S:
        raise InputError(f"{option} is {text!r}; a time as in 30s, 15m, 2h or 1d was expected")
    return seconds


def _place(name: str, table: Mapping[str, Any]) -> Place:
    options = dict(table)
    where = f"[sync.{name}]"
    use = options.pop("use", None)
    if not isinstance(use, str):
        raise ConfigError(f'{where} names no connector: write use = "web"')
    collection = options.pop("collection", "default")
    if not isinstance(collection, str) or not collection:
        raise ConfigError(f"collection in {where} is {collection!r}; a name was expected")
    readers = options.pop("readers", ())
    if not isinstance(readers, (list, tuple)) or not all(isinstance(r, str) for r in readers):
        # A text would be read as a list of letters, each of them a reader.
        raise ConfigError(f"readers in {where} is {readers!r}; a list of names was expected")
    every, meta = options.pop("every", None), options.pop("meta", {})
    if not isinstance(meta, Mapping):
        raise ConfigError(f"meta in {where} is {meta!r}; a table was expected")
    try:
        every_s = 0.0 if every is None else seconds_of(every)
        checked = checked_meta(meta)
    except InputError as error:
        raise ConfigError(f"{where}: {error.message}") from error
    return Place(name, use, options, collection, tuple(readers), checked, every_s)
