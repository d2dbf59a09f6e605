"""Files and folders that a base took in itself, remembered; whether a file is one of theirs, out.

A document's address says nothing of where it came from: a connector, or who sends documents in, may
give it any. So what is a file of this machine is known from what was taken in as files. Each is a
record of kind ``root``. A connector that reads files says where, by the attribute ``roots``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from ragstack.protocols import Records
from ragstack.types import Record

__all__ = ["KIND", "file_of", "note_roots"]

KIND = "root"
_MOST = 100_000


def note_roots(
    records: Records, connectors: Iterable[object], *, collection: str, readers: Sequence[str]
) -> None:
    """Remember the files and folders that connectors read, with who may see what is in them."""
    wanted = [str(root) for one in connectors for root in getattr(one, "roots", ())]
    known = _known(records, collection, readers) if wanted else []
    for root in wanted:
        # One file of a folder, read anew, is the folder's already.
        if not any(_inside(root, other) is not None for other in known):
            body = {"collection": collection, "path": root, "readers": sorted(readers)}
            key = "\n".join([collection, root, *sorted(readers)])
            records.put_record(Record(KIND, key, body, datetime.now(UTC)))


def file_of(
    records: Records, source: str, *, collection: str, readers: Sequence[str], outside: Path
) -> Path | None:
    """Return the file that a document's address names, where a root holds it; else None.

    It lies under a root that was taken in for the same readers, by no hidden name and no link on
    the way, and not in the folder ``outside``, which is the base's own.
    """
    path = Path(source)
    try:
        if "\0" in source or not path.is_absolute() or not path.is_file():
            return None
        there = path.resolve(strict=True)
        own = outside.resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    # Addresses of files are written resolved; one that is not goes elsewhere by a link, or by dots.
    if there.as_posix() != source or there == own or own in there.parents:
        return None
    for root in _known(records, collection, readers):
        below = _inside(source, root)
        if below is not None and not any(part.startswith(".") for part in below.parts):
            return there
    return None


def _known(records: Records, collection: str, readers: Sequence[str]) -> list[str]:
    same = (collection, sorted(readers))
    return [
        str(record.body["path"])
        for record in records.records(KIND, limit=_MOST)
        if (record.body.get("collection"), record.body.get("readers")) == same
    ]


def _inside(path: str, root: str) -> PurePosixPath | None:
    """Return a path as seen from a root that is it, or holds it; else None."""
    try:
        return PurePosixPath(path).relative_to(root)
    except ValueError:
        return None
