"""A base in, one archive out, and back. Indexes are derived, so they are rebuilt and not carried.

The archive is a zip with ``manifest.json`` (format, SHA-256 of each member), the catalog, the cache
of vectors, and the base's own ``ragstack.toml`` when it has one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ragstack.errors import BaseError, BaseVersionError, InputError, NotFound
from ragstack.pipeline.stack import Stack

__all__ = ["backup", "restore"]

FORMAT = 1
_MEMBERS = ("catalog.sqlite", "embeddings.sqlite", "ragstack.toml")
_PIECE = 1 << 20


def backup(stack: Stack, target: Path) -> dict[str, int]:
    """Write the base to a new archive, while others read and write it; return bytes by member.

    Raises:
        InputError: The target is there already.
        NotFound: There is no base to back up.
    """
    if target.exists():
        raise InputError(f"{str(target)!r} is there already; name a new file")
    if not (stack.folder / "catalog.sqlite").exists():
        raise NotFound(f"there is no base in {str(stack.folder)!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as scratch:
        folder = Path(scratch)
        stack.parts.catalog.backup(str(folder / "catalog.sqlite"))
        _copy_database(stack.folder / "embeddings.sqlite", folder / "embeddings.sqlite")
        _copy_file(stack.folder / "ragstack.toml", folder / "ragstack.toml")
        members = [name for name in _MEMBERS if (folder / name).exists()]
        manifest = {
            "format": FORMAT,
            "sha256": {name: _digest(folder / name) for name in members},
        }
        archive = folder / "archive.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
            out.writestr("manifest.json", json.dumps(manifest, indent=2))
            for name in members:
                out.write(folder / name, name)
        os.replace(archive, target)
        return {name: (folder / name).stat().st_size for name in members}


def restore(archive: Path, folder: Path) -> None:
    """Make a base from an archive, in a folder that is empty or not there; indexes are rebuilt.

    Raises:
        NotFound: There is no such archive.
        InputError: The folder holds something.
        BaseError: The archive is damaged, or is none.
    """
    if not archive.is_file():
        raise NotFound(f"there is no archive {str(archive)!r}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{str(folder)!r} is not empty", hint="restore into a new folder: --base NEW"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".restore-") as scratch:
        fresh = Path(scratch) / "base"
        fresh.mkdir()
        _unpack(archive, fresh)
        if folder.exists():
            folder.rmdir()
        os.replace(fresh, folder)
    with Stack.open(folder) as stack:
        for collection in stack.parts.catalog.collections():
            stack.catch_up(collection)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as source:
            manifest = _manifest(source)
            for name, digest in manifest.items():
                with source.open(name) as member, (folder / name).open("wb") as out:
                    while piece := member.read(_PIECE):
                        out.write(piece)
                if _digest(folder / name) != digest:
                    raise BaseError(f"{name!r} in {str(archive)!r} is damaged")
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
        raise BaseError(f"{str(archive)!r} is not a backup that can be read: {error}") from error


def _manifest(source: zipfile.ZipFile) -> Mapping[str, str]:
    manifest = json.loads(source.read("manifest.json"))
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise BaseVersionError(
            f"the archive has format {found!r}, this ragstack reads {FORMAT}",
            hint="restore it with the ragstack that wrote it, or a newer one",
        )
    digests = manifest["sha256"]
    unknown = set(digests) - set(_MEMBERS)
    if unknown or "catalog.sqlite" not in digests:
        raise BaseError(f"the archive's members are not a base's: {sorted(digests)}")
    return {str(name): str(digest) for name, digest in digests.items()}


def _copy_database(source: Path, target: Path) -> None:
    if not source.exists():
        return
    with sqlite3.connect(source) as read, sqlite3.connect(target) as write:
        read.backup(write)
    read.close()
    write.close()


def _copy_file(source: Path, target: Path) -> None:
    if source.exists():
        target.write_bytes(source.read_bytes())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
