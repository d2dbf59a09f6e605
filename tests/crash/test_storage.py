"""kill -9 at random points of catalog and indexes at work: what is found after is a whole state."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragstack.catalog.sqlite import SqliteCatalog
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.index.bm25.index import Bm25Index
from ragstack.index.faiss import FaissIndex
from ragstack.index.late_interaction import LateInteractionIndex
from ragstack.index.sparse import SparseIndex
from ragstack.index.tantivy import TantivyIndex
from ragstack.protocols import Index
from ragstack.testing.catalogs import chunks_in, document_of
from ragstack.testing.indexes import random_chunks
from ragstack.testing.sparse import WordWeights

Start = Callable[..., Any]

ROUNDS = 8

# Round n leaves, at position n, exactly what state_of(n) says; each round replaces and deletes.
WRITE = """
import sys
from pathlib import Path
from ragstack.catalog.sqlite import SqliteCatalog
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.index import faiss
from ragstack.index.bm25.index import Bm25Index
from ragstack.index.faiss import FaissIndex
from ragstack.index import late_interaction
from ragstack.index.sparse import SparseIndex
from ragstack.index.tantivy import TantivyIndex
from ragstack.testing.catalogs import chunks_in, document_of
from ragstack.testing.indexes import random_chunks
from ragstack.testing.sparse import WordWeights
late_interaction._FROM = 2_000
faiss._NAMED, faiss._TAIL = 50, 20
kind, folder = sys.argv[1], Path(sys.argv[2])
if kind == "catalog":
    catalog = SqliteCatalog(folder / "catalog.db")
    first = int(catalog.setting("round") or 0) + 1
else:
    dense = HashingEmbedder(dimensions=32)
    index = {
        "bm25": lambda: Bm25Index(folder),
        "tantivy": lambda: TantivyIndex(folder),
        "faiss": lambda: FaissIndex(folder, embedder=dense),
        "binary": lambda: FaissIndex(folder, embedder=dense, kind="binary"),
        "sparse": lambda: SparseIndex(folder, sparse_embedder=WordWeights()),
        "late_interaction": lambda: late_interaction.LateInteractionIndex(
            folder, embedder=dense, token_embedder=dense
        ),
    }[kind]()
    first = index.position + 1
print(first, flush=True)
for number in range(first, 1_000_000):
    if kind == "catalog":
        document = document_of("s", f"round {number} " * 2_000)
        catalog.put(document, chunks_in(document, 100), collection="c", origin=str(number))
        catalog.set_setting("round", str(number))
    else:
        chunks = random_chunks(60, seed=number)
        index.add(chunks[:40])
        index.search(["common"], k=1)
        index.add(chunks[40:])
        index.delete([chunk.id for chunk in chunks[number % 60 :]])
        index.commit(number)
    print(number, flush=True)
"""


def killed(start: Start, kind: str, folder: Path, *, after_s: float) -> int:
    """Run the writer, kill it, and return the last round it reported."""
    writer = start(WRITE, kind, folder)
    first = int(writer.line())
    time.sleep(after_s)
    rest = writer.kill().split()
    return int(rest[-1]) if rest else first - 1


def open_tantivy(folder: Path) -> Index:
    return TantivyIndex(folder)


def open_bm25(folder: Path) -> Index:
    return Bm25Index(folder)


def open_faiss(folder: Path) -> Index:
    return FaissIndex(folder, embedder=HashingEmbedder(dimensions=32))


def open_binary(folder: Path) -> Index:
    return FaissIndex(folder, embedder=HashingEmbedder(dimensions=32), kind="binary")


def open_sparse(folder: Path) -> Index:
    return SparseIndex(folder, sparse_embedder=WordWeights())


def open_late_interaction(folder: Path) -> Index:
    dense = HashingEmbedder(dimensions=32)
    return LateInteractionIndex(folder, embedder=dense, token_embedder=dense)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("bm25", open_bm25),
        ("tantivy", open_tantivy),
        ("faiss", open_faiss),
        ("binary", open_binary),
        ("sparse", open_sparse),
        ("late_interaction", open_late_interaction),
    ],
)
def test_index_is_at_a_commit(
    start: Start, kind: str, make: Callable[[Path], Index], tmp_path: Path
) -> None:
    dice, seen, longest = random.Random(1), 0, 0.4
    for _ in range(ROUNDS):
        longest *= 1 if seen else 1.3  # on a busy machine the first commit takes its time
        reported = killed(start, kind, tmp_path, after_s=dice.uniform(0.0, longest))
        index = make(tmp_path)
        assert reported <= index.position <= reported + 1
        assert index.position >= seen
        seen = index.position
        if seen:
            (hits,) = index.search(["common"], k=10_000)
            assert len(hits) == len(index) == len({hit.chunk_id for hit in hits})
            now = {chunk.id for chunk in random_chunks(60, seed=seen)[: seen % 60]}
            gone = {chunk.id for chunk in random_chunks(60, seed=seen)[seen % 60 :]}
            assert {hit.chunk_id for hit in hits} >= now
            assert not {hit.chunk_id for hit in hits} & gone
        index.close()
    assert seen > 0
    fresh = make(tmp_path / "never killed")
    for number in range(1, seen + 1):
        chunks = random_chunks(60, seed=number)
        fresh.add(chunks)
        fresh.delete([chunk.id for chunk in chunks[number % 60 :]])
    again = make(tmp_path)
    queries = [chunk.text for chunk in random_chunks(9, seed=seen)]
    for left, right in zip(
        again.search(queries, k=10_000), fresh.search(queries, k=10_000), strict=True
    ):
        assert {hit.chunk_id for hit in left} == {hit.chunk_id for hit in right}
    fresh.close()
    again.close()


def test_catalog_is_at_a_transaction(start: Start, tmp_path: Path) -> None:
    dice, seen, longest = random.Random(2), 0, 0.3
    for _ in range(ROUNDS):
        longest *= 1 if seen else 1.3
        reported = killed(start, "catalog", tmp_path, after_s=dice.uniform(0.0, longest))
        catalog = SqliteCatalog(tmp_path / "catalog.db")
        infos = list(catalog.documents(collection="c"))
        kept = int(catalog.setting("round") or 0)
        assert reported <= kept <= reported + 1
        if infos:
            written = int(infos[0].origin)
            assert written in (kept, kept + 1)
            document = document_of("s", f"round {written} " * 2_000)
            assert catalog.document(document.id, collection="c") == document
            chunks = chunks_in(document, 100)
            assert catalog.chunks_of(document.id, collection="c") == chunks
            after, there = 0, set[str]()
            while found := catalog.changes(collection="c", after=after, limit=1_000):
                for change in found:
                    (there.add if change.added else there.discard)(change.chunk_id)
                after = found[-1].position
            assert there == {chunk.id for chunk in chunks}
        catalog.close()
        seen = max(seen, kept)
    assert seen > 0
