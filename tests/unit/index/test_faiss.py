from __future__ import annotations

import json
import mmap
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import (
    BaseError,
    BaseVersionError,
    EmbedderMismatch,
    IndexStateError,
    InputError,
)
from ragstack.filters import Eq
from ragstack.index.faiss import FaissIndex
from ragstack.protocols import Vectors
from ragstack.testing.indexes import chunk_of, random_chunks


class Fixed:
    """An embedder that gives what it is told, and counts its calls."""

    dimensions = 4

    def __init__(self, fingerprint: str = "fixed") -> None:
        self.fingerprint = fingerprint
        self.calls: list[list[str]] = []
        self.rows: Vectors | None = None

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        if self.rows is not None:
            return self.rows
        found = np.array([[len(text), 1, 0, 0] for text in texts], dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    embed_queries = embed_documents


def filled(folder: Path, count: int = 40) -> FaissIndex:
    index = FaissIndex(folder, embedder=Fixed())
    index.add(random_chunks(count, seed=1))
    index.commit(count)
    return index


def test_scores_are_cosines(tmp_path: Path) -> None:
    index = FaissIndex(tmp_path, embedder=HashingEmbedder(dimensions=64))
    index.add([chunk_of("a", "red house"), chunk_of("b", "blue house"), chunk_of("c", "moss")])
    (hits,) = index.search(["red house"], k=3)
    assert hits[0].score == pytest.approx(1)
    assert 0.2 < hits[1].score < 0.9 > hits[2].score
    index.close()


def test_one_call_embeds_a_batch(tmp_path: Path) -> None:
    embedder = Fixed()
    index = FaissIndex(tmp_path, embedder=embedder)
    index.add([chunk_of("a", "text", context="head"), chunk_of("b", "more")])
    index.search(["one", "two"], k=1)
    index.search([], k=1)
    index.search(["three"], k=1, where=Eq("no", "body"))
    assert embedder.calls == [["head\ntext", "more"], ["one", "two"]]
    index.close()


@pytest.mark.parametrize(
    "rows", [np.zeros((2, 5)), np.zeros((1, 4)), np.full((2, 4), np.nan), np.full((2, 4), np.inf)]
)
def test_wrong_vectors_are_refused_and_nothing_changes(tmp_path: Path, rows: Vectors) -> None:
    index = filled(tmp_path, 2)
    index._embedder.rows = rows  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="expected finite numbers of shape"):
        index.add(random_chunks(2, seed=1))
    index._embedder.rows = None  # type: ignore[attr-defined]
    assert len(index) == 2
    index.close()


def test_another_embedder_is_refused(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with pytest.raises(EmbedderMismatch, match="'fixed', now it is 'other'") as caught:
        FaissIndex(tmp_path, embedder=Fixed("other"))
    assert "rebuilt" in caught.value.hint


@pytest.mark.parametrize("name", ["vectors-1.f32", "rows-1.log", "manifest.json"])
@pytest.mark.parametrize("how", ["cut", "gone", "noise"])
def test_damage_is_seen(tmp_path: Path, name: str, how: str) -> None:
    filled(tmp_path).close()
    path = tmp_path / name
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-9] if how == "cut" else data[:5] + b"\xff{" + data[7:])
    if (name, how) == ("manifest.json", "gone"):
        index = FaissIndex(tmp_path, embedder=Fixed())
        assert len(index) == 0  # a folder without a manifest holds no index
        index.add(random_chunks(3, seed=1))
        index.commit(1)
        index.close()
    elif (name, how) != ("vectors-1.f32", "noise"):  # a number like any other
        with pytest.raises(IndexStateError) as caught:
            FaissIndex(tmp_path, embedder=Fixed())
        assert "delete the folder" in caught.value.hint
        shutil.rmtree(tmp_path)
        filled(tmp_path).close()


