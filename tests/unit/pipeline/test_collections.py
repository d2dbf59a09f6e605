from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ragstack import Stack
from ragstack.errors import InputError, NotFound
from ragstack.pipeline import collections
from ragstack.pipeline.verify import verify

OpenStack = Callable[..., Stack]


def places(stack: Stack) -> list[str]:
    return sorted(path.name for path in (stack.folder / "collections").iterdir())


def test_list(stack: Stack, corpus_folder: Path) -> None:
    stack.ingest(corpus_folder / "bees.txt", collection="two")
    one, two = collections.collections(stack)
    assert (one.name, one.documents) == ("default", 8)
    assert (two.name, two.documents, two.chunks) == (
        "two",
        1,
        stack.stats(collection="two")["chunks"],
    )


def test_delete_leaves_nothing_and_the_name_is_free(stack: Stack, corpus_folder: Path) -> None:
    stack.ingest(corpus_folder / "bees.txt", collection="two")
    assert collections.delete(stack, "default") == 8
    assert [each.name for each in collections.collections(stack)] == ["two"]
    assert places(stack) == ["two"]
    assert stack.search("lighthouse") == []
    stack.ingest(corpus_folder / "ferry.md")
    assert {Path(p.source).name for p in stack.search("honey ferry", k=50)} == {"ferry.md"}
    assert verify(stack).ok


def test_rename_takes_the_indexes_along(stack: Stack) -> None:
    expected = stack.search("lighthouse", k=5)
    collections.rename(stack, "default", "papers")
    assert places(stack) == ["papers"]
    assert stack.search("lighthouse", k=5, collection="papers") == expected
    assert stack.search("lighthouse") == []
    assert verify(stack).ok


def test_rename_killed_half_way_only_indexes_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = stack.search("lighthouse", k=5)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        collections.rename(stack, "default", "papers")
    monkeypatch.undo()
    assert stack.search("lighthouse", k=5, collection="papers") == expected
    stack.ingest(collection="papers")
    assert places(stack) == ["papers"]


def test_copy_is_a_collection_of_its_own(stack: Stack, corpus_folder: Path) -> None:
    expected = [p.chunk.id for p in stack.search("lighthouse", k=5)]
    assert collections.copy(stack, "default", "copy") == 8
    assert [p.chunk.id for p in stack.search("lighthouse", k=5, collection="copy")] == expected
    report = stack.ingest(corpus_folder, collection="copy")
    assert len(report.unchanged) == 8
    collections.delete(stack, "default")
    assert [p.chunk.id for p in stack.search("lighthouse", k=5, collection="copy")] == expected
    assert verify(stack).ok


def test_a_copy_that_was_killed_is_swept_up(stack: Stack, corpus_folder: Path) -> None:
    catalog, info = stack.parts.catalog, stack.documents()[0]
    document = catalog.document(info.id, collection="default")
    assert document is not None
    catalog.put(document, [], collection="~copy", origin="x")
    assert [each.name for each in collections.collections(stack)] == ["default"]
    stack.ingest(corpus_folder)
    assert catalog.collections(hidden=True) == []


def test_names_that_cannot_be(stack: Stack, corpus_folder: Path) -> None:
    stack.ingest(corpus_folder / "bees.txt", collection="two")
    with pytest.raises(NotFound, match="'three'; known: default, two"):
        collections.delete(stack, "three")
    for change in (collections.rename, collections.copy):
        with pytest.raises(InputError, match="already"):
            change(stack, "default", "two")
        with pytest.raises(InputError, match="letters"):
            change(stack, "default", "~x")
