from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ragstack.embedding.cache import CachedEmbedder
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.protocols import Vectors


class Counting(HashingEmbedder):
    """Remembers what it was asked, and fails when it has had enough."""

    def __init__(self, *, enough: int = 1_000_000, dimensions: int = 32) -> None:
        super().__init__(dimensions=dimensions)
        self.asked: list[str] = []
        self.enough = enough

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if len(self.asked) + len(texts) > self.enough:
            raise KeyboardInterrupt
        self.asked += texts
        return super().embed_documents(texts)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "base" / "embeddings.sqlite"


def test_a_text_is_embedded_once(file: Path) -> None:
    inner, done = Counting(), []
    with closing(CachedEmbedder(inner, file, progress=done.append)) as cached:
        first = cached.embed_documents(["a roof", "a boat", "a roof"])
        again = cached.embed_documents(["a boat", "a mill"])
    assert inner.asked == ["a roof", "a boat", "a mill"]
    assert sum(done) == 5
    assert first == pytest.approx(
        HashingEmbedder(dimensions=32).embed_documents(["a roof", "a boat", "a roof"])
    )
    assert (again[0] == first[1]).all()


def test_the_next_process_finds_it(file: Path) -> None:
    with closing(CachedEmbedder(Counting(), file)) as cached:
        first = cached.embed_documents(["a roof"])
    inner = Counting()
    with closing(CachedEmbedder(inner, file)) as cached:
        assert (cached.embed_documents(["a roof"]) == first).all()
    assert inner.asked == []


def test_what_was_embedded_before_a_break_is_kept(file: Path) -> None:
    texts = [f"text {number}" for number in range(1_000)]
    with (
        closing(CachedEmbedder(Counting(enough=600), file)) as cached,
        pytest.raises(KeyboardInterrupt),
    ):
        cached.embed_documents(texts)
    inner = Counting()
    with closing(CachedEmbedder(inner, file)) as cached:
        rows = cached.embed_documents(texts)
    assert inner.asked == texts[512:]
    assert rows == pytest.approx(HashingEmbedder(dimensions=32).embed_documents(texts))


def test_another_embedder_shares_nothing(file: Path) -> None:
    with closing(CachedEmbedder(Counting(), file)) as cached:
        cached.embed_documents(["a roof"])
    wide = Counting(dimensions=64)
    with closing(CachedEmbedder(wide, file)) as cached:
        assert cached.embed_documents(["a roof"]).shape == (1, 64)
    assert wide.asked == ["a roof"]


class Renamed(Counting):
    fingerprint = "another"


def test_another_fingerprint_shares_nothing(file: Path) -> None:
    with closing(CachedEmbedder(Counting(), file)) as cached:
        cached.embed_documents(["a roof"])
    renamed = Renamed()
    with closing(CachedEmbedder(renamed, file)) as cached:
        cached.embed_documents(["a roof"])
    assert renamed.asked == ["a roof"]


def test_questions_are_not_kept(file: Path) -> None:
    with closing(CachedEmbedder(Counting(), file)) as cached:
        cached.embed_queries(["who pays?"])
    assert not file.exists()


def test_the_oldest_go_first(file: Path) -> None:
    inner = Counting()
    with closing(CachedEmbedder(inner, file, limit=2)) as cached:
        for text in ("one", "two", "three", "three", "two", "one"):
            cached.embed_documents([text])
    assert inner.asked == ["one", "two", "three", "one"]


@pytest.mark.parametrize("data", [b"nonsense" * 1_000, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_broken_file_begins_anew(
    file: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    file.write_bytes(data)
    inner = Counting()
    with caplog.at_level(logging.WARNING), closing(CachedEmbedder(inner, file)) as cached:
        cached.embed_documents(["a roof"])
        cached.embed_documents(["a roof"])
    assert inner.asked == ["a roof"]
    assert "a new one begins" in caplog.text


def test_a_folder_that_cannot_be_made_costs_only_the_cache(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.write_text("in the way")
    with caplog.at_level(logging.WARNING), closing(CachedEmbedder(Counting(), file)) as cached:
        assert cached.embed_documents(["a roof"]).shape == (1, 32)
    assert "cannot be used" in caplog.text


def test_a_vector_of_another_length_is_passed_over(file: Path) -> None:
    with closing(CachedEmbedder(Counting(), file)) as cached:
        cached.embed_documents(["a roof"])
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE vectors SET vector = x'00'")
    inner = Counting()
    with closing(CachedEmbedder(inner, file)) as cached:
        rows = cached.embed_documents(["a roof"])
        cached.embed_documents(["a roof"])
    assert np.linalg.norm(rows) == pytest.approx(1)
    assert inner.asked == ["a roof"]


def test_many_threads_and_two_files_at_once(file: Path) -> None:
    texts = [f"text {number}" for number in range(300)]
    expected = HashingEmbedder(dimensions=32).embed_documents(texts)
    found: list[Vectors] = []
    caches = [CachedEmbedder(Counting(), file) for _ in range(2)]
    threads = [
        threading.Thread(target=lambda c=cached: found.append(c.embed_documents(texts)))
        for cached in caches * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for cached in caches:
        cached.close()
    assert len(found) == 6
    for rows in found:
        assert rows == pytest.approx(expected)
