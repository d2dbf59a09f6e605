"""Questions in, passages out: indexes searched and fused, chunks looked up once, reranked.

Others may write meanwhile. A document that an index has not wholly taken in is left out, and a
search that the ground moved under is made again, so that no answer mixes two states of a document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ragstack.errors import IndexStateError, InputError
from ragstack.filters import Filter, Readable, Where, both, matches, parse
from ragstack.index.hybrid import HybridIndex
from ragstack.pipeline.catchup import document_of
from ragstack.pipeline.expand import expand
from ragstack.pipeline.neighbours import NEIGHBOUR
from ragstack.pipeline.seen import Fate, Seen
from ragstack.protocols import Catalog, Expansion, Index
from ragstack.rerank.second import Second
from ragstack.types import Document, Hit, Passage

__all__ = ["MinScore", "Retriever", "above", "check_questions", "visible"]

_ATTEMPTS = 20
_LINES = 10_000  # of the journal read at once

MinScore = float | Mapping[str, float]
"""What a passage must score: at the end, or by stage of its trail."""


@dataclass(frozen=True, slots=True)
class Retriever:
    """Finds passages in one collection.

    Attributes:
        indexes: What ``index`` fuses; they say how far they have come.
        depth: Candidates taken from each index.
        second: Reranks what was found.
        expansion: What the chunker wants done with its chunks, before they are reranked.
        renew: Returns the retriever in force now: another one once a generation has changed.
    """

    catalog: Catalog
    index: HybridIndex
    indexes: Sequence[Index]
    collection: str
    depth: int
    second: Second | None = None
    expansion: Expansion | None = None
    renew: Callable[[], Retriever] | None = None
    _pending: dict[tuple[int, int], frozenset[str]] = field(default_factory=dict)

    def find(
        self,
        questions: Sequence[str],
        *,
        k: int,
        where: Filter | None,
        seen: Seen | None = None,
    ) -> list[list[Passage]]:
        """Return the best ``k`` passages for each question, best first.

        Args:
            seen: Told of every candidate, ``depth`` for each question; what is found is the same.

        Raises:
            IndexStateError: Every one of many attempts was overtaken by a writer.
        """
        retriever = self
        for _ in range(_ATTEMPTS):
            glimpse = None if seen is None else Seen()
            found = retriever._attempt(questions, k, where, glimpse)
            fresh = retriever.renew() if retriever.renew else retriever
            if found is not None and fresh is retriever:
                if seen is not None and glimpse is not None:
                    seen.take(glimpse)
                return found
            retriever = fresh
        raise IndexStateError(
            f"the collection {self.collection!r} changes faster than it can be searched",
            hint="search again",
        )

    def _attempt(
        self, questions: Sequence[str], k: int, where: Filter | None, seen: Seen | None
    ) -> list[list[Passage]] | None:
        """Return the passages, or None when the journal was forgotten under the search."""
        wanted = self.second.wanted(k) if self.second else k
        candidates = wanted * max(1, self.expansion.candidates) if self.expansion else wanted
        begun = self._applied()
        # The indexes are read to the same depth either way: only more of it is fused for show.
        shown = candidates if seen is None else max(candidates, self.depth)
        found = self.index.search_with_trail(questions, k=shown, where=where, depth=self.depth)
        ids = list({hit.chunk_id for hits in found for hit, _ in hits})
        chunks = self.catalog.chunks(ids, collection=self.collection)
        documents = list({chunk.document_id for chunk in chunks.values()})
        sources = self.catalog.sources(documents, collection=self.collection)
        changing = self._changed_since(begun)
        if changing is None:
            return None
        # A chunk that went since an index last caught up is in no catalog, and no answer; nor is
        # one that is now for other eyes, or for other filters.
        sound = {
            chunk_id: chunk
            for chunk_id, chunk in chunks.items()
            if chunk.document_id in sources
            and chunk.document_id not in changing
            and matches(where, chunk.meta, chunk.readers)
        }

        def passage(hit: Hit, trail: dict[str, float]) -> Passage:
            chunk = sound[hit.chunk_id]
            return Passage(chunk, hit.score, sources[chunk.document_id], trail)

        every = [
            [passage(hit, trail) for hit, trail in hits if hit.chunk_id in sound] for hits in found
        ]
        # Those in front of the cut, which is made before what is unsound falls out.
        passages = [
            some[: sum(hit.chunk_id in sound for hit, _ in hits[:candidates])]
            for some, hits in zip(every, found, strict=True)
        ]
        if seen is not None:
            for some in every:
                seen.note(some, Fate.FOUND, f"behind the best {candidates} when fused")
        if self.expansion is not None:
            larger = [expand(some, self.expansion, self._document) for some in passages]
            if seen is not None:
                _note_joined(seen, passages, larger)
            passages = [some[:wanted] for some in larger]
        return [
            self._ranked(question, some, k, seen)
            for question, some in zip(questions, passages, strict=True)
        ]

    def _ranked(
        self, question: str, passages: list[Passage], k: int, seen: Seen | None
    ) -> list[Passage]:
        """Return the best ``k`` by the reranker, where there is one."""
        best = passages
        if self.second is not None:
            # All that it scored, for who wants to see them; the first ``k`` are the same.
            most = k if seen is None else max(k, len(passages))
            ranked = self.second.best(question, passages, k=most)
            if seen is not None:
                seen.note(ranked, Fate.SCORED, f"behind the best {k} of the reranker")
            best = ranked[:k]
        if seen is not None:
            seen.note(best, Fate.RANKED, f"among the best {k} of one query, not of all")
        return best

    def _document(self, document_id: str) -> Document | None:
        return self.catalog.document(document_id, collection=self.collection)

    def _applied(self) -> int:
        """Return the journal position that every index has reached, or the journal begins at."""
        reached = min((index.position for index in self.indexes), default=0)
        return max(reached, self.catalog.floor(collection=self.collection))

    def _changed_since(self, begun: int) -> frozenset[str] | None:
        """Return the documents that changed after a position; None if that is forgotten."""
        now = self.catalog.position(collection=self.collection)
        found = self._pending.get((begun, now), frozenset())
        if now > begun and not found:
            ids, after = set[str](), begun
            while lines := self.catalog.changes(
                collection=self.collection, after=after, limit=_LINES
            ):
                ids |= {document_of(line.chunk_id) for line in lines}
                after = lines[-1].position
            found = frozenset(ids)
            self._pending.clear()
            self._pending[begun, now] = found
        return None if self.catalog.floor(collection=self.collection) > begun else found

    def before(self, passage: Passage) -> Passage | None:
        """Return the chunk that ends where a passage begins, or last before it; None at a start."""
        chunk = passage.chunk
        found = None
        for other in self.catalog.chunks_of(chunk.document_id, collection=self.collection):
            same = other.version == chunk.version and other.kind == chunk.kind
            if same and other.start < chunk.start and other.end < chunk.end:
                found = other
        return replace(passage, chunk=found, trail={NEIGHBOUR: 1.0}) if found else None


def _note_joined(
    seen: Seen, children: Sequence[Sequence[Passage]], larger: Sequence[Sequence[Passage]]
) -> None:
    for some, instead in zip(children, larger, strict=True):
        left = {passage.chunk.id for passage in instead}
        gone = [passage for passage in some if passage.chunk.id not in left]
        seen.note(gone, Fate.JOINED, "a larger passage that was found holds it")


def visible(where: Where | None, asker: Sequence[str]) -> Filter | None:
    """Return the condition of a search: the caller's own, and what the asker may read."""
    return both(parse(where), Readable(frozenset(asker)))


def above(passages: Sequence[Passage], least: MinScore | None) -> list[Passage]:
    """Return the passages that score enough; one that a named stage did not score does not.

    Raises:
        InputError: What is no number.
    """
    if least is None:
        return list(passages)
    stages = least if isinstance(least, Mapping) else {None: least}
    for value in stages.values():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise InputError(f"min_score is a number, or numbers by stage, got {least!r}")

    def passes(passage: Passage) -> bool:
        return all(
            (passage.score if stage is None else passage.trail.get(stage, float("-inf"))) >= value
            for stage, value in stages.items()
        )

    return [passage for passage in passages if passes(passage)]


def check_questions(questions: Sequence[str]) -> None:
    """Refuse what is no list of texts.

    Raises:
        InputError: It is one text, or one of them is blank or none.
    """
    if isinstance(questions, str):
        raise InputError(f"questions is a list of texts, got {questions!r}")
    for question in questions:
        if not isinstance(question, str) or not question.strip():
            raise InputError(f"a question is a text that is not blank, got {question!r}")