def test_manifest_of_another_kind_or_format(tmp_path: Path) -> None:
    filled(tmp_path).close()
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(BaseVersionError, match="format 99"):
        FaissIndex(tmp_path, embedder=Fixed())
    path.write_text(json.dumps({**manifest, "kind": "tantivy"}))
    with pytest.raises(IndexStateError, match="not an index of kind 'faiss'"):
        FaissIndex(tmp_path, embedder=Fixed())


def test_opening_is_instant_and_copies_nothing(tmp_path: Path) -> None:
    index = FaissIndex(tmp_path, embedder=Dense())
    for start in range(0, 11_000, 1_000):
        index.add([chunk_of(f"d{number}", "x") for number in range(start, start + 1_000)])
    index.commit(1)
    index.close()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        opened = FaissIndex(tmp_path, embedder=Dense())
        seconds.append(time.perf_counter() - began)
        for vectors in opened._mapped():
            while isinstance(vectors, np.ndarray):
                vectors = vectors.base
            assert isinstance(vectors, memoryview) and isinstance(vectors.obj, mmap.mmap)
        opened.close()
    assert min(seconds) < 0.1  # measured 0.015


class Dense:
    dimensions = 384
    fingerprint = "dense"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        found = np.random.default_rng(len(texts)).standard_normal((len(texts), 384))
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    embed_queries = embed_documents


def test_dead_rows_are_given_back(tmp_path: Path) -> None:
    index, embedder = FaissIndex(tmp_path, embedder=HashingEmbedder(dimensions=8)), 8
    chunks = random_chunks(1_000, seed=2)
    index.add(chunks)
    index.commit(1)
    reader = FaissIndex(tmp_path, embedder=HashingEmbedder(dimensions=8))
    index.delete([chunk.id for chunk in chunks[:500]])
    before = index.search(["common rose"], k=600)
    index.commit(2)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"manifest.json", "writer.lock", "rows-2.log", "vectors-2.f32"}
    assert (tmp_path / "vectors-2.f32").stat().st_size == 500 * embedder * 4
    assert index.search(["common rose"], k=600) == before
    assert reader.search(["common rose"], k=600) == before
    index.add(chunks[:100])
    index.commit(3)
    assert len(reader) == 600
    index.close()
    reader.close()


def test_vectors_of_a_killed_writer_are_cut_off(tmp_path: Path) -> None:
    index = filled(tmp_path, 40)
    index.add(random_chunks(400, seed=3))
    index.close()
    again = FaissIndex(tmp_path, embedder=Fixed())
    again.delete(["unknown"])
    again.commit(41)
    assert (tmp_path / "vectors-1.f32").stat().st_size == 40 * 4 * 4
    again.close()


def test_reader_survives_a_rebuilt_folder(tmp_path: Path) -> None:
    filled(tmp_path, 40).close()
    reader = FaissIndex(tmp_path, embedder=Fixed())
    assert len(reader) == 40
    shutil.rmtree(tmp_path)
    assert (len(reader), reader.position) == (0, 0)
    index = FaissIndex(tmp_path, embedder=Fixed())
    index.add(random_chunks(60, seed=9))
    index.commit(7)
    assert (len(reader), reader.position) == (60, 7)
    index.close()
    reader.close()


def test_reader_that_missed_a_rebuild(tmp_path: Path) -> None:
    filled(tmp_path, 40).close()
    reader = FaissIndex(tmp_path, embedder=Fixed())
    shutil.rmtree(tmp_path)
    index = FaissIndex(tmp_path, embedder=Fixed())
    index.add(random_chunks(60, seed=9))  # a longer log under the same name
    index.commit(7)
    assert (len(reader), reader.position) == (60, 7)
    assert reader.search(["common"], k=60) == index.search(["common"], k=60)
    index.close()
    reader.close()


def test_closed_index(tmp_path: Path) -> None:
    index = filled(tmp_path)
    index.close()
    with pytest.raises(BaseError, match="is closed"):
        index.search(["a"], k=1)
    with pytest.raises(BaseError, match="is closed"):
        index.add(random_chunks(1, seed=1))
