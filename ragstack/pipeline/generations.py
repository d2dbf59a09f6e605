"""What a base was made with, as its catalog records it: which generation, which embedder, chunker.

The indexes of generation 0 lie in ``collections/NAME``, those of generation N in
``collections/NAME@N``. A generation that is being built has its documents in the hidden collection
``~NAME``; one that was replaced waits as ``~old-NAME`` to be deleted.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath
from typing import Any, TypeVar

from ragstack.config import Plugin
from ragstack.errors import BaseError, InputError
from ragstack.protocols import Catalog, Settings

__all__ = [
    "Made",
    "as_data",
    "check_collection",
    "folder_of",
    "generation_of",
    "in_force",
    "made_with",
    "of_now",
    "record",
    "retired",
    "shadow",
    "sweep",
    "under_way",
]

Result = TypeVar("Result")

_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_GENERATION, _MADE, _TARGET = "generation", "made_with", "reindex"


@dataclass(frozen=True, slots=True)
class Made:
    """A plug-in that a base was made with.

    Attributes:
        plugin: The one in use.
        configured: What the configuration said when it was recorded. As long as it still says so,
            it has not been asked for anything else, and ``plugin`` is meant.
    """

    plugin: Plugin
    configured: Plugin


def generation_of(settings: Settings) -> int:
    """Return the number of the generation in force; 0 for a base that was never built anew."""
    return int(settings.setting(_GENERATION) or 0)


def of_now(generation: Callable[[], int], make: Callable[[int], Result]) -> Result:
    """Return what is made of the generation in force, though another takes its place meanwhile.

    Raises:
        BaseError: As ``make``, of a generation that stays.
    """
    while True:
        now = generation()
        try:
            return make(now)
        except BaseError:
            # Another process may have put a new one in its place while it was opened.
            if generation() == now:
                raise


def made_with(settings: Settings) -> dict[str, Made]:
    """Return what is recorded, by section of the configuration (``embed``, ``chunk``).

    Raises:
        BaseError: What is recorded cannot be read.
    """
    try:
        found = json.loads(settings.setting(_MADE) or "{}")
        return {
            section: Made(Plugin(*each["plugin"]), Plugin(*each["configured"]))
            for section, each in found.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaseError(f"what the base says it was made with cannot be read: {error}") from error


def record(made: Mapping[str, Made]) -> dict[str, str]:
    """Return the settings that record it."""
    found = {
        section: {"plugin": as_data(each.plugin), "configured": as_data(each.configured)}
        for section, each in made.items()
    }
    return {_MADE: json.dumps(found, sort_keys=True)}


def under_way(settings: Settings) -> str | None:
    """Return what a rebuild that has begun and not ended was asked for, or None."""
    return settings.setting(_TARGET)


def as_data(plugin: Plugin) -> list[Any]:
    """Return a plug-in as JSON holds it, so that what was read compares with what was written."""
    options: Any = json.loads(json.dumps(dict(plugin.options), sort_keys=True, default=_described))
    return [plugin.use, options]


def _described(value: object) -> str:
    """Return what names an object that a program gave as an option: its class and its settings.

    Never its place in memory, which is another one each time; settings only as a digest, since some
    of them may be secret.
    """
    if isinstance(value, (date, PurePath)):
        return str(value)
    held: Mapping[str, object] = getattr(value, "__dict__", {})
    plain = sorted((k, v) for k, v in held.items() if isinstance(v, (str, int, float, bool)))
    digest = hashlib.sha256(repr(plain).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{type(value).__module__}.{type(value).__qualname__}#{digest}"


def shadow(collection: str) -> str:
    """Return the hidden collection in which the next generation of a collection is built."""
    return f"~{collection}"


def retired(collection: str) -> str:
    """Return the hidden collection that holds the last generation until it is deleted."""
    return f"~old-{collection}"


def folder_of(collection: str, generation: int) -> str:
    """Return the name of the folder that holds a collection's indexes."""
    return f"{collection}@{generation}" if generation else collection


def sweep(catalog: Catalog, folder: Path) -> None:
    """Delete generations that were replaced, and indexes of collections that are not there.

    For who may write. What another process still reads, it keeps until it lets go.
    """
    building = under_way(catalog) is not None
    hidden = catalog.collections(hidden=True)
    for name in hidden:
        if name.startswith(retired("")) or not building:
            catalog.drop(name)
    number = generation_of(catalog)
    kept = {folder_of(name, number) for name in catalog.collections()}
    if building:
        kept |= {folder_of(name.removeprefix("~"), number + 1) for name in hidden}
    if folder.is_dir():
        for entry in folder.iterdir():
            if entry.name not in kept and entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)


def check_collection(name: str) -> None:
    """Refuse a name that cannot be a folder.

    Raises:
        InputError: It has other characters, or more than 64.
    """
    if not _COLLECTION.fullmatch(name):
        raise InputError(f"a collection's name is letters, digits, '-' and '_', got {name!r}")


def in_force(catalog: Catalog, section: str, configured: Plugin, follows: set[str]) -> Plugin:
    """Return the plug-in of a section: the configured one, or what the base was built anew with.

    Args:
        follows: Sections in which the base's own record was meant when it was first looked at;
            this one joins them where the configuration has not changed since it was built.
    """
    made = made_with(catalog).get(section)
    if made is None:
        return configured
    if as_data(made.configured) == as_data(configured):
        follows.add(section)
    if as_data(made.plugin) == as_data(configured):
        return configured  # its options may hold objects, of which the record has but the names
    building = under_way(catalog) is not None
    return made.plugin if building or section in follows else configured
