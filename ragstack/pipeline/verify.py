"""A base in, a comparison of every index with the catalog out; and, when asked, its repair.

An index is wrong when it cannot be opened, lacks chunks, holds chunks that are gone, or holds one
in another form than it would be given now. One that is merely behind is not: the next search or
ingest takes it on. The catalog is the truth; what is wrong in it, only a backup brings back.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from ragstack.errors import EmbedderMismatch, IndexStateError
from ragstack.pipeline.stack import Stack
from ragstack.protocols import Auditable, Catalog, Index
from ragstack.types import Chunk

__all__ = ["IndexCheck", "VerifyReport", "verify"]

SAMPLE = 256
_NAMED = 10  # ids shown of what is wrong
_NEAR = 50  # hits among which a chunk must be that is asked for by its own words


@dataclass(frozen=True, slots=True)
class IndexCheck:
    """What a comparison of one index found.

    Attributes:
        behind: Journal positions that it has not applied; no fault.
        missing: Chunks of the catalog that it lacks.
        surplus: Chunks that it holds and the catalog does not.
        damaged: Of the chunks looked at, those it holds in another form.
        looked_at: Chunks whose form was compared.
        examples: Ids of some that are missing, surplus or damaged.
        fault: Why it cannot be used at all, else empty.
        repaired: Whether it was built anew.
    """

    collection: str
    slot: str
    use: str
    chunks: int = 0
    behind: int = 0
    missing: int = 0
    surplus: int = 0
    damaged: int = 0
    looked_at: int = 0
    examples: tuple[str, ...] = ()
    fault: str = ""
    repaired: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.surplus or self.damaged or self.fault)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        problems: What is wrong in the catalog itself.
        checks: One for each index of each collection, as it was found.
    """

    problems: tuple[str, ...] = ()
    checks: tuple[IndexCheck, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all is well now: what was wrong in an index counts until it is repaired."""
        return not self.problems and all(check.ok or check.repaired for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Held:
    """What the catalog holds of a collection, but for documents that an index waits for."""

    catalog: Catalog
    collection: str
    ids: frozenset[str] = field(repr=False)

    def sample(self, size: int | None, pending: frozenset[str]) -> list[Chunk]:
        """Return some of the chunks, by a fixed lot; all where ``size`` is None."""
        ids = sorted(self.ids - pending)
        chosen = (
            ids if size is None or size >= len(ids) else random.Random(len(ids)).sample(ids, size)
        )
        return list(self.catalog.chunks(chosen, collection=self.collection).values())


def verify(stack: Stack, *, repair: bool = False, sample: int | None = SAMPLE) -> VerifyReport:
    """Compare every index of every collection with the catalog.

    Args:
        repair: Build anew what is wrong.
        sample: Chunks of each index whose vectors or words are compared; None is all of them.

    Raises:
        BaseLocked: Another process is writing; while it does, nothing can be compared.
    """
    with stack.writing():
        stack.parts.sweep()
        catalog = stack.parts.catalog
        problems = tuple(catalog.problems())
        checks: list[IndexCheck] = []
        for collection in catalog.collections():
            held = _Held(catalog, collection, _ids(catalog, collection))
            for slot in stack.config.index:
                found = _check(stack, held, slot, sample)
                if repair and not found.ok:
                    found = _repaired(stack, found)
                checks.append(found)
        return VerifyReport(problems, tuple(checks))


def _repaired(stack: Stack, found: IndexCheck) -> IndexCheck:
    stack.parts.discard(found.collection, found.slot)
    stack.catch_up(found.collection)
    return IndexCheck(
        **{name: getattr(found, name) for name in found.__slots__ if name != "repaired"},
        repaired=True,
    )


def _check(stack: Stack, held: _Held, slot: str, sample: int | None) -> IndexCheck:
    use = stack.config.index[slot].use
    if use == "live":
        return IndexCheck(held.collection, slot, use)  # it holds nothing that could be wrong
    try:
        index = stack.parts.open_index(held.collection, slot)
    except (IndexStateError, EmbedderMismatch) as error:
        return IndexCheck(held.collection, slot, use, fault=error.message)
    try:
        return _compare(index, held, IndexCheck(held.collection, slot, use), sample)
    except IndexStateError as error:
        return IndexCheck(held.collection, slot, use, fault=error.message)
    finally:
        index.close()


def _compare(index: Index, held: _Held, blank: IndexCheck, sample: int | None) -> IndexCheck:
    catalog, collection = held.catalog, held.collection
    now, reached = catalog.position(collection=collection), index.position
    fault = "it is ahead of the catalog" if reached > now else ""
    floor = catalog.floor(collection=collection)
    if len(index) and reached < floor:
        fault = "it missed changes that are forgotten"
    # An index that has nothing yet waits for everything.
    waits = not len(index) and reached < floor
    pending = held.ids if waits else _pending(catalog, collection, reached)
    chunks = held.sample(sample, pending)
    if isinstance(index, Auditable):
        ids = frozenset(index.ids())
        missing, surplus = held.ids - ids - pending, ids - held.ids - pending
        damaged = index.damaged([chunk for chunk in chunks if chunk.id in ids])
        lacking, over = len(missing), len(surplus)
        examples = [*sorted(missing)[:_NAMED], *sorted(surplus)[:_NAMED], *damaged[:_NAMED]]
    else:
        # All that any index tells: how many it holds, and whether it finds what it should.
        size, right = len(index), len(held.ids)
        known = 0 if pending else right - size
        lacking, over = max(0, known), max(0, -known)
        damaged = _not_found(index, chunks)
        examples = damaged[:_NAMED]
    return IndexCheck(
        blank.collection,
        blank.slot,
        blank.use,
        chunks=len(index),
        behind=abs(now - reached),
        missing=lacking,
        surplus=over,
        damaged=len(damaged),
        looked_at=len(chunks),
        examples=tuple(examples[:_NAMED]),
        fault=fault,
    )


def _pending(catalog: Catalog, collection: str, after: int) -> frozenset[str]:
    """Return the chunks that came or went after a position."""
    found: set[str] = set()
    while lines := catalog.changes(collection=collection, after=after, limit=10_000):
        found |= {line.chunk_id for line in lines}
        after = lines[-1].position
    return frozenset(found)


def _ids(catalog: Catalog, collection: str) -> frozenset[str]:
    return frozenset(
        chunk.id
        for info in catalog.documents(collection=collection)
        for chunk in catalog.chunks_of(info.id, collection=collection)
    )


def _not_found(index: Index, chunks: Sequence[Chunk]) -> list[str]:
    """Return the chunks that a search for their own words does not bring back."""
    known = [chunk for chunk in chunks if chunk.indexed_text.strip()]
    found = index.search([chunk.indexed_text for chunk in known], k=_NEAR)
    return [
        chunk.id
        for chunk, hits in zip(known, found, strict=True)
        # With as many hits as were asked for, it may stand behind others of the same words.
        if len(hits) < _NEAR and all(hit.chunk_id != chunk.id for hit in hits)
    ]
