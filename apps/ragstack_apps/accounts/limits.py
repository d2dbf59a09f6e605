"""Names of callers in, whether they may go on out: requests a minute, and answers at once.

In memory and for one process: a server started anew begins with full buckets.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ragstack.errors import RateLimited

__all__ = ["Answering", "Rate"]

_MOST = 10_000  # callers remembered; a full bucket is as good as none


class Rate:
    """A token bucket for each name: ``per_minute`` at once, and refilled steadily.

    Args:
        per_minute: 0 is any number.
        clock: Seconds that only ever grow.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = float(per_minute)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._guard = threading.Lock()

    def take(self, name: str) -> None:
        """Count a request; one of nobody in particular is not counted.

        Raises:
            RateLimited: The bucket is empty; the error says when it is not.
        """
        if not self._size or not name:
            return
        a_second = self._size / 60
        with self._guard:
            at = self._clock()
            left, since = self._buckets.pop(name, (self._size, at))
            left = min(self._size, left + (at - since) * a_second)
            enough = left >= 1
            self._buckets[name] = (left - 1 if enough else left, at)
            while len(self._buckets) > _MOST:
                self._buckets.popitem(last=False)
        if not enough:
            raise RateLimited(
                f"more than {self._size:g} requests in a minute", retry_s=(1 - left) / a_second
            )


class Answering:
    """How many answers each name has written for it now.

    Args:
        most: 0 is any number.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._now: dict[str, int] = {}
        self._guard = threading.Lock()

    @contextmanager
    def one(self, name: str) -> Iterator[None]:
        """Count an answer for as long as the block lasts.

        Raises:
            RateLimited: There are as many already.
        """
        self.begin(name)
        try:
            yield
        finally:
            self.end(name)

    def begin(self, name: str) -> None:
        """Count an answer that ``end`` ends.

        Raises:
            RateLimited: There are as many already.
        """
        with self._guard:
            count = self._now.get(name, 0)
            if self._most and name and count >= self._most:
                raise RateLimited(f"{count} answers are being written for the caller already")
            self._now[name] = count + 1

    def end(self, name: str) -> None:
        """Count an answer no more."""
        with self._guard:
            left = self._now.get(name, 0) - 1
            if left > 0:
                self._now[name] = left
            else:
                self._now.pop(name, None)
