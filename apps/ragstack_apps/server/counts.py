"""A collection and who asks in, how many documents and chunks they see there out."""

from __future__ import annotations

import threading
from collections import OrderedDict

from ragstack.filters import matches
from ragstack.pipeline.retrieve import visible
from ragstack.protocols import Catalog
from ragstack_apps.server.caller import Caller

__all__ = ["Counts"]

_KEPT = 512

_Key = tuple[str, frozenset[str]]
_Found = tuple[int, tuple[int, int]]


class Counts:
    """Counts for each caller, made anew when a collection has changed. Safe to use from threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._found: OrderedDict[_Key, _Found] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, caller: Caller, collection: str) -> tuple[int, int]:
        """Return the documents and chunks of a collection that the caller may see.

        Who administers the base is told of all of them, seen or not.
        """
        if caller.may("admin"):
            return self._catalog.counts(collection=collection)
        key = (collection, frozenset(caller.asker))
        position = self._catalog.position(collection=collection)
        with self._lock:
            known = self._found.get(key)
        if known is not None and known[0] == position:
            return known[1]
        condition = visible(None, caller.asker)
        sizes = [
            info.chunks
            for info in self._catalog.documents(collection=collection)
            if matches(condition, info.meta, info.readers)
        ]
        counts = (len(sizes), sum(sizes))
        with self._lock:
            self._found[key] = (position, counts)
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)
        return counts
