"""Model files by name: a table with licence, size and SHA-256, verified bytes in one cache.

Knows nothing of what a model is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ragstack.models.hub import answers as hub_answers
from ragstack.models.store import Listed, Resolved, Store
from ragstack.models.stream import Progress
from ragstack.models.table import DEFAULT, FALLBACKS, ModelFile

__all__ = [
    "DEFAULT",
    "FALLBACKS",
    "Listed",
    "ModelFile",
    "Progress",
    "Resolved",
    "Store",
    "add",
    "hub_answers",
    "is_vouched",
    "keep_beside",
    "listing",
    "path",
    "pull",
    "remove",
    "resolve",
    "try_once",
    "vouch",
]


def _unwatched(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def path(name_or_path: str | Path, *, pull: bool = False) -> Path:
    """Return where a model lies on this machine; see ``Store.path``."""
    return Store().path(name_or_path, pull=pull)


def resolve(
    name_or_path: str | Path = DEFAULT, *, pull: bool = True, progress: Progress = _unwatched
) -> Resolved:
    """Return the model asked for, or a smaller one with a note; see ``Store.resolve``."""
    return Store().resolve(name_or_path, pull=pull, progress=progress)


def pull(name: str, progress: Progress = _unwatched) -> Path:
    """Fetch a model and return its path; see ``Store.pull``."""
    return Store().pull(name, progress=progress)


def add(file: str | Path, *, name: str | None = None, progress: Progress = _unwatched) -> str:
    """Copy a model file into the cache and return its name; see ``Store.add``."""
    return Store().add(file, name=name, progress=progress)


def keep_beside(
    name: str, file: str | Path, *, filename: str = "", progress: Progress = _unwatched
) -> Path:
    """Copy a file into a model's folder and return its path; see ``Store.keep_beside``."""
    return Store().keep_beside(name, file, filename=filename, progress=progress)


def remove(name: str) -> bool:
    """Delete a model's files and return whether there were any; see ``Store.remove``."""
    return Store().remove(name)


def listing() -> list[Listed]:
    """Return every model that has a name; see ``Store.listing``."""
    return Store().listing()


def is_vouched(path: Path, *, beside: Path | Sequence[Path]) -> bool:
    """Return whether a file was tried before; see ``Store.is_vouched``."""
    return Store().is_vouched(path, beside=beside)


def vouch(path: Path, *, beside: Path | Sequence[Path]) -> None:
    """Remember that a file is sound; see ``Store.vouch``."""
    Store().vouch(path, beside=beside)


def try_once(path: Path, trial: Callable[[], object], *, beside: Path | Sequence[Path]) -> None:
    """Try a file, unless that was done before and went well; what the trial raises comes through.

    Args:
        beside: What it is tried with; see ``Store.is_vouched``.
    """
    if not is_vouched(path, beside=beside):
        trial()
        vouch(path, beside=beside)
