"""Structures over the flat file of vectors: what they find, and what becomes of them."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import pytest

from ragstack.errors import ConfigError
from ragstack.filters import Compare, Filter
from ragstack.index import codes, near
from ragstack.index import faiss as module
from ragstack.index.faiss import FaissIndex
from ragstack.index.near import RECIPES, Near
from ragstack.protocols import Vectors
from ragstack.testing.indexes import chunk_of
from ragstack.types import Chunk, Hit

COUNT, DIMENSIONS = 6_000, 48


class Numbered:
    """The vector of "7" is row 7 of clustered ones; "q7" is near it."""

    dimensions = DIMENSIONS
    fingerprint = "numbered"

    def __init__(self, count: int = 2 * COUNT) -> None:
        dice = np.random.default_rng(7)
        centres = dice.standard_normal((60, DIMENSIONS))
        table = centres[dice.integers(0, 60, count)] + 0.8 * dice.standard_normal(
            (count, DIMENSIONS)
        )
        self.table = (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)
        self.noise = 0.05 * dice.standard_normal((count, DIMENSIONS)).astype(np.float32)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self.table[[int(text) for text in texts]]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        rows = [int(text) for text in texts]
        found = self.table[rows] + self.noise[rows]
        return found / np.linalg.norm(found, axis=1, keepdims=True)


EMBEDDER = Numbered()
CHUNKS = [chunk_of(f"d{n:05}", str(n), meta={"n": n}) for n in range(2 * COUNT)]
ASKED = [str(n) for n in range(0, COUNT, 300)]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FEW", 100)


def filled(folder: Path, kind: str, count: int = COUNT, **options: object) -> FaissIndex:
    index = FaissIndex(folder, embedder=EMBEDDER, kind=kind, build="commit", **options)  # type: ignore[arg-type]
    index.add(CHUNKS[:count])
    index.commit(1)
    return index


def exact(chunks: Sequence[Chunk], k: int) -> list[list[Hit]]:
    rows = EMBEDDER.embed_documents([chunk.text for chunk in chunks]).astype(np.float64)
    found = []
    for asked in EMBEDDER.embed_queries(ASKED):
        scores = (rows * asked).sum(axis=1)
        hits = [Hit(c.id, float(s)) for c, s in zip(chunks, scores, strict=True)]
        found.append(sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[:k])
    return found


def recall(found: Sequence[Sequence[Hit]], right: Sequence[Sequence[Hit]]) -> float:
    shares = [len(set(a) & set(b)) / len(b) for a, b in zip(found, right, strict=True)]
    return float(np.mean(shares))


class Watched:
    """Counts the searches that a structure answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        plain = Near.candidates

        def counted(near: Near, *arguments: object) -> object:
            self.times += 1
            return plain(near, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(Near, "candidates", counted)


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_kinds_find_what_they_promise(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(tmp_path, kind, recall=0.9)
    told = index.stats()
    assert (told["kind"], told["covered"], told["rows"]) == (kind, COUNT, COUNT)
    assert told["recall@10"] >= 0.9
    assert told["recall@100"] >= 0.9
    watched = Watched(monkeypatch)
    right = exact(CHUNKS[:COUNT], 10)
    assert recall(index.search(ASKED, k=10), right) >= 0.85
    assert watched.times >= len(ASKED)
    gone = {chunk.id for chunk in CHUNKS[1:1500:3]}
    index.delete(sorted(gone))
    where: Filter = Compare("n", "lt", 3_000)
    held = [c for n, c in enumerate(CHUNKS[:3_000]) if c.id not in gone]
    found = index.search(ASKED, k=10, where=where)
    assert recall(found, exact(held, 10)) >= 0.8
    assert not gone & {hit.chunk_id for hits in found for hit in hits}
    one_by_one = [index.search([each], k=10, where=where)[0] for each in ASKED]
    assert one_by_one == found
    index.close()


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_a_far_filter_starves_no_kind(tmp_path: Path, kind: str) -> None:
    index = filled(tmp_path, kind)
    rows = EMBEDDER.table[:COUNT]
    far = np.argsort(rows @ EMBEDDER.embed_queries(ASKED[:1])[0])[:300]
    index.add([chunk_of(CHUNKS[n].document_id, str(n), meta={"far": 1}) for n in far.tolist()])
    index.commit(2)
    held = [CHUNKS[n] for n in far.tolist()]
    for k in (1, 10, 300):
        assert index.search(ASKED, k=k, where=Compare("far", "gte", 1)) == exact(held, k)
    index.close()


def test_new_rows_are_found_before_they_are_covered(tmp_path: Path) -> None:
    index = filled(tmp_path, "binary")
    index.add(CHUNKS[COUNT : COUNT + 50])
    assert index.search(["6001"], k=1)[0][0].chunk_id == CHUNKS[6_001].id
    index.commit(2)
    assert index.stats()["covered"] == COUNT
    index.add(CHUNKS[COUNT : 2 * COUNT])
    index.commit(3)
    assert index.stats()["covered"] == 2 * COUNT + 50  # fifty of them are dead
    assert len([p for p in tmp_path.iterdir() if p.suffix == ".faiss"]) == 1
    index.close()


def test_of_many_rows_fewer_signs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_SIGNS", 24)
    index = filled(tmp_path, "binary", count=4_000)  # all signs: few rows, or an older version
    monkeypatch.setattr(near, "_LARGE", 4_000)
    monkeypatch.setattr(module, "_TAIL", 500)
    index.add(CHUNKS[4_000:COUNT])
    index.commit(2)
    assert index.stats()["covered"] == COUNT
    assert faiss.read_index_binary(str(next(tmp_path.glob("near-*.faiss")))).d == DIMENSIONS
    assert recall(index.search(ASKED, k=10), exact(CHUNKS[:COUNT], 10)) >= 0.95
    for old in tmp_path.glob("near*"):
        old.unlink()
    index.add([chunk_of("more", "1")])
    index.commit(3)
    assert faiss.read_index_binary(str(next(tmp_path.glob("near-*.faiss")))).d == 24
    assert recall(index.search(ASKED, k=10), exact(CHUNKS[:COUNT], 10)) >= 0.95
    where = Compare("n", "gte", COUNT // 2)
    held = CHUNKS[COUNT // 2 : COUNT]
    assert recall(index.search(ASKED, k=10, where=where), exact(held, 10)) >= 0.9
    index.close()


@pytest.mark.parametrize("kind", ["ivf_sq8", "hnsw", "binary"])
def test_a_structure_is_added_to(tmp_path: Path, kind: str) -> None:
    index = filled(tmp_path, kind, count=4_000)
    index.add(CHUNKS[4_000:10_000])
    index.commit(2)
    again = json.loads((tmp_path / "near.json").read_bytes())
    assert (again["rows"], again["trained"]) == (10_000, 10_000)  # more than twice: anew
    index.add(CHUNKS[10_000:12_000])
    index.add(CHUNKS[:3_000])
    index.commit(3)
    again = json.loads((tmp_path / "near.json").read_bytes())
    assert (again["rows"], again["trained"]) == (15_000, 10_000)
    assert recall(index.search(ASKED, k=10), exact(CHUNKS, 10)) >= 0.9
    index.close()


def test_what_was_added_to_is_measured_again_only_when_it_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(tmp_path, "binary", count=8_000)
    monkeypatch.setattr(module, "_TAIL", 500)
    measured: list[int] = []
    measure = near.measure
    monkeypatch.setattr(
        near,
        "measure",
        lambda built, *more, **options: (
            measured.append(built.rows) or measure(built, *more, **options)
        ),
    )
    for number, start in enumerate(range(8_000, 12_000, 1_000), start=2):
        index.add(CHUNKS[start : start + 1_000])
        index.commit(number)
        assert index.stats()["covered"] == start + 1_000
    assert measured == [11_000]  # a quarter more than the 8,000
    assert recall(index.search(ASKED, k=10), exact(CHUNKS, 10)) >= 0.9
    index.close()


def test_equals_at_the_end_come_by_id(tmp_path: Path) -> None:
    index = filled(tmp_path, "binary")
    same = [chunk_of(f"a{n:04}", "77") for n in range(3_000)]
    index.add(list(reversed(same)))
    index.commit(2)
    assert index.stats()["covered"] == COUNT
    for k in (3, 40):
        (hits,) = index.search(["77"], k=k)
        assert [hit.chunk_id for hit in hits] == [chunk.id for chunk in same[:k]]
    index.close()
    again = FaissIndex(tmp_path, embedder=EMBEDDER, kind="flat_sq8", build="commit")
    again.commit(3)
    assert again.stats()["covered"] == COUNT + 3_000
    (hits,) = again.search(["77"], k=40)
    assert [hit.chunk_id for hit in hits] == [chunk.id for chunk in same[:40]]
    again.close()


def test_compaction_builds_anew(tmp_path: Path) -> None:
    index = filled(tmp_path, "ivf")
    index.delete([chunk.id for chunk in CHUNKS[:4_000]])
    reader = FaissIndex(tmp_path, embedder=EMBEDDER, kind="ivf")
    index.commit(2)
    assert index.stats()["covered"] == 2_000 == len(reader)
    assert recall(reader.search(ASKED, k=5), exact(CHUNKS[4_000:COUNT], 5)) >= 0.9
    index.close()
    reader.close()


@pytest.mark.parametrize("name", ["near.json", "structure"])
@pytest.mark.parametrize("how", ["cut", "gone", "noise"])
def test_damage_costs_speed_and_nothing_else(
    tmp_path: Path, name: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path, "ivf_sq8").close()
    (path,) = [tmp_path / name] if name == "near.json" else tmp_path.glob("*.faiss")
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-9] if how == "cut" else b"\xff{" + data[2:])
    index = FaissIndex(tmp_path, embedder=EMBEDDER, kind="ivf_sq8", build="commit")
    assert index.search(ASKED, k=10) == exact(CHUNKS[:COUNT], 10)
    assert index.stats()["kind"] == "flat"
    assert ("is not used" in caplog.text) == ((name, how) != ("near.json", "gone"))
    index.commit(2)
    assert index.stats()["covered"] == COUNT
    index.close()


@pytest.mark.parametrize("how", ["cut", "gone", "noise"])
def test_damaged_copies_cost_speed_and_nothing_else(tmp_path: Path, how: str) -> None:
    filled(tmp_path, "binary").close()
    (path,) = tmp_path.glob("*.i8")
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9] if how == "cut" else b"\xff" * path.stat().st_size)
    index = FaissIndex(tmp_path, embedder=EMBEDDER, kind="binary", build="commit")
    assert recall(index.search(ASKED, k=10), exact(CHUNKS[:COUNT], 10)) >= 0.95
    if how != "noise":
        assert index.stats()["kind"] == "flat"
        index.commit(2)
        assert index.stats()["covered"] == COUNT
        assert path.stat().st_size == COUNT * codes.width(DIMENSIONS)
    index.close()


