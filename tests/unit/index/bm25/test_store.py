from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path

import pytest

from ragstack.errors import BaseError, ConfigError, IndexStateError
from ragstack.index.bm25 import arrays, merge, store
from ragstack.index.bm25.index import Bm25Index
from ragstack.testing.indexes import chunk_of, random_chunks
from ragstack.types import Hit

QUERIES = ["common rose", "lily word3", "word7"]


def filled(folder: Path, *, rounds: int = 4) -> list[list[Hit]]:
    """Fill a folder in several commits, and return what a search finds there."""
    index = Bm25Index(folder)
    for number in range(rounds):
        index.add(random_chunks(40, seed=number)[number * 5 :])
        index.delete([chunk.id for chunk in random_chunks(40, seed=9)[: number * 3]])
        index.commit(number)
    found = index.search(QUERIES, k=50)
    index.close()
    return found


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("segment-*.arrays"))


def test_folder_holds_what_the_manifest_names(tmp_path: Path) -> None:
    index = Bm25Index(tmp_path)
    for number in range(12):
        index.add([chunk_of(f"{number}-{n}", "rose lily") for n in range(7)])
        index.commit(number)
    (tmp_path / "segment-99.arrays").write_bytes(b"of a process that was killed")
    (tmp_path / "manifest.part").write_bytes(b"{")
    index.commit(50)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"manifest.json", "writer.lock", "rows-0.log"}
    assert names - {path.name for path in segments(tmp_path)} == {
        *("manifest.json", "writer.lock", "rows-0.log")
    }
    assert len(segments(tmp_path)) <= 4
    before = {path: path.stat().st_mtime_ns for path in segments(tmp_path)}
    index.commit(99)  # nothing new: nothing written anew
    assert {path: path.stat().st_mtime_ns for path in segments(tmp_path)} == before
    index.close()


def test_few_segments_whatever_the_batches(tmp_path: Path) -> None:
    """Sizes fall by a factor, so there are as many as the logarithm of the whole."""
    index, dice = Bm25Index(tmp_path), random.Random(1)
    for number in range(120):
        index.add([chunk_of(f"{number}-{n}", "rose lily fern") for n in range(dice.randrange(30))])
        if number % 3 == 0:
            index.search(["rose"], k=1)
        index.commit(number)
        sizes = [len(part.segment.texts) for part in index._store.snapshot().parts]
        assert all(left >= 4 * right for left, right in itertools.pairwise(sizes))
        assert len(segments(tmp_path)) == len(sizes) <= 6
    index.close()


def test_searching_between_adds_makes_few_segments(tmp_path: Path) -> None:
    index = Bm25Index(tmp_path)
    for number in range(200):
        index.add([chunk_of(f"d{number}", "rose lily")])
        assert len(index.search(["rose"], k=999)[0]) == number + 1
    assert len(index._store.snapshot().parts) < 8
    index.close()


@pytest.mark.parametrize(
    ("sizes", "least", "first"),
    [
        ([], 0, 0),
        ([5], 0, 0),
        ([5], 1, 1),
        ([100, 10, 3], 3, 3),
        ([100, 10, 3], 2, 1),
        ([100, 30], 1, 0),
        ([120, 30], 1, 1),
        ([1 << 25, 10, 9], 2, 1),
        ([30_000_000, 8_000_000], 1, 1),
    ],
)
def test_what_is_merged(sizes: list[int], least: int, first: int) -> None:
    assert merge.first_to_merge(sizes, least) == first


