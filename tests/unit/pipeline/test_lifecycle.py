"""What a search shows while others write; facets, least scores, rights of chats, compaction."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ragstack import Document, Stack
from ragstack.errors import InputError, NotFound
from ragstack.pipeline.catchup import document_of
from ragstack.pipeline.compact import compact
from ragstack.pipeline.facets import Facet, fields_of
from ragstack.pipeline.verify import verify
from ragstack.testing.catalogs import chunks_in
from ragstack.testing.catalogs import document_of as make_document
from ragstack.types import Chunk

OpenStack = Callable[..., Stack]


def put(stack: Stack, document: Document, size: int, **more: object) -> None:
    chunks = chunks_in(document, size, **more)
    stack.parts.catalog.put(document, chunks, collection="default", origin="x")


def shown(stack: Stack, document: Document, query: str = "harbour", **more: object) -> set[str]:
    found = stack.search(query, k=10_000, **more)  # type: ignore[arg-type]
    return {p.chunk.id for p in found if p.chunk.document_id == document.id}


def test_documents_of_chunk_ids() -> None:
    for name in ("0123456789abcdef", "a.b:1-2:c", "", "\ud800\n", "x.00000000:0-1:text"):
        chunk = Chunk(name, "0badcafe", 3, 9, "words!", kind="text")
        assert document_of(chunk.id) == name


def test_a_large_document_is_one_batch(open_stack: OpenStack) -> None:
    stack = open_stack(overrides={"ingest": {"batch": 3}})
    stack.search("harbour")
    for name, chunks in (("a", 10), ("b", 2), ("c", 2), ("d", 1), ("e", 9)):
        put(stack, make_document(name, "harbour " * chunks), 8)
    index, reached = stack.parts.indexes("default")["lexical"], []
    commit = index.commit
    index.commit = lambda position: (reached.append(position), commit(position))[1]  # type: ignore[method-assign]
    stack.catch_up()
    assert reached == [10, 14, 24]


def test_half_a_document_is_never_shown(open_stack: OpenStack) -> None:
    """The catalog is ahead of the indexes, as while another process writes to both."""
    stack, writer = open_stack(), open_stack()
    document = make_document("d", "harbour light and tide " * 40)
    put(stack, document, 100)
    whole = shown(stack, document)
    assert len(whole) == 10
    with writer.writing():
        # cut anew: some chunks keep their ids, others come
        chunks = [*chunks_in(document, 100)[:5], *chunks_in(document, 50)[10:]]
        writer.parts.catalog.put(document, chunks, collection="default", origin="y")
        assert shown(stack, document) == set()
        lexical = writer.parts.indexes("default")["lexical"]
        lexical.add(chunks)
        lexical.delete(list(whole - {chunk.id for chunk in chunks}))
        lexical.commit(writer.parts.catalog.position(collection="default"))
        assert shown(stack, document) == set()
    assert shown(stack, document) == {chunk.id for chunk in chunks}


def test_rights_hold_before_an_index_knows_of_them(open_stack: OpenStack) -> None:
    stack, writer = open_stack(), open_stack()
    document = make_document("d", "harbour light and tide " * 4)
    put(stack, document, 30)
    assert shown(stack, document)
    with writer.writing():
        closed = replace(document, readers=("ann",))
        chunks = chunks_in(closed, 30, readers=("ann",))
        writer.parts.catalog.put(closed, chunks, collection="default", origin="y")
        assert shown(stack, document) == set()
    assert shown(stack, document) == set()
    assert len(shown(stack, document, asker=["ann"])) == len(chunks)


def test_a_search_is_made_again_when_the_journal_went_under_it(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = open_stack()
    document = make_document("d", "harbour light and tide " * 40)
    put(stack, document, 100)
    stack.search("harbour")
    retriever = stack.parts.retriever("default")
    search, times = retriever.index.search_with_trail, []

    def overtaken(*args: object, **more: object) -> object:
        found = search(*args, **more)  # type: ignore[arg-type]
        if not times:
            # cut anew, indexed and forgotten, all while this search was under way
            put(stack, document, 50)
            stack.catch_up()
        times.append(1)
        return found

    monkeypatch.setattr(retriever.index, "search_with_trail", overtaken)
    assert shown(stack, document) == {chunk.id for chunk in chunks_in(document, 50)}
    assert len(times) == 2


def test_a_missed_journal_makes_an_index_anew(stack: Stack) -> None:
    """An index that was taken away and brought back holds what has gone since."""
    index = stack.parts.indexes("default")["vector"]
    (info, *_) = stack.documents()
    chunks = stack.parts.catalog.chunks_of(info.id, collection="default")
    stack.delete(info.id)
    index.add(chunks)
    index.commit(1)
    assert stack.search("lighthouse")
    assert verify(stack).ok


def test_facets_count_documents_by_typed_values(open_stack: OpenStack, corpus_folder: Path) -> None:
    stack = open_stack()
    stack.ingest(corpus_folder / "bees.txt", meta={"year": 2023, "kind": "note", "open": True})
    stack.ingest(corpus_folder / "ferry.md", meta={"year": 2019, "kind": "note"})
    stack.ingest(corpus_folder / "bread.md", meta={"year": 1, "open": 1}, readers=["ann"])
    assert stack.facets("kind") == [Facet("note", 2)]
    assert stack.facets("year") == [Facet(2019, 1), Facet(2023, 1)]
    assert stack.facets("year", asker=["ann"])[0] == Facet(1, 1)
    assert [(f.value, f.documents) for f in stack.facets("open", asker=["ann"])] == [
        (1, 1),
        (True, 1),
    ]
    assert stack.facets("kind", where={"year": {"gte": 2020}}) == [Facet("note", 1)]
    assert stack.facets("never") == stack.facets("kind", collection="other") == []
    fields = {f.value: f.documents for f in fields_of(stack.parts.catalog, collection="default")}
    assert (fields["kind"], fields["open"]) == (2, 1)


def test_least_scores(stack: Stack) -> None:
    found = stack.search("Who built the lighthouse?", k=20)
    middle = found[len(found) // 2].score
    assert stack.search("Who built the lighthouse?", k=20, min_score=middle) == [
        p for p in found if p.score >= middle
    ]
    by_stage = stack.search("Who built the lighthouse?", k=20, min_score={"vector": 0.2})
    assert by_stage == [p for p in found if p.trail.get("vector", -9) >= 0.2]
    assert stack.search("lighthouse", min_score={"nobody": 0.0}) == []
    assert stack.search("lighthouse", min_score=1e9) == []
    for wrong in (True, "1", float("nan"), {"vector": None}):
        with pytest.raises(InputError, match="min_score"):
            stack.search("lighthouse", min_score=wrong)  # type: ignore[arg-type]


def test_a_chat_opens_to_who_has_the_rights_it_was_led_with(stack: Stack) -> None:
    stack.chat("open").ask("Who built the lighthouse?")
    stack.chat("case", asker=["ann", "board"]).ask("Who built the lighthouse?")
    for asker in ((), ("ann",), ("bob", "board")):
        with pytest.raises(NotFound):
            stack.chat("case", asker=asker)
    assert len(stack.chat("case", asker=["ann", "board", "more"]).turns()) == 1
    assert stack.chats() == ["case", "open"]
    assert stack.chats(asker=["ann"]) == ["open"]
    stack.chat("open", asker=["ann"]).ask("Qui entretient les vannes du moulin ?")
    with pytest.raises(NotFound):
        stack.chat("open")
    assert stack.chat("open", asker=["ann"]).delete()
    assert stack.chat("open").turns() == []


def test_compaction_gives_room_back_and_changes_nothing_else(
    open_stack: OpenStack, tmp_path: Path
) -> None:
    stack, folder, dice = open_stack(), tmp_path / "many", random.Random(1)
    folder.mkdir()
    for number in range(40):
        words = " ".join(f"harbour{dice.randrange(999)}" for _ in range(2_000))
        (folder / f"{number}.txt").write_text(words, "utf-8")
    stack.ingest(folder)
    for number in range(35):
        (folder / f"{number}.txt").unlink()
    stack.ingest(folder)
    reader = open_stack()
    before = reader.search("harbour7 harbour8", k=10)
    report = compact(stack)
    assert report.after < 0.5 * report.before
    assert report.vectors > 100
    assert reader.search("harbour7 harbour8", k=10) == before
    assert verify(stack).ok
    again = compact(stack)
    assert again.vectors == 0
    assert again.after <= report.after * 1.02


def test_a_collection_that_was_emptied_takes_documents_again(
    open_stack: OpenStack, tmp_path: Path
) -> None:
    """Its indexes' folder is swept away while the same process still has them open."""
    page = tmp_path / "page.txt"
    page.write_text("The roof is red.", "utf-8")
    stack = open_stack()
    for _ in range(3):
        assert stack.ingest(page).added
        assert stack.search("roof")
        assert stack.delete(page) == 1