def test_a_structure_of_an_older_version_gets_its_copies(tmp_path: Path) -> None:
    filled(tmp_path, "binary").close()
    manifest = json.loads((tmp_path / "near.json").read_bytes())
    del manifest["codes"], manifest["dimensions"]
    (tmp_path / "near.json").write_text(json.dumps(manifest))
    (path,) = tmp_path.glob("*.i8")
    path.unlink()
    index = FaissIndex(tmp_path, embedder=EMBEDDER, kind="binary", build="commit")
    before = index.search(ASKED, k=10)
    assert index.stats()["covered"] == COUNT and not path.exists()
    index.commit(2)
    assert path.exists()
    assert index.search(ASKED, k=10) == before
    index.close()


def test_copies_are_added_to_and_never_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, int]] = []
    extend = codes.extend

    def seen(path: Path, vectors: Vectors, *, covered: int) -> None:
        written.append((covered, len(vectors)))
        extend(path, vectors, covered=covered)

    monkeypatch.setattr(codes, "extend", seen)
    index = filled(tmp_path, "binary", count=5_000)
    index.add(CHUNKS[5_000:10_000])
    index.commit(2)
    assert written == [(0, 5_000), (5_000, 10_000)]
    assert recall(index.search(ASKED, k=10), exact(CHUNKS[:10_000], 10)) >= 0.95
    index.close()


