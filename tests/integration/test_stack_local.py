"""The main job, with the real embedder and a real, small generator: no claim about its wit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragstack import Answer, Delta, Stack, models

pytestmark = pytest.mark.integration

SMALL = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Stack]:
    models.path(SMALL, pull=True)
    base = tmp_path_factory.mktemp("real") / "kb"
    overrides = {"generate": {"model": SMALL, "context_size": 4096}, "answer": {"doubt": -50.0}}
    with Stack.open(base, overrides=overrides) as made:
        report = made.ingest(repository / "tests" / "corpus")
        assert report.failed == ()
        yield made


def test_questions_find_their_documents(
    stack: Stack, tiny_questions: tuple[tuple[str, str, str], ...]
) -> None:
    found = [Path(stack.search(question, k=1)[0].source).name for question, _, _ in tiny_questions]
    right = sum(a == file for a, (_, file, _) in zip(found, tiny_questions, strict=True))
    assert right >= len(tiny_questions) - 1, found


@pytest.mark.parametrize("style", ["brief", "normal"])
def test_every_quote_is_verbatim_whatever_the_model_writes(
    stack: Stack, tiny_questions: tuple[tuple[str, str, str], ...], style: str
) -> None:
    for question, _, _ in tiny_questions[::3]:
        answer = stack.ask(question, style=style)
        for citation in answer.citations:
            document = stack.document(citation.document_id)
            assert document is not None
            assert document.text[citation.start : citation.end] == citation.quote
            assert citation.quote.strip()
        assert answer.usage.prompt_tokens > 0


def test_a_closed_stream_leaves_the_generator_usable(stack: Stack) -> None:
    events = stack.stream("Who built the lighthouse?", style="normal")
    for event in events:
        if isinstance(event, Delta):
            break
    events.close()  # type: ignore[attr-defined]
    assert isinstance(stack.ask("Who built the lighthouse?", style="brief"), Answer)


def test_many_threads_ask_at_once(stack: Stack) -> None:
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(stack.ask("What does a bicycle cost on the ferry?", style="brief"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.text for answer in answers}) == 1
    assert len(answers) == 3


def test_the_prompt_is_read_once_for_all_that_is_asked_of_it(stack: Stack) -> None:
    answer = stack.ask("How long does the sourdough bake?", style="brief")
    assert answer.abstained or answer.usage.cached_tokens > answer.usage.prompt_tokens // 2
