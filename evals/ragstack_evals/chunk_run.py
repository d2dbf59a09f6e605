"""A chunker and texts in, how well a search over its chunks finds gold spans out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ragstack.chunking.tokens import TokenTable, tabulate
from ragstack.pipeline.stack import Stack
from ragstack.types import Passage, Span
from ragstack_evals.chunk_corpora import Corpora, SpanQuestion
from ragstack_evals.chunk_measures import Scores, Tokens, score, score_perfect, within_budget
from ragstack_evals.resample import bootstrap_mean

__all__ = ["ChunkRun", "Row", "options_for"]

# What is asked for to fill the budget: enough for chunks of a sentence.
_DEEP = 30
# A sentence of overlap is no choice of size, so the default's share is kept.
_SHARES: Mapping[str, Mapping[str, float]] = {
    "fixed": {"overlap": 0.2},
    "sentence": {"overlap": 0.2},
}
_VECTORS_ALONE = {"lexical": {"use": "none"}}


@dataclass(frozen=True, slots=True)
class Row:
    """What one chunker at one size gave; each list has a value for each question.

    Attributes:
        tokens: Mean tokens of a chunk.
        scores: Of the first ``k`` passages.
        omega: Precision of a perfect retrieval.
        in_budget: Recall of the best passages that fit the budget.
        by_vectors: The same with the vector index alone.
        seconds: To chunk, embed and index.
    """

    chunker: str
    size: int
    chunks: int
    tokens: float
    scores: list[Scores]
    omega: list[float]
    in_budget: list[float]
    by_vectors: list[float]
    seconds: float

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        means = [
            float(np.mean([getattr(found, name) for found in self.scores]))
            for name in ("recall", "precision", "iou")
        ]
        interval = bootstrap_mean(self.in_budget)
        shown = (means[0], means[1], float(np.mean(self.omega)), means[2], interval.mean)
        return (
            self.chunker, str(self.size), str(self.chunks), f"{self.tokens:.0f}",
            *(f"{value:.3f}" for value in shown),
            f"{interval.low:.3f} – {interval.high:.3f}",
            f"{float(np.mean(self.by_vectors)):.3f}",
            f"{self.seconds:.0f}",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChunkRun:
    """Bases of the same texts, one collection for each way of cutting them.

    Attributes:
        folder: Where the base is; vectors of equal texts are shared.
        k: Passages that are scored.
        budget: Tokens that a generator would read.
    """

    folder: Path
    corpora: Corpora
    embedder: str
    k: int
    budget: int

    def measure(self, chunker: str, size: int) -> Row:
        """Return the row of a chunker at a size."""
        overrides: dict[str, Any] = {
            "chunk": {"use": chunker, **options_for(chunker, size)},
            "embed": {"use": self.embedder},
        }
        collection = f"{chunker}-{size}"
        with Stack.open(self.folder, overrides=overrides) as stack:
            tables = {d.id: tabulate(d.text, stack.parts.counter) for d in self._documents}
            begun = time.perf_counter()
            spans = self._filled(stack, collection)
            seconds = time.perf_counter() - begun
            near = self._found(stack, collection, self.k)
            deep = self._found(stack, collection, max(_DEEP, self.k))
        overrides["index"] = _VECTORS_ALONE
        with Stack.open(self.folder, overrides=overrides) as stack:
            vectors = self._found(stack, collection, max(_DEEP, self.k))
        questions = self.corpora.questions
        counts = [tables[name].tokens(span) for name, some in spans.items() for span in some]
        return Row(
            chunker,
            size,
            len(counts),
            float(np.mean(counts)),
            [_scored(q, some, tables) for q, some in zip(questions, near, strict=True)],
            [
                score_perfect(q.gold, spans[q.document_id], tables[q.document_id].tokens)
                for q in questions
            ],
            self._recall(deep, tables),
            self._recall(vectors, tables),
            seconds,
        )

    @property
    def _documents(self) -> Sequence[Any]:
        return list(self.corpora.documents.values())

    def _filled(self, stack: Stack, collection: str) -> dict[str, list[Span]]:
        spans: dict[str, list[Span]] = {}
        for document in self._documents:
            chunks = stack.parts.chunker.chunk(document)
            spans[document.id] = [(chunk.start, chunk.end) for chunk in chunks]
            stack.parts.catalog.put(document, chunks, collection=collection, origin=collection)
        stack.catch_up(collection)
        return spans

    def _found(self, stack: Stack, collection: str, k: int) -> list[list[Passage]]:
        texts = [question.question for question in self.corpora.questions]
        return stack.search_many(texts, k=k, collection=collection)

    def _recall(
        self, found: Sequence[Sequence[Passage]], tables: Mapping[str, TokenTable]
    ) -> list[float]:
        values = []
        for question, passages in zip(self.corpora.questions, found, strict=True):
            sized = [(p, tables[p.chunk.document_id].tokens(_span(p))) for p in passages]
            values.append(_scored(question, within_budget(sized, self.budget), tables).recall)
        return values


def options_for(chunker: str, size: int) -> dict[str, Any]:
    """Return a chunker's options so that what is shown of a text is at most ``size`` tokens."""
    if chunker == "hierarchical":
        return {"size": size // 4, "parent": size, "least": min(32, size // 4)}
    shares = _SHARES.get(chunker, {})
    return {"size": size, **{name: int(size * share) for name, share in shares.items()}} | (
        {"window": max(254, size)} if chunker == "late" else {}
    )


def _scored(
    question: SpanQuestion, passages: Sequence[Passage], tables: Mapping[str, TokenTable]
) -> Scores:
    own = [_span(p) for p in passages if p.chunk.document_id == question.document_id]
    other = sum(
        tables[p.chunk.document_id].tokens(_span(p))
        for p in passages
        if p.chunk.document_id != question.document_id
    )
    tokens: Tokens = tables[question.document_id].tokens
    return score(question.gold, own, tokens, other)


def _span(passage: Passage) -> Span:
    return passage.chunk.start, passage.chunk.end