def test_rows_are_closed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "_LARGEST", 900)  # several segments, none of which may be merged
    index = Bm25Index(tmp_path)
    for number in range(5):
        index.add([chunk_of(f"{number}-{n}", f"rose lily {n}") for n in range(200)])
        index.commit(number)
    everything = [hit.chunk_id for hit in index.search(["rose"], k=2_000)[0]]
    gone = everything[::2]
    index.delete(gone)
    before = index.search(["rose lily 7", "lily 150"], k=2_000)
    reader = Bm25Index(tmp_path)
    assert len(reader.search(["rose"], k=2_000)[0]) == 1_000
    index.commit(9)
    there = index._store.snapshot()
    assert index._store._rows.size == len(index) == 500
    assert sum(part.segment.size for part in there.parts) == 500
    assert all(part.alive.all() and part.whole for part in there.parts)
    for one in (index, reader):
        assert one.search(["rose lily 7", "lily 150"], k=2_000) == before
    index.delete(everything)
    index.commit(10)
    assert segments(tmp_path) == []
    assert reader.search(["rose"], k=3) == [[]]
    index.close()
    reader.close()


def test_log_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_REWRITE", 1)
    monkeypatch.setattr(store, "_DEAD_COUNT", 1 << 40)
    index = Bm25Index(tmp_path)
    chunks = random_chunks(300, seed=1)
    for number in range(6):
        index.add(chunks)
        index.commit(number)
    assert index._store._rows.state.written < 1_000
    assert {path.name for path in tmp_path.glob("rows-*")} == {"rows-1.log"}
    again = Bm25Index(tmp_path)
    assert again.search(["common rose"], k=400) == index.search(["common rose"], k=400)
    index.close()
    again.close()


def test_reader_keeps_what_it_has_mapped(tmp_path: Path) -> None:
    index = Bm25Index(tmp_path)
    index.add([chunk_of(f"d{n}", f"rose {n}") for n in range(400)])
    index.commit(1)
    reader = Bm25Index(tmp_path)
    (first,) = reader._store.snapshot().parts
    index.add([chunk_of("x", "rose x")])
    index.commit(2)
    assert reader.search(["x"], k=1)[0][0].chunk_id.startswith("x.")
    assert reader._store.snapshot().parts[0].segment is first.segment
    index.close()
    reader.close()