def test_another_kind_replaces_it(tmp_path: Path) -> None:
    filled(tmp_path, "binary").close()
    index = FaissIndex(tmp_path, embedder=EMBEDDER, kind="flat")
    assert index.search(ASKED, k=10) == exact(CHUNKS[:COUNT], 10)
    index.commit(2)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("near")]
    index.close()


def test_small_ones_are_compared(tmp_path: Path) -> None:
    for kind in ("auto", "binary"):
        index = filled(tmp_path / kind, kind, count=900)
        assert index.stats() == {"rows": 900, "kind": "flat", "bytes": 900 * DIMENSIONS * 4}
        index.close()


def test_auto_takes_the_first_that_finds_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_AUTO", 2_000)
    index = filled(tmp_path / "a", "auto", recall=0.5)
    assert index.stats()["kind"] == "binary"
    index.close()
    caplog.set_level(logging.WARNING)
    index = filled(tmp_path / "b", "auto", recall=1.0, memory_mb=1)
    assert index.stats()["kind"] in ("binary", "ivf_sq8")
    index.commit(2)  # what was measured stays: it is not tried again at every commit
    assert len(list((tmp_path / "b").glob("*.faiss"))) == 1
    copies = list((tmp_path / "b").glob("*.i8"))  # of the kind that was tried and not taken: gone
    assert bool(copies) == (index.stats()["kind"] == "binary")
    index.close()


def test_built_in_the_background(tmp_path: Path) -> None:
    index = FaissIndex(tmp_path, embedder=EMBEDDER, kind="hnsw")
    index.add(CHUNKS[:COUNT])
    index.commit(1)
    assert recall(index.search(ASKED, k=10), exact(CHUNKS[:COUNT], 10)) >= 0.9
    index.add(CHUNKS[COUNT : COUNT + 10])  # while it is built
    index.settle()
    assert index.stats()["covered"] == COUNT
    index.close()
    assert threading.active_count() == 1 or all(
        thread.name != "vectors" for thread in threading.enumerate()
    )


def test_one_builder_at_a_time(tmp_path: Path) -> None:
    filled(tmp_path, "binary").close()
    one = FaissIndex(tmp_path, embedder=EMBEDDER, kind="ivf", build="commit")
    lock = one._shelf._lock()
    assert lock is not None
    one.commit(2)  # another builds: nothing waits, nothing fails
    assert one.stats()["kind"] == "flat"
    shutil.rmtree(tmp_path)
    assert not one._shelf._same(lock)
    one.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "lsh"}, "known: auto, flat"),
        ({"build": "never"}, "background, commit"),
        ({"recall": 0}, "recall lies above 0"),
        ({"recall": 1.5}, "recall lies above 0"),
        ({"memory_mb": 0}, "memory_mb is 1 or more"),
    ],
)
def test_options_that_cannot_be_used(tmp_path: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        FaissIndex(tmp_path, embedder=EMBEDDER, **options)  # type: ignore[arg-type]
