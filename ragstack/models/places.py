"""Where model files are kept: one cache folder for a person, shared by all bases."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock

from ragstack.errors import ModelUnavailable, NotEnoughSpace

__all__ = ["cache_folder", "locked", "require_space"]

# Room left for everything else on the disk.
_MARGIN = 64 * 1024 * 1024


def cache_folder() -> Path:
    """Return the cache: ``RAGSTACK_CACHE``, else the platform's own place. It need not exist."""
    given = os.environ.get("RAGSTACK_CACHE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ragstack"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(local) / "ragstack"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragstack"


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        NotEnoughSpace: Says how much is needed and how much there is, in MB.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _MARGIN:
        raise NotEnoughSpace(
            f"{(needed + _MARGIN) / 1e6:,.0f} MB are needed in {str(folder)!r}, "
            f"{free / 1e6:,.0f} MB are free",
            hint="make room, or set RAGSTACK_CACHE to a folder on a larger disk",
        )


@contextlib.contextmanager
def locked(folder: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold a folder against other processes; one that holds it is waited for.

    Raises:
        ModelUnavailable: Another process still held it at the end of the wait.
    """
    lock = filelock.FileLock(folder / ".lock", timeout=timeout_s)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ModelUnavailable(
            f"another process has been fetching into {str(folder)!r} for {timeout_s:.0f} s",
            hint="wait for it, or end it; what it has fetched is kept",
        ) from error
    try:
        yield
    finally:
        lock.release()