def test_deleted_and_built_anew_under_a_reader(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    filled(folder)
    reader = Bm25Index(folder)
    shutil.rmtree(folder)
    index = Bm25Index(folder)
    index.add([chunk_of("n", "quite new")])
    index.commit(7)
    assert (len(reader), reader.position) == (1, 7)
    assert [hit.chunk_id[0] for hit in reader.search(["new"], k=9)[0]] == ["n"]
    index.close()
    reader.close()


def test_chunks_without_words(tmp_path: Path) -> None:
    index = Bm25Index(tmp_path)
    index.add([chunk_of("a", ""), chunk_of("b", "  \n")])
    index.commit(1)
    assert index.search(["rose", ""], k=3) == [[], []]
    index.delete([chunk_of("a", "").id])
    index.add([chunk_of("c", "rose")])
    assert [hit.chunk_id[0] for hit in index.search(["rose"], k=3)[0]] == ["c"]
    index.commit(2)
    again = Bm25Index(tmp_path)
    assert again.search(["rose"], k=3) == index.search(["rose"], k=3)
    assert len(again) == 2
    index.close()
    again.close()


def test_other_settings_need_another_index(tmp_path: Path) -> None:
    filled(tmp_path)
    for options in ({"languages": ["de"]}, {"weights": {"context": 3}}):
        with pytest.raises(IndexStateError, match="made with"):
            Bm25Index(tmp_path, **options)  # type: ignore[arg-type]
    # How it is scored is decided by each search.
    Bm25Index(tmp_path, scoring={"variant": "bm25l", "k1": 2, "b": 0.1}).close()


@pytest.mark.parametrize(
    "options",
    [
        {"languages": ["xx"]},
        {"scoring": {"variant": "bm26"}},
        {"scoring": {"k1": -1}},
        {"scoring": {"k1": float("nan")}},
        {"scoring": {"b": 1.5}},
        {"scoring": {"b": "much"}},
        {"scoring": {"delta": True}},
        {"scoring": {"k2": 1}},
        {"weights": {"body": 1}},
        {"weights": {"text": -1}},
        {"weights": {"text": 0, "context": 0}},
        {"weights": {"text": "high"}},
        {"adjacency": -1},
        {"adjacency": True},
        {"adjacency": float("inf")},
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Bm25Index(tmp_path, **options)  # type: ignore[arg-type]


def test_searching_leaves_no_trace(tmp_path: Path) -> None:
    index = Bm25Index(tmp_path / "nowhere")
    assert index.search(["a"], k=1) == [[]]
    assert not (tmp_path / "nowhere").exists()
    index.close()
    with pytest.raises(BaseError, match="is closed"):
        index.search(["a"], k=1)


def test_failed_commit_goes_back_to_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled(tmp_path)
    index = Bm25Index(tmp_path)
    for step in ("write", "read"):
        index.add([chunk_of("x", "common rose")])

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(arrays, step, full)
            with pytest.raises(OSError, match="No space"):
                index.commit(77)
        if step == "write":
            assert index.search(QUERIES, k=50) == before
            assert index.position == 3
    index.close()
    again = Bm25Index(tmp_path)
    assert again.position == 77  # the manifest was written before its segment could not be read
    again.close()


@pytest.mark.parametrize("seed", range(60))
def test_damage_is_seen(tmp_path: Path, seed: int) -> None:
    """Any file cut, gone or changed at any place: an error of ours, or nothing that matters."""
    before = filled(tmp_path)
    dice = random.Random(seed)
    path = dice.choice([p for p in sorted(tmp_path.iterdir()) if p.name != "writer.lock"])
    data = bytearray(path.read_bytes())
    how = dice.choice(["cut", "gone", "bit", "zeros", "more", "noise"])
    place = dice.randrange(len(data))
    if how == "cut":
        data = data[:place]
    elif how == "bit":
        data[place] ^= 1 << dice.randrange(8)
    elif how == "zeros":
        data[place : place + 64] = bytes(len(data[place : place + 64]))
    elif how == "more":
        data += b"\x00more"
    elif how == "noise":
        data[place : place + 9] = dice.randbytes(len(data[place : place + 9]))
    path.unlink()
    if how != "gone":
        path.write_bytes(data)
    try:
        index = Bm25Index(tmp_path)
        found = index.search(QUERIES, k=50)
        index.verify()
        index.close()
    except (IndexStateError, BaseError) as error:
        assert error.hint
    else:
        if path.name != "manifest.json":
            assert found == before, (path.name, how)
    shutil.rmtree(tmp_path)
    Bm25Index(tmp_path).close()


@pytest.mark.parametrize("seed", range(30))
def test_damage_that_no_checksum_saw(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a large file, whose bytes are not all read when it is opened."""
    filled(tmp_path)
    monkeypatch.setattr(arrays, "_CHECKED", -1)
    dice = random.Random(seed)
    path = dice.choice(segments(tmp_path))
    data = bytearray(path.read_bytes())
    for _ in range(200):
        place = dice.randrange(2_000, len(data))
        data[place] = dice.randrange(256)
    path.write_bytes(data)
    try:
        index = Bm25Index(tmp_path)
        index.search(QUERIES, k=50)
        index.delete([chunk.id for chunk in random_chunks(40, seed=9)])
        index.search(QUERIES, k=50)
        index.add(random_chunks(40, seed=1))
        index.commit(9)
        index.close()
    except IndexStateError as error:
        assert "delete the folder" in error.hint


def test_verify_reads_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = filled(tmp_path)
    monkeypatch.setattr(arrays, "_CHECKED", -1)
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    index = Bm25Index(tmp_path)
    assert index.search(QUERIES, k=50) == before  # it lies in the texts, which no search reads
    with pytest.raises(IndexStateError, match="checksum of 'texts'"):
        index.verify()
    data[-100] ^= 1
    path.write_bytes(data)
    index.verify()
    index.close()
