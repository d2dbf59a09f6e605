"""A tantivy folder that is written to in, one that never changes out.

tantivy makes changes visible only by making them durable. So it writes to a folder of its own, and
a commit of ours is a second folder of hard links to the segments it has then: files that tantivy
writes once and never changes. Merging and deleting in the first folder do not touch them.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from ragstack.errors import IndexStateError

__all__ = ["publish", "revive"]

_META, _MANAGED = "meta.json", ".managed.json"
_ATTEMPTS = 50


def publish(live: Path, target: Path) -> None:
    """Make a folder of what tantivy has committed in ``live``.

    Raises:
        IndexStateError: The segments that tantivy names are not there.
    """
    for _ in range(_ATTEMPTS):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        try:
            meta = (live / _META).read_bytes()
            _link(live, target, _segments(meta))
            (target / _META).write_bytes(meta)
            _sync(target / _META)
            _sync(target)
            return
        except FileNotFoundError:
            continue  # a merge ended meanwhile: other segments hold the same, look again
    raise IndexStateError(f"{str(live)!r} does not hold the segments it names")


def revive(snapshot: Path, live: Path) -> None:
    """Fill an empty folder with what a published one holds, so that tantivy may write to it."""
    meta = (snapshot / _META).read_bytes()
    names = _link(snapshot, live, _segments(meta))
    (live / _META).write_bytes(meta)
    # tantivy deletes what is on this list and no longer needed
    (live / _MANAGED).write_text(json.dumps([*names, _META]))


def _segments(meta: bytes) -> set[str]:
    try:
        return {each["segment_id"].replace("-", "") for each in json.loads(meta)["segments"]}
    except (ValueError, KeyError, TypeError) as error:
        raise IndexStateError(f"the list of segments cannot be read: {error}") from error


def _link(source: Path, target: Path, segments: set[str]) -> list[str]:
    names = [name for name in os.listdir(source) if name.partition(".")[0] in segments]
    found = {name.partition(".")[0] for name in names}
    if found != segments:
        raise FileNotFoundError(2, "segments are not there", str(source))
    for name in names:
        try:
            os.link(source / name, target / name)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links
            shutil.copyfile(source / name, target / name)
    return names


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
