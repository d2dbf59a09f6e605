"""What comes slowly in, batches out that are written in turns: the lock is not held meanwhile.

Knows nothing of places and sources.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ragstack.catalog.lock import WriteLock
from ragstack.errors import BaseLocked

__all__ = ["Bounds", "alone", "in_batches", "turn"]

T = TypeVar("T")

_POLL_S = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a batch is whole; it is at most one item larger than that.

    Attributes:
        count: Items.
        size: Their sizes together, in bytes.
        seconds: Since its first item came, looked at when the next one comes.
    """

    count: int = 512
    size: int = 16_000_000
    seconds: float = 10.0


def in_batches(items: Iterable[T], size: Callable[[T], int], bounds: Bounds) -> Iterator[list[T]]:
    """Yield the items in their order, a batch as soon as it is whole, and no empty one.

    Args:
        size: Bytes of an item.
    """
    batch: list[T] = []
    held, begun = 0, 0.0
    for item in items:
        begun = begun if batch else time.monotonic()
        batch.append(item)
        held += size(item)
        late = time.monotonic() - begun >= bounds.seconds
        if late or held >= bounds.size or len(batch) >= bounds.count:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


@contextmanager
def turn(
    writing: Callable[[], AbstractContextManager[None]], *, patience_s: float = 300.0
) -> Iterator[None]:
    """Hold the right to write, after whoever has it now.

    Raises:
        BaseLocked: Another one has had it for all of ``patience_s``.
    """
    with ExitStack() as held:
        end, told = time.monotonic() + patience_s, False
        while True:
            try:
                held.enter_context(writing())
                break
            except BaseLocked as error:
                if time.monotonic() >= end:
                    raise
                if not told:
                    _log.warning("waiting: %s", error.message)
                told = True
                time.sleep(_POLL_S)
        yield


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Keep a second sync of a place out while this one fetches: two would forget for each other.

    Raises:
        BaseLocked: Another one is at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    lock = WriteLock(folder, name=f"sync-{key}.lock")
    try:
        lock.acquire()
    except BaseLocked as error:
        raise BaseLocked(
            f"{name!r} is being synced already: {error.message}",
            hint="wait until it is done, or stop it",
        ) from error
    try:
        yield
    finally:
        lock.close()
