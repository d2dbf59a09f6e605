"""The cache of answers: when it must miss, what it keeps, and that it never fails a question."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from ragstack import Answer, Chunk, Citation, Mark, Message, Passage, Sentence, Stack, Usage
from ragstack.errors import BaseError, ConfigError
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.answer_codec import read_answer, write_answer
from ragstack.pipeline.cache import AnswerCache
from ragstack.pipeline.find import Search
from ragstack.pipeline.kept import Asked, threshold_of
from ragstack.types import Money, TraceStep

OpenStack = Callable[..., Stack]
QUESTION = "Who built the lighthouse?"
ANSWER = Answer(
    "Agnes \ud800\x00é",
    abstained=False,
    grounded=True,
    sentences=(Sentence(0, 3, "verbatim"),),
    citations=(
        Citation(
            1,
            "c",
            "d",
            "s",
            0,
            3,
            "Agn",
            "verbatim",
            Mark("page", 0, 9, page=3, box=(0.0, 1.5, 2, 3)),
        ),
    ),
    passages=(
        Passage(
            Chunk("d", "00", 0, 3, "Agn", meta={"n": 1, "f": 1.0, "b": True, "x": None}),
            1.5,
            "s",
            {"a": 1.0},
        ),
    ),
    usage=Usage(1, 2, 3, 0.5, 4, Money(Decimal("0.0010"), "EUR")),
    trust=1.25,
    notes=("note",),
    seconds={"pack": 0.5},
    trace=(TraceStep("search", ("x",), 0.1, Usage(7)),),
)


def asked(question: str = QUESTION, vector: Sequence[float] = (1, 0), **more: str) -> Asked:
    fields = {"collection": "default", "scope": "1", "key": "k", **more}
    array = np.asarray(vector, np.float32)
    return Asked(question, vector=array / np.linalg.norm(array), threshold=0.9, **fields)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[AnswerCache]:
    made = AnswerCache(tmp_path / "answers.sqlite", size=3)
    yield made
    made.close()


def test_an_answer_survives_as_it_was() -> None:
    found = read_answer(write_answer(ANSWER))
    assert found == ANSWER
    assert [type(v) for v in found.passages[0].chunk.meta.values()] == [
        int,
        float,
        bool,
        type(None),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"text": 1}', "[" * 5_000])
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(BaseError, match="no answer"):
        read_answer(text)


def test_the_same_and_nearly_the_same_question_hit(cache: AnswerCache) -> None:
    cache.put(asked(), ANSWER)
    found = cache.get(asked())
    assert found is not None
    assert (found.answer, found.cosine) == (ANSWER, pytest.approx(1.0))
    near = cache.get(asked("Who was the lighthouse built by?", (1, 0.2)))
    assert near is not None
    assert near.question == QUESTION


@pytest.mark.parametrize(
    "other",
    [
        asked("Who built the lighthouse", (1, 1)),
        asked("Who painted the lighthouse?"),
        asked("Who built the lighthouse in 1871?"),
        asked("Who never built the lighthouse?"),
        asked("When was the lighthouse built?"),
        asked(key="another asker"),
        asked(collection="other"),
        asked(vector=(1, 0, 0)),
    ],
)
def test_another_question_misses(cache: AnswerCache, other: Asked) -> None:
    cache.put(asked(), ANSWER)
    assert cache.get(other) is None
    assert len(cache) == 1


def test_a_base_that_changed_misses_and_its_answers_are_forgotten(cache: AnswerCache) -> None:
    cache.put(asked(), ANSWER)
    cache.put(asked(collection="other"), ANSWER)
    assert cache.get(asked(scope="2")) is None
    assert len(cache) == 1
    assert cache.get(asked()) is None


def test_a_guard_that_refuses_the_nearest_lets_the_next_answer(cache: AnswerCache) -> None:
    cache.put(asked("Who built the lighthouse in 1871?", (1, 0)), replace(ANSWER, text="no"))
    cache.put(asked("By whom is the lighthouse built?", (1, 0.1)), ANSWER)
    found = cache.get(asked())
    assert found is not None
    assert found.answer == ANSWER


def test_size_is_bounded_and_the_least_used_goes(cache: AnswerCache) -> None:
    names = ("bread", "bees", "bail", "ferry")
    for number, name in enumerate(names):
        cache.put(asked(f"What is {name}?", np.eye(4)[number]), ANSWER)
        cache.get(asked("What is bread?", np.eye(4)[0]))
    assert len(cache) == 3
    hits = [bool(cache.get(asked(f"What is {n}?", np.eye(4)[i]))) for i, n in enumerate(names)]
    assert hits == [True, False, True, True]


def test_the_same_question_is_kept_once(cache: AnswerCache) -> None:
    cache.put(asked(), ANSWER)
    cache.put(asked(), replace(ANSWER, text="later"))
    found = cache.get(asked())
    assert found is not None
    assert (found.answer.text, len(cache)) == ("later", 1)


def test_it_survives_the_process(tmp_path: Path) -> None:
    for _ in range(2):
        cache = AnswerCache(tmp_path / "answers.sqlite")
        cache.put(asked(), ANSWER)
        cache.close()
        cache.close()
    again = AnswerCache(tmp_path / "answers.sqlite")
    assert again.get(asked()) is not None
    again.close()


def test_a_damaged_file_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"no database" * 1_000)
    cache = AnswerCache(path)
    cache.put(asked(), ANSWER)
    assert cache.get(asked()) is not None
    cache.close()


def test_an_answer_that_was_changed_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    cache = AnswerCache(path)
    cache.put(asked(), ANSWER)
    cache.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answers SET answer = ?", (b'{"text": "forged"}',))
    connection.close()
    again = AnswerCache(path)
    assert again.get(asked()) is None
    assert len(again) == 0
    again.close()


def test_a_place_that_cannot_be_written_fails_no_question(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "missing" / "answers.sqlite")
    cache.put(asked(), ANSWER)
    assert cache.get(asked()) is None
    cache.close()


@pytest.mark.parametrize(("size", "threshold"), [(0, 0.0), (1, 1.1), (1, -0.1), (1, float("nan"))])
def test_settings_that_cannot_be(tmp_path: Path, size: int, threshold: float) -> None:
    with pytest.raises(ConfigError):
        AnswerCache(tmp_path / "a", size=size, threshold=threshold)


def test_an_unmeasured_embedder_has_the_strictest_threshold() -> None:
    assert threshold_of("who knows") >= threshold_of("onnx all-MiniLM-L6-v2")


# In a stack


def build(open_stack: OpenStack, corpus_folder: Path, **overrides: object) -> Stack:
    def say(messages: Sequence[Message]) -> str:
        return "Agnes Murray" if "Who" in messages[-1].text else "not in the passages"

    generator = ScriptedGenerator(
        say, scores=lambda _m, text: -0.1 if text in ("yes", "Yes") else -3.0
    )
    made = open_stack(
        generator=generator,
        overrides={"cache": {"enabled": True, "threshold": 0.5}, **overrides},
    )
    made.ingest(corpus_folder)
    return made


def cached(answer: Answer) -> bool:
    return answer.trace[0].name == "cache"


def test_a_stack_answers_again_without_the_generator(
    open_stack: OpenStack, corpus_folder: Path
) -> None:
    stack = build(open_stack, corpus_folder)
    first = stack.ask(QUESTION, style="brief")
    calls = len(stack.parts.generator.asked)  # type: ignore[attr-defined]
    second = stack.ask("Who built the  lighthouse", style="brief")
    assert cached(second) and not cached(first)
    assert (second.text, second.citations) == (first.text, first.citations)
    assert second.usage == Usage()
    assert len(stack.parts.generator.asked) == calls  # type: ignore[attr-defined]
    assert [type(event).__name__ for event in stack.stream(QUESTION, style="brief")] == [
        "Retrieved",
        "Delta",
        "Answer",
    ]


def test_a_stack_never_answers_from_a_base_that_changed(
    open_stack: OpenStack, corpus_folder: Path
) -> None:
    stack = build(open_stack, corpus_folder)
    stack.ask(QUESTION, style="brief")
    for change in (
        lambda: (corpus_folder / "new.md").write_text("A new page.", "utf-8"),
        lambda: (corpus_folder / "bees.txt").unlink(),
    ):
        change()
        stack.ingest(corpus_folder)
        assert not cached(stack.ask(QUESTION, style="brief"))
        assert cached(stack.ask(QUESTION, style="brief"))
    stack.ingest(corpus_folder, readers=["anna"])
    assert not cached(stack.ask(QUESTION, style="brief"))
    stack.ingest(corpus_folder, meta={"year": 2020})
    assert not cached(stack.ask(QUESTION, style="brief"))
    stack.delete(corpus_folder / "lighthouse.md")
    assert not cached(stack.ask(QUESTION, style="brief"))


@pytest.mark.parametrize(
    "other",
    [
        {"style": "normal"},
        {"asker": ("anna",)},
        {"where": {"language": "en"}},
        {"collection": "other"},
        {"transforms": ("decompose",)},
        {"quotes": True},
    ],
)
def test_a_stack_answers_other_askers_and_settings_anew(
    open_stack: OpenStack, corpus_folder: Path, other: dict[str, object]
) -> None:
    stack = build(open_stack, corpus_folder)
    stack.ask(QUESTION, style="brief")
    found = stack.ask(QUESTION, **{"style": "brief", **other})  # type: ignore[arg-type]
    assert not cached(found)


def test_other_settings_of_a_base_answer_anew(open_stack: OpenStack, corpus_folder: Path) -> None:
    first = build(open_stack, corpus_folder)
    first.ask(QUESTION, style="brief")
    first.close()
    same = build(open_stack, corpus_folder)
    assert cached(same.ask(QUESTION, style="brief"))
    same.close()
    other = build(open_stack, corpus_folder, answer={"doubt": -0.5})
    assert not cached(other.ask(QUESTION, style="brief"))


def test_it_is_off_by_default(stack: Stack) -> None:
    stack.ask(QUESTION, style="brief")
    assert not cached(stack.ask(QUESTION, style="brief"))
    assert not (stack.folder / "answers.sqlite").exists()


def test_a_question_within_a_conversation_is_not_kept(
    open_stack: OpenStack, corpus_folder: Path
) -> None:
    stack = build(open_stack, corpus_folder)
    assert stack.find(QUESTION, Search(k=1)).passages
    assert not (stack.folder / "answers.sqlite").exists()
