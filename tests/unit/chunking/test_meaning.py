"""Chunkers that go by meaning, or make more of a chunk than its text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragstack.chunking.contextual import ContextualChunker
from ragstack.chunking.hierarchical import HierarchicalChunker
from ragstack.chunking.late import LateChunker
from ragstack.chunking.semantic import SemanticChunker
from ragstack.chunking.window import WindowChunker
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.embedding.words import WordCounter
from ragstack.errors import ConfigError, ContextOverflow, GenerationError
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.testing.chunkers import check_chunks
from ragstack.types import Document

COUNTER = WordCounter()
FRENCH = Document(
    "d",
    "Le moulin tourne. Le moulin grince. Le moulin moud. La mer monte. La mer gronde. La mer dort.",
    "d",
    {"language": "fr", "title": "Moulins"},
)


def _cut(chunker: Any, document: Document) -> Any:
    found = chunker.chunk(document)
    check_chunks(document, found)
    return found


def test_semantic_cuts_where_the_subject_changes() -> None:
    chunker = SemanticChunker(
        counter=COUNTER, embedder=HashingEmbedder(), size=100, least=4, neighbours=0
    )
    mill = "Le moulin moud du grain. Du grain pour le moulin. Le grain du moulin."
    sea = "La mer monte vite. Vite, la mer monte. La mer, vite."
    found = _cut(chunker, Document("d", f"{mill} {sea}", "d", {"language": "fr"}))
    assert [chunk.text for chunk in found] == [mill, sea]


def test_where_nothing_changes_nothing_is_cut() -> None:
    chunker = SemanticChunker(counter=COUNTER, embedder=HashingEmbedder(), size=100, least=1)
    assert len(_cut(chunker, Document("d", "The same line. " * 9, "d"))) == 1


def test_semantic_embeds_long_documents_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SemanticChunker(counter=COUNTER, embedder=HashingEmbedder(), size=20)
    document = Document("d", FRENCH.text * 40, "d")
    expected = _cut(whole, document)
    monkeypatch.setattr("ragstack.chunking.semantic._BATCH", 7)
    assert _cut(whole, document) == expected


def test_children_know_their_parent() -> None:
    text = "\n\n".join(f"Part {n}. " + "The wheel turns slowly. " * 8 for n in range(6))
    chunker = HierarchicalChunker(counter=COUNTER, size=20, parent=90)
    chunks = _cut(chunker, Document("d", text, "d"))
    families: dict[str, list[Any]] = {}
    for chunk in chunks:
        families.setdefault(chunk.meta["parent"], []).append(chunk)
    assert len(families) > 2
    for span, children in families.items():
        start, end = map(int, span.split("-"))
        assert COUNTER.count(text[start:end]) <= 90
        assert children[0].start == start
        assert children[-1].end == end
        assert {child.meta["siblings"] for child in children} == {len(children)}
    assert all(COUNTER.count(chunk.text) <= 20 for chunk in chunks)


def test_an_only_child_has_no_parent() -> None:
    chunks = _cut(HierarchicalChunker(counter=COUNTER), Document("d", "Short.", "d"))
    assert [dict(chunk.meta) for chunk in chunks] == [{}]


def test_a_sentence_knows_its_window() -> None:
    chunks = _cut(WindowChunker(counter=COUNTER, neighbours=1, least=1), FRENCH)
    assert chunks[2].text == "Le moulin moud."
    start, end = map(int, chunks[2].meta["window"].split("-"))
    assert FRENCH.text[start:end] == "Le moulin grince. Le moulin moud. La mer monte."
    start, end = map(int, chunks[0].meta["window"].split("-"))
    assert FRENCH.text[start:end] == "Le moulin tourne. Le moulin grince."


def test_a_window_stays_within_the_size() -> None:
    chunks = _cut(WindowChunker(counter=COUNTER, size=14, neighbours=3, least=1), FRENCH)
    for chunk in chunks:
        start, end = map(int, chunk.meta["window"].split("-"))
        assert start <= chunk.start < chunk.end <= end
        assert COUNTER.count(FRENCH.text[start:end]) <= 14


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (HierarchicalChunker, {"size": 100, "parent": 150}),
        (HierarchicalChunker, {"merge": 0.0}),
        (WindowChunker, {"neighbours": -1}),
        (LateChunker, {"size": 200, "window": 100}),
        (ContextualChunker, {"source": "oracle"}),
        (ContextualChunker, {"source": "generator"}),
        (ContextualChunker, {"around": 10}),
    ],
)
def test_options_are_checked(make: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make(counter=COUNTER, **options)


@pytest.mark.parametrize("options", [{"percentile": 0.0}, {"neighbours": -1}])
def test_semantic_options_are_checked(options: Any) -> None:
    with pytest.raises(ConfigError):
        SemanticChunker(counter=COUNTER, embedder=HashingEmbedder(), **options)


LONG = Document(
    "d", "".join(f"Boat {n} has two or three sails. " for n in range(40)), "d", {"title": "Numbers"}
)


def _contextual(generator: Any, cache: Path | None = None, **more: Any) -> ContextualChunker:
    return ContextualChunker(
        counter=COUNTER,
        generator=lambda: generator,
        cache=cache,
        source="generator",
        size=40,
        around=120,
        **more,
    )


def test_headings_are_the_context_by_default() -> None:
    chunks = _cut(ContextualChunker(counter=COUNTER), LONG)
    assert {chunk.context for chunk in chunks} == {"Numbers"}


def test_a_generator_writes_a_line_for_each_chunk() -> None:
    said: list[str] = []

    def say(messages: Sequence[Any]) -> str:
        said.append(messages[-1].text)
        return f"\n  About   part {len(said)}.\nAnd more."

    steps: list[tuple[int, int]] = []
    chunker = _contextual(ScriptedGenerator(say), progress=lambda *step: steps.append(step))
    chunks = _cut(chunker, LONG)
    assert [chunk.context for chunk in chunks] == [
        f"Numbers\nAbout part {n}." for n in range(1, len(chunks) + 1)
    ]
    assert steps == [(n, len(chunks)) for n in range(1, len(chunks) + 1)]
    assert chunks[3].text in said[3]
    assert COUNTER.count(said[3]) < 300
    assert chunker.spent.written == len(chunks)
    assert chunker.spent.usage.answer_tokens > 0


def test_a_broken_run_goes_on_where_it_was(tmp_path: Path) -> None:
    calls = 0

    def fail_at_third(_messages: Sequence[Any]) -> str:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise GenerationError("gone")
        return "A line."

    generator = ScriptedGenerator(fail_at_third)
    first = _contextual(generator, tmp_path / "c.sqlite")
    with pytest.raises(GenerationError):
        first.chunk(LONG)
    first.close()
    second = _contextual(generator, tmp_path / "c.sqlite")
    chunks = _cut(second, LONG)
    assert second.spent.reused == 2
    assert second.spent.written == len(chunks) - 2
    second.close()
    third = _contextual(generator, tmp_path / "c.sqlite")
    assert _cut(third, LONG) == chunks
    assert (third.spent.written, third.spent.reused) == (0, len(chunks))
    third.close()


def test_a_cache_that_is_no_database_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "c.sqlite").write_bytes(b"no database at all, just text" * 40)
    chunker = _contextual(ScriptedGenerator(lambda _messages: "A line."), tmp_path / "c.sqlite")
    assert _cut(chunker, LONG)[0].context == "Numbers\nA line."
    assert "cannot be used" in caplog.text
    chunker.close()


def test_what_does_not_fit_the_generator_has_its_headings() -> None:
    def refuse(_messages: Sequence[Any]) -> str:
        raise ContextOverflow("too long")

    chunker = _contextual(ScriptedGenerator(refuse))
    chunks = _cut(chunker, LONG)
    assert {chunk.context for chunk in chunks} == {"Numbers"}
    assert chunker.spent.failed == len(chunks)


def test_braces_in_a_document_mean_nothing() -> None:
    document = Document("d", "A {title} and {0} and {around!r} stand here.", "d")
    generator = ScriptedGenerator(lambda _messages: "A line.")
    assert _cut(_contextual(generator), document)[0].context == "A line."
    assert "{0} and {around!r}" in generator.asked[0].messages[0].text


def test_numpy_is_not_asked_for_a_percentile_of_nothing() -> None:
    chunker = SemanticChunker(counter=COUNTER, embedder=HashingEmbedder())
    with np.errstate(all="raise"):
        assert len(_cut(chunker, Document("d", "One. Two.", "d"))) == 1
