from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ragstack import Stack
from ragstack.pipeline.find import Search
from ragstack.pipeline.seen import Fate, Seen
from ragstack.types import Chunk, Passage

OpenStack = Callable[..., Stack]
QUESTION = "Who built the lighthouse?"


def passage(name: str, score: float, **trail: float) -> Passage:
    return Passage(Chunk(name, "v", 0, 1, "x"), score, "s", trail)


def test_the_farthest_counts_and_every_score_is_kept() -> None:
    seen = Seen()
    seen.note([passage(n, 1.0, weighted=1.0) for n in "abc"], Fate.FOUND, "behind")
    seen.note([passage("c", 3.0, rerank=3.0), passage("b", 2.0, rerank=2.0)], Fate.SCORED, "less")
    seen.note([passage("c", 3.0)], Fate.RANKED, "")
    seen.note([passage("c", 0.1, lexical=0.1)], Fate.FOUND, "behind, elsewhere")
    assert [(one.passage.chunk.document_id, one.fate) for one in seen.candidates] == [
        ("c", Fate.RANKED),
        ("b", Fate.SCORED),
        ("a", Fate.FOUND),
    ]
    first = seen.candidates[0].passage
    assert first.trail == {"weighted": 1.0, "rerank": 3.0, "lexical": 0.1} and first.score == 3.0


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"rerank": {"use": "mmr"}},
        {"rerank": {"use": "mmr"}, "retrieve": {"rerank_depth": 3}},
        {"chunk": {"use": "hierarchical"}},
    ],
)
def test_to_look_changes_nothing(
    open_stack: OpenStack, corpus_folder: Path, overrides: dict[str, dict[str, str]]
) -> None:
    stack = open_stack(overrides=overrides)
    stack.ingest(corpus_folder)
    seen = Seen()
    plain = stack.find(QUESTION, Search(k=2))
    looked = stack.find(QUESTION, Search(k=2, seen=seen))
    assert looked.passages == plain.passages
    every = seen.candidates
    assert {p.chunk.id for p in plain.passages} <= {one.passage.chunk.id for one in every}
    assert len(every) > 2 and all(one.passage.trail and one.why for one in every)


def test_of_what_is_for_other_eyes_nothing_is_seen(
    open_stack: OpenStack, corpus_folder: Path, tmp_path: Path
) -> None:
    stack = open_stack()
    stack.ingest(corpus_folder)
    secret = tmp_path / "secret.md"
    secret.write_text("Agnes Murray built the lighthouse with stolen money.", "utf-8")
    stack.ingest(secret, readers=["board"])
    seen, board = Seen(), Seen()
    stack.find(QUESTION, Search(k=1, asker=["ann"], seen=seen))
    stack.find(QUESTION, Search(k=1, asker=["board"], seen=board))
    texts = [one.passage.chunk.text for one in seen.candidates]
    assert texts and not any("stolen" in text for text in texts)
    assert any("stolen" in one.passage.chunk.text for one in board.candidates)


def test_every_query_of_a_question_is_seen(open_stack: OpenStack, corpus_folder: Path) -> None:
    stack = open_stack()
    stack.ingest(corpus_folder)
    seen = Seen()
    question = "Who built the lighthouse, and who pays for the roof?"
    found = stack.find(question, Search(k=1, transforms=["decompose"], seen=seen))
    if len(found.plan.queries) > 1:
        assert any("queries" in one.passage.trail for one in seen.candidates)
