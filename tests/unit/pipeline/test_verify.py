from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ragstack import Stack
from ragstack.pipeline.verify import verify

OpenStack = Callable[..., Stack]


def test_a_sound_base_is_sound(stack: Stack, corpus_folder: Path) -> None:
    stack.ingest(corpus_folder / "bees.txt", collection="two")
    report = verify(stack)
    assert report.ok
    assert [(c.collection, c.slot) for c in report.checks] == [
        (collection, slot) for collection in ("default", "two") for slot in ("lexical", "vector")
    ]
    assert all(c.looked_at == c.chunks > 0 and not c.behind for c in report.checks)
    assert [c.looked_at for c in verify(stack, sample=3).checks][:2] == [3, 3]


def test_being_behind_is_no_fault(stack: Stack) -> None:
    info = stack.documents()[0]
    stack.parts.catalog.remove([info.id], collection="default")
    report = verify(stack)
    assert report.ok
    assert all(check.behind == info.chunks for check in report.checks)


@pytest.mark.parametrize("slot", ["lexical", "vector"])
def test_what_an_index_lacks_and_has_too_much(stack: Stack, slot: str) -> None:
    catalog, index = stack.parts.catalog, stack.parts.indexes("default")[slot]
    one, two, *_ = stack.documents()
    gone = catalog.chunks_of(one.id, collection="default")
    stray = catalog.chunks_of(two.id, collection="default")[0]
    index.delete([chunk.id for chunk in gone])
    index.add([type(stray)("stray", "00000000", 0, 5, "words")])
    index.commit(index.position)
    report = verify(stack)
    assert not report.ok
    (wrong,) = [check for check in report.checks if not check.ok]
    assert (wrong.slot, wrong.missing, wrong.surplus) == (slot, len(gone), 1)
    assert gone[0].id in wrong.examples
    repaired = verify(stack, repair=True)
    assert repaired.ok
    assert [c.slot for c in repaired.checks if c.repaired] == [slot]
    assert verify(stack).ok and not any(c.repaired for c in verify(stack).checks)


def test_a_vector_that_is_another_is_found(stack: Stack) -> None:
    stack.close()
    (data,) = (stack.folder / "collections" / "default" / "vector").glob("*.f32")
    vectors = np.fromfile(data, dtype=np.float32)
    vectors[:10] += 0.5
    vectors.tofile(data)
    report = verify(stack, sample=None)
    (wrong,) = [check for check in report.checks if not check.ok]
    assert (wrong.slot, wrong.damaged) == ("vector", 1)
    assert verify(stack, sample=None, repair=True).ok
    assert verify(stack, sample=None).ok


def test_words_that_are_others_are_found(stack: Stack) -> None:
    index = stack.parts.indexes("default")["lexical"]
    chunk = stack.parts.catalog.chunks_of(stack.documents()[0].id, collection="default")[0]
    index.add([type(chunk)(chunk.document_id, chunk.version, chunk.start, chunk.end, "zzz")])
    index.commit(index.position)
    (wrong,) = [check for check in verify(stack).checks if not check.ok]
    assert (wrong.slot, wrong.damaged, wrong.examples) == ("lexical", 1, (chunk.id,))


@pytest.mark.parametrize("slot", ["lexical", "vector"])
def test_damaged_files_are_named_and_repaired(stack: Stack, slot: str) -> None:
    expected = [p.chunk.id for p in stack.search("lighthouse", k=5)]
    stack.close()
    for file in (stack.folder / "collections" / "default" / slot).rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    report = verify(stack)
    (wrong,) = [check for check in report.checks if not check.ok]
    assert wrong.slot == slot and wrong.fault
    assert verify(stack, repair=True).ok
    assert verify(stack).ok
    assert [p.chunk.id for p in stack.search("lighthouse", k=5)] == expected


def test_an_index_that_tells_little_is_asked_what_it_can_tell(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragstack.pipeline.verify.Auditable", type("NoIndex", (), {}))
    assert verify(stack).ok
    lexical = stack.parts.indexes("default")["lexical"]
    gone = stack.parts.catalog.chunks_of(stack.documents()[0].id, collection="default")[0]
    lexical.delete([gone.id])
    lexical.commit(lexical.position)
    (wrong,) = [check for check in verify(stack).checks if not check.ok]
    assert (wrong.slot, wrong.missing) == ("lexical", 1)


def test_a_catalog_that_contradicts_itself(stack: Stack) -> None:
    info = stack.documents()[0]
    stack.close()
    with sqlite3.connect(stack.folder / "catalog.sqlite") as file:
        file.execute("UPDATE documents SET chunks = 99 WHERE id = ?", (info.id.encode(),))
    file.close()
    report = verify(stack, repair=True)
    assert not report.ok
    assert info.id in report.problems[0]


def test_changes_that_are_forgotten_make_an_index_anew(
    stack: Stack, corpus_folder: Path, tmp_path: Path
) -> None:
    folder = stack.folder / "collections" / "default" / "vector"
    stack.close()
    kept = tmp_path / "kept"
    folder.rename(kept)
    (corpus_folder / "bees.txt").unlink()
    stack.ingest(corpus_folder)
    stack.close()
    for file in sorted(folder.rglob("*"), reverse=True):
        file.unlink()
    folder.rmdir()
    kept.rename(folder)
    (wrong,) = [check for check in verify(stack).checks if not check.ok]
    assert "forgotten" in wrong.fault
    stack.catch_up()
    assert verify(stack).ok
