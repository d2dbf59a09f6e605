"""A folder in, the right to write to it out: one process at a time.

The lock is the kernel's (``flock``), so it goes when its process dies, however that happens; the
file holds the pid and host of who has it, for the message to the next one, and whether they only
pass by: a reader that brings an index up has it for a moment, and a writer waits for that.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from ragstack.errors import BaseError, BaseLocked

__all__ = ["WriteLock"]

FILE_NAME = "write.lock"
_PATIENCE_S = 30.0  # for who passes by
_POLL_S = 0.005


class WriteLock:
    """The exclusive right to write to a folder; a context manager that may be entered again.

    One object may be shared by the threads of a process: it counts how often it was acquired, and
    lets go with the last release. Two objects exclude each other, in one process too.

    Args:
        name: The lock's file: another one is another right.
    """

    def __init__(self, folder: str | os.PathLike[str], *, name: str = FILE_NAME) -> None:
        self._path = Path(folder) / name
        self._guard = threading.Lock()
        self._file: int | None = None
        self._held = 0
        self._passing = False
        _ALL.add(self)

    @property
    def held(self) -> bool:
        """Whether this object has the lock."""
        return self._held > 0

    def acquire(self, *, passing: bool = False, patience_s: float = _PATIENCE_S) -> None:
        """Take the lock, or once more.

        Args:
            passing: As in ``passing``.
            patience_s: How long to wait for who passes by. A writer is not waited for.

        Raises:
            BaseLocked: Another one has it; the message names its process.
            BaseError: The folder is not there or cannot be written to.
        """
        end = time.monotonic() + patience_s
        while not self._acquired(passing):
            if passing or time.monotonic() >= end or not _passes_by(self._path):
                raise BaseLocked(
                    f"{_holder(self._path)} is writing to {str(self._path.parent)!r}",
                    hint="wait until it is done, or stop it; reading works meanwhile",
                )
            time.sleep(_POLL_S)

    def _acquired(self, passing: bool) -> bool:
        # Not held while waiting: another thread may pass by with this very object.
        with self._guard:
            if not self._held:
                self._file = self._take()
            if self._file is None:
                return False
            if not self._held or (self._passing and not passing):
                self._passing = passing
                self._note(self._file)
            self._held += 1
            return True

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Have the lock for a moment, beside other work: a writer waits for that.

        Raises:
            BaseLocked: Another one has it; who passes by does not wait.
        """
        self.acquire(passing=True)
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Let go once; the last time frees the lock. More often than acquired does nothing."""
        with self._guard:
            if self._held:
                self._held -= 1
            if not self._held:
                self._drop()

    def close(self) -> None:
        """Let go for good, however often it was acquired."""
        with self._guard:
            self._held = 0
            self._drop()

    def __enter__(self) -> WriteLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _take(self) -> int | None:
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise BaseError(
                f"the folder {str(self._path.parent)!r} cannot be written to: {error}",
                hint="look at its owner and rights, and whether the disk is mounted for reading",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        except OSError as error:
            os.close(file)
            raise BaseError(f"{str(self._path)!r} cannot be locked: {error}") from error
        return file

    def _note(self, file: int) -> None:
        said = {"pid": os.getpid(), "host": _host(), "passing": self._passing}
        with suppress(OSError):  # a full disk: the lock holds, the next one is not told by whom
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(said).encode(), 0)

    def _drop(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, 0)  # who comes next is not taken for this one
            # Not by closing alone: a child that is just being forked may still have it open.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._forget()

    def _forget(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self._held = None, 0


_ALL: weakref.WeakSet[WriteLock] = weakref.WeakSet()


def _host() -> str:
    return socket.gethostname()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes()[:1_000] or b"{}")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _passes_by(path: Path) -> bool:
    # Nothing noted: it was taken a moment ago, and by whom will stand there in the next.
    found = _read(path)
    return bool(found.get("passing", not found))


def _holder(path: Path) -> str:
    try:
        found = _read(path)
        pid, host = int(found["pid"]), str(found["host"])
    except (ValueError, KeyError, TypeError):
        return "another process"
    if host != _host():
        return f"process {pid} on {host!r}"
    return f"process {pid}" if pid != os.getpid() else f"this process ({pid}), elsewhere in it,"


def _forget_in_child() -> None:
    # A forked worker has the parent's file open; kept, the lock would outlive the parent.
    for lock in list(_ALL):
        lock._guard = threading.Lock()
        lock._forget()


os.register_at_fork(after_in_child=_forget_in_child)
