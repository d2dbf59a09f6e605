"""An index's folder: its manifest, replaced in one step, and the right of one process to write.

What the manifest names is committed; whatever else lies there was left behind by a killed process.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ragstack.errors import BaseError, BaseLocked, BaseVersionError, IndexStateError, InputError

__all__ = ["IndexFolder", "check_position", "check_search", "refuse_text", "standing_kind"]

FORMAT = 1
_ATTEMPTS = 20
_BROKEN = "the index in"

Result = TypeVar("Result")
Stamp = tuple[int, int, int]


class IndexFolder:
    """The place of one index on disk."""

    def __init__(self, path: str | os.PathLike[str], *, kind: str) -> None:
        self.path = Path(path)
        self._kind = kind
        self._manifest = self.path / "manifest.json"
        self._lock: int | None = None

    @property
    def locked(self) -> bool:
        """Whether this object holds the right to write."""
        return self._lock is not None

    def stamp(self) -> Stamp | None:
        """Return what changes whenever the manifest is replaced; None where there is none."""
        try:
            found = os.stat(self._manifest)
        except FileNotFoundError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def read(self) -> Mapping[str, Any] | None:
        """Return the manifest, or None for a folder that holds no index yet.

        Raises:
            BaseVersionError: A newer format.
            IndexStateError: It cannot be read, or another kind of index stands here.
        """
        try:
            found = json.loads(self._manifest.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self.broken(f"its manifest cannot be read: {error}") from error
        if not isinstance(found, dict) or found.get("kind") != self._kind:
            raise self.broken(f"it is not an index of kind {self._kind!r}")
        if found.get("format") != FORMAT:
            raise BaseVersionError(
                f"the index in {str(self.path)!r} has format {found.get('format')!r}, this program "
                f"knows {FORMAT}",
                hint="delete the folder: the index is rebuilt from the catalog",
            )
        return found

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest: before it is one state, after it is the other, never between."""
        part = self._manifest.with_suffix(".part")
        with open(part, "wb") as file:
            file.write(json.dumps({"kind": self._kind, "format": FORMAT, **manifest}).encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self._manifest)

    def lock(self) -> None:
        """Take the right to write; again is fine.

        Raises:
            BaseLocked: Another object or process has it.
        """
        if self._lock is not None:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise BaseError(f"{str(self.path)!r} cannot be written to: {error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            raise BaseLocked(
                f"another process is writing to the index {str(self.path)!r}",
                hint="wait until it is done, or stop it; searching works meanwhile",
            ) from error
        self._lock = file

    def unlock(self) -> None:
        """Let go of the right to write; a second call does nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def sweep(self, keep: Sequence[str]) -> None:
        """Delete what the manifest does not name. Who has it open keeps it."""
        for entry in self.path.iterdir():
            if entry.name in keep or entry.name in ("manifest.json", "writer.lock"):
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)

    def consistently(self, load: Callable[[], Result]) -> Result:
        """Return what ``load`` reads by the manifest, once no writer replaced it meanwhile.

        Raises:
            IndexStateError: A file that the manifest names is not there.
        """
        for _ in range(_ATTEMPTS):
            before = self.stamp()
            try:
                return load()
            except FileNotFoundError as error:
                if self.stamp() == before:
                    raise self.broken(f"{error.filename!r} is not there") from error
            except IndexStateError as error:
                if self.stamp() == before:
                    raise self.broken(error.message) from error
            except (KeyError, TypeError, ValueError) as error:
                raise self.broken(f"its manifest does not say {error}") from error
        raise self.broken("it changes faster than it can be read")

    def broken(self, why: str) -> IndexStateError:
        """Return the error that says the files do not hold together."""
        return IndexStateError(
            why
            if why.startswith(_BROKEN)
            else f"{_BROKEN} {str(self.path)!r} cannot be used: {why}",
            hint="delete the folder: the index is rebuilt from the catalog",
        )


def standing_kind(path: Path) -> str | None:
    """Return the kind of the index that a folder holds; None where none can be read."""
    try:
        found = json.loads((path / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return None
    kind = found.get("kind") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) else None


def refuse_text(values: object, what: str) -> None:
    """Refuse a lone string where a sequence of strings is expected."""
    if isinstance(values, str):
        raise InputError(f"{what} is a sequence of strings, got the text {values!r}")


def check_search(queries: Sequence[str], k: int) -> None:
    """Refuse a lone string of queries, and a ``k`` that is less than nothing."""
    refuse_text(queries, "queries")
    if k < 0:
        raise InputError(f"k cannot be {k!r}: 0 or more")


def check_position(position: int) -> None:
    """Refuse what is no position of a journal."""
    if position < 0:
        raise InputError(f"position cannot be {position!r}: 0 or more")
