"""Documents of a base in, those that say nearly the same out: pairs, groups, and a gate for ingest.

Candidates come from MinHash; what is reported is the exact share of common shingles of three words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ragstack.errors import InputError
from ragstack.filters import Readable, matches
from ragstack.pipeline.gate import FILE_NAME, THRESHOLD
from ragstack.pipeline.minhash import shingles, similarity
from ragstack.pipeline.signatures import Signatures
from ragstack.protocols import Catalog
from ragstack.types import Document, DocumentInfo, NearDuplicate

__all__ = ["Gate", "duplicates"]

_SLACK = 0.12  # three standard errors of an estimate: what it may be below the truth


@dataclass(frozen=True, slots=True)
class _Place:
    """A collection in which documents are looked up by digest."""

    catalog: Catalog
    collection: str

    def likeness(self, document: Document, other: DocumentInfo) -> float:
        """Return how much of two documents is the same, exactly; 0 for one that went."""
        found = self.catalog.document(other.id, collection=self.collection)
        if found is None:
            return 0.0
        return similarity(shingles(document.text), shingles(found.text))


def duplicates(
    catalog: Catalog,
    folder: Path,
    *,
    collection: str,
    threshold: float = THRESHOLD,
    asker: Sequence[str] | None = None,
) -> list[NearDuplicate]:
    """Return pairs of documents that share at least so much, the likest first.

    Args:
        folder: Where signatures are kept.
        asker: Only documents that these may read; None is whoever runs the base.

    Raises:
        InputError: A threshold that is no share.
    """
    check_threshold(threshold)
    infos = [
        info
        for info in catalog.documents(collection=collection)
        if asker is None or matches(Readable(frozenset(asker)), {}, info.readers)
    ]
    by_digest: dict[str, list[DocumentInfo]] = defaultdict(list)
    for info in infos:
        by_digest[info.digest].append(info)
    place = _Place(catalog, collection)
    signatures = Signatures(folder / FILE_NAME)
    try:
        known = signatures.known()
        for digest, same in by_digest.items():
            if digest not in known:
                document = catalog.document(same[0].id, collection=collection)
                if document is not None:
                    signatures.add(digest, document.text)
        found: list[NearDuplicate] = []
        for same in by_digest.values():
            first = same[0]
            found += [NearDuplicate(other.source, first.source, 1.0) for other in same[1:]]
            found += _near(place, signatures, first, by_digest, threshold)
    finally:
        signatures.close()
    return sorted(found, key=lambda pair: (-pair.similarity, pair.source, pair.of))


def _near(
    place: _Place,
    signatures: Signatures,
    first: DocumentInfo,
    by_digest: dict[str, list[DocumentInfo]],
    threshold: float,
) -> list[NearDuplicate]:
    """Return the pairs of one document with those whose digest is greater, so that each is once."""
    near = [
        by_digest[other][0]
        for other, likeness in signatures.like(first.digest)
        if other > first.digest and other in by_digest and likeness >= threshold - _SLACK
    ]
    if not near:
        return []
    document = place.catalog.document(first.id, collection=place.collection)
    if document is None:
        return []
    pairs = [(other, place.likeness(document, other)) for other in near]
    return [
        NearDuplicate(other.source, first.source, share)
        for other, share in pairs
        if share >= threshold
    ]


class Gate:
    """Says of each document that comes in whether the collection has one much like it.

    For one run of an ingest: what comes in is known to it at once.
    """

    def __init__(
        self, catalog: Catalog, folder: Path, *, collection: str, threshold: float = THRESHOLD
    ) -> None:
        check_threshold(threshold)
        self._place = _Place(catalog, collection)
        self._threshold = threshold
        self._signatures = Signatures(folder / FILE_NAME)
        self._infos: dict[str, dict[str, DocumentInfo]] = defaultdict(dict)
        known = self._signatures.known()
        for info in catalog.documents(collection=collection):
            self._infos[info.digest][info.id] = info
            if info.digest not in known:
                document = catalog.document(info.id, collection=collection)
                if document is not None:
                    self._signatures.add(info.digest, document.text)

    def near(self, document: Document) -> NearDuplicate | None:
        """Return the likest document there is, if one is alike and not this one itself.

        A document that fewer people may read is no duplicate of it: they would lose it.
        """
        digest = document.digest
        self._signatures.add(digest, document.text)
        candidates = [(digest, 1.0), *self._signatures.like(digest)]
        best: NearDuplicate | None = None
        for other, guess in candidates:
            if guess < self._threshold - _SLACK:
                break
            for info in self._infos.get(other, {}).values():
                if info.id == document.id or not _covers(info.readers, document.readers):
                    continue
                share = 1.0 if other == digest else self._place.likeness(document, info)
                if share >= self._threshold and (best is None or share > best.similarity):
                    best = NearDuplicate(document.source, info.source, share)
        return best

    def took(self, document: Document) -> None:
        """Remember a document that was stored."""
        digest = document.digest
        for infos in self._infos.values():
            infos.pop(document.id, None)
        self._infos[digest][document.id] = DocumentInfo(
            document.id, document.source, digest, "", {}, document.readers, 0, 0
        )

    def close(self) -> None:
        """Close the file of signatures."""
        self._signatures.close()


def check_threshold(threshold: float) -> None:
    """Refuse what is no share of a text."""
    if not 0.5 <= threshold <= 1.0:
        raise InputError(
            f"the threshold is a share between 0.5 and 1, got {threshold!r}",
            hint="documents that share less than half are not near duplicates",
        )


def _covers(held: Sequence[str], wanted: Sequence[str]) -> bool:
    """Return whether everyone who may read the second may read the first."""
    return not held or (bool(wanted) and set(wanted) <= set(held))
