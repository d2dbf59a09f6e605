from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ragstack import Message, Stack
from ragstack.generate.scripted import ScriptedGenerator

OpenStack = Callable[..., Stack]


def say(messages: Sequence[Message]) -> str:
    """Answer from the passages as a good small model would: the first that holds a keyword."""
    prompt = messages[-1].text
    if "Question: Who built" in prompt:
        return "Agnes Murray"
    if "Qui entretient" in prompt:
        return "Le locataire"
    return "not in the passages"


@pytest.fixture
def open_stack(tmp_path: Path) -> Iterator[OpenStack]:
    """Opens stacks with the hashing embedder and a scripted generator; closes them at the end."""
    opened: list[Stack] = []

    def make(name: str = "kb", **more: object) -> Stack:
        overrides = {"embed": {"use": "hashing"}, **more.pop("overrides", {})}  # type: ignore[dict-item]
        generator = more.pop("generator", None) or ScriptedGenerator(
            say, scores=lambda _messages, text: -0.1 if text.lower() in ("yes", "oui") else -3.0
        )
        stack = Stack.open(tmp_path / name, overrides=overrides, generator=generator, **more)
        opened.append(stack)
        return stack

    yield make
    for stack in opened:
        stack.close()


@pytest.fixture
def stack(open_stack: OpenStack, corpus_folder: Path) -> Stack:
    """A stack that holds the tiny corpus."""
    made = open_stack()
    made.ingest(corpus_folder)
    return made
