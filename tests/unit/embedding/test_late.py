from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragstack import Stack
from ragstack.chunking.late import LateChunker
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.embedding.inputs import unit
from ragstack.embedding.late import LateEmbedder
from ragstack.embedding.words import WordCounter
from ragstack.errors import ConfigError, EmbedderMismatch
from ragstack.index.embedded import vectors_of
from ragstack.protocols import ChunkEmbedder, TokenVectors, Vectors
from ragstack.types import Document, Span

TEXT = "".join(f"Boat {n} carries rope. It leans. " for n in range(60))
DOCUMENT = Document("d", TEXT, "d.txt")


class Positions(HashingEmbedder):
    """Its token vectors tell how long the text was and where in it a token stands."""

    def __init__(self) -> None:
        super().__init__(dimensions=8)
        self.read: list[str] = []

    def embed_tokens(self, texts: object) -> list[TokenVectors]:
        found = []
        for text in texts:  # type: ignore[attr-defined]
            self.read.append(text)
            spans: list[Span] = self.offsets(text)
            rows = np.zeros((len(spans), 8), dtype=np.float32)
            rows[:, 0] = 1 + np.arange(len(spans))
            rows[:, 1] = len(spans)
            found.append(TokenVectors(unit(rows), tuple(spans)))
        return found


def _late(window: int = 60) -> tuple[LateEmbedder, Positions]:
    inner = Positions()
    documents = {"d": DOCUMENT}
    return LateEmbedder(inner, documents.get, window=window), inner


def test_a_vector_is_pooled_from_a_longer_text() -> None:
    late, inner = _late()
    chunks = LateChunker(counter=WordCounter(), size=20, window=60).chunk(DOCUMENT)
    vectors = late.embed_chunks(chunks)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert all(inner.count(text) <= 60 for text in inner.read)
    # Half overlapping stretches: about twice the text is read, and not once for each chunk.
    assert sum(map(inner.count, inner.read)) < 2.6 * inner.count(TEXT)
    for row, chunk in zip(vectors, chunks, strict=True):
        read = next(text for text in inner.read if chunk.text in text)
        alone = unit(inner.embed_tokens([chunk.text])[0].vectors.mean(axis=0, keepdims=True))[0]
        assert len(read) > len(chunk.text)
        assert not np.allclose(row, alone)


def test_the_pool_holds_the_chunks_own_tokens_alone() -> None:
    late, inner = _late(window=10_000)
    chunk = LateChunker(counter=WordCounter(), size=20).chunk(DOCUMENT)[3]
    whole = inner.embed_tokens([TEXT])[0]
    rows = [i for i, (start, _) in enumerate(whole.spans) if chunk.start <= start < chunk.end]
    expected = unit(whole.vectors[rows].mean(axis=0, keepdims=True))
    assert np.allclose(late.embed_chunks([chunk]), expected, atol=1e-6)


def test_order_and_batch_do_not_matter() -> None:
    late, _ = _late()
    chunks = LateChunker(counter=WordCounter(), size=20).chunk(DOCUMENT)
    together = late.embed_chunks(chunks)
    for number in (0, 7, len(chunks) - 1):
        assert np.array_equal(late.embed_chunks([chunks[number]])[0], together[number])
    assert np.array_equal(late.embed_chunks(chunks[::-1]), together[::-1])
    assert late.embed_chunks([]).shape == (0, 8)


def test_a_chunk_of_another_version_is_embedded_by_itself() -> None:
    late, inner = _late()
    chunk = LateChunker(counter=WordCounter(), size=20).chunk(DOCUMENT)[2]
    alone = inner.embed_documents([chunk.indexed_text])
    assert np.array_equal(late.embed_chunks([replace(chunk, version="other")]), alone)
    assert np.array_equal(late.embed_chunks([replace(chunk, document_id="gone")]), alone)


def test_what_has_no_token_is_embedded_by_itself() -> None:
    inner = Positions()
    document = Document("d", "\u200b", "d.txt")
    late = LateEmbedder(inner, {"d": document}.get, window=20)
    chunk = LateChunker(counter=WordCounter(), size=20).chunk(replace(document, text="\u200b"))
    assert np.isfinite(late.embed_chunks(chunk)).all()


def test_an_index_asks_for_chunks_where_it_can() -> None:
    late, inner = _late()
    chunks = LateChunker(counter=WordCounter(), size=20).chunk(DOCUMENT)[:2]
    assert isinstance(late, ChunkEmbedder)
    assert np.array_equal(vectors_of(late, chunks), late.embed_chunks(chunks))
    plain: Vectors = inner.embed_documents([chunk.indexed_text for chunk in chunks])
    assert np.array_equal(vectors_of(inner, chunks), plain)


def test_an_embedder_without_tokens_is_refused() -> None:
    class Plain:
        fingerprint = "plain"

    with pytest.raises(ConfigError, match="plain"):
        LateEmbedder(Plain(), lambda _id: None, window=20)  # type: ignore[arg-type]


def test_a_base_keeps_late_vectors_and_does_not_mix_them(tmp_path: Path) -> None:
    (tmp_path / "boats.txt").write_text(TEXT, "utf-8")
    late = {"embed": {"use": "hashing"}, "chunk": {"use": "late", "size": 20, "window": 60}}
    with Stack.open(tmp_path / "kb", overrides=late) as stack:
        stack.ingest(tmp_path / "boats.txt")
        assert stack.search("Boat 17 carries rope", k=3)
    with (
        Stack.open(tmp_path / "kb", overrides={"embed": {"use": "hashing"}}) as stack,
        pytest.raises(EmbedderMismatch),
    ):
        stack.search("Boat 17 carries rope", k=3)
