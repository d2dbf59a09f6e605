"""Passages become prompts of a given size, each of its own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ragstack_evals.contest.questions import Passage, Prompts, passages


def _words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def _prompts() -> Prompts:
    many = [
        Passage(" ".join(f"w{n}-{i}" for i in range(130)), f"What is {n}?", f"Thing {n}")
        for n in range(12)
    ]
    return Prompts(many, lambda texts: _words(list(texts)))


def test_a_prompt_has_the_size_that_was_asked_for() -> None:
    ask = _prompts().rag(600, 32)
    text = ask.messages[1]["content"]
    assert 590 <= len(text.split()) <= 620
    assert text.count("\n\n[") == 4
    assert text.endswith("Question: What is 0?")
    assert ask.tokens == 32 and ask.endless


def test_no_two_prompts_begin_alike() -> None:
    prompts = _prompts()
    asks = [prompts.rag(200, 8) for _ in range(40)]
    assert len({ask.messages[0]["content"] for ask in asks}) == 40


def test_the_same_calls_give_the_same_prompts() -> None:
    one, other = _prompts(), _prompts()
    assert [one.rag(300, 8), one.long(9)] == [other.rag(300, 8), other.long(9)]


def test_a_grown_prompt_keeps_all_but_the_question() -> None:
    prompts = _prompts()
    cold = prompts.rag(200, 2)
    warm = prompts.grown(cold, "Where?")
    before, after = (ask.messages[1]["content"] for ask in (cold, warm))
    assert before.rpartition("Question: ")[0] == after.rpartition("Question: ")[0]
    assert after.endswith("Question: Where?")
    assert warm.messages[0] == cold.messages[0]


def test_without_data_the_pages_of_the_repository_are_asked_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAGSTACK_DATA", str(tmp_path))
    found, origin = passages(0)
    assert "own pages" in origin
    assert len(found) > 30
    assert found == passages(0)[0]
    assert found != passages(1)[0]


def test_with_data_paragraphs_come_with_their_questions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = "Agnes Murray built the lighthouse. " * 10
    row = {
        "id": "1", "question": "Who built it?", "context": context, "source_title": "A_Light",
        "answers": [{"text": "Agnes Murray", "start": 0}], "is_impossible": False,
    }  # fmt: skip
    room = tmp_path / "qa"
    room.mkdir()
    with gzip.open(room / "squad2.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n" + json.dumps({**row, "id": "2", "question": "And?"}))
    monkeypatch.setenv("RAGSTACK_DATA", str(tmp_path))
    found, origin = passages(0)
    assert found == [Passage(context, "Who built it?", "A Light")]
    assert "SQuAD" in origin
