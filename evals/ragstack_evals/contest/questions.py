"""Paragraphs and questions of a data set in, prompts of a given number of tokens out.

Real questions on real paragraphs (``RAGSTACK_DATA``, SQuAD 2); without the data, the repository's
own pages. Every prompt begins with a number of its own, so that none finds another's in a cache.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragstack.errors import InputError
from ragstack_evals.contest.player import Ask
from ragstack_evals.datasets import find_questions, read_questions

__all__ = ["Passage", "Prompts", "passages"]

Count = Callable[[Sequence[str]], list[int]]

_SYSTEM = "Case {number}. Answer the question from the passages alone, and cite them."
_PAGES = Path(__file__).resolve().parents[3] / "docs"
_SHORTEST = 200
_MOST = 600
_SMALL_TALK = (
    "Who is it about?", "Where did it happen?", "And when?", "Why does that matter?",
    "Give a number that the passages name.", "Which names do the passages give?",
    "Say it in other words.", "What came before it?", "What came after it?",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph, a question that it may answer, and what it is about."""

    text: str
    question: str
    title: str


def passages(seed: int) -> tuple[list[Passage], str]:
    """Return passages in a random order, and where they come from."""
    try:
        found, origin = _squad(), "SQuAD 2 (RAGSTACK_DATA)"
    except InputError:
        found, origin = _pages(), "the repository's own pages (RAGSTACK_DATA is not set)"
    random.Random(seed).shuffle(found)
    return found[:_MOST], origin


def _squad() -> list[Passage]:
    asked = read_questions(find_questions("squad2"))
    first = {each.context: each for each in reversed(asked) if not each.impossible}
    return [
        Passage(context, each.question, each.title.replace("_", " "))
        for context, each in first.items()
        if len(context) >= _SHORTEST
    ]


def _pages() -> list[Passage]:
    found = []
    for page in sorted(_PAGES.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        title = text.partition("\n")[0].lstrip("# ")
        for paragraph in re.split(r"\n\s*\n", text):
            if len(paragraph) >= _SHORTEST:
                found.append(Passage(paragraph, f"What is said here about {title}?", title))
    if not found:
        raise InputError(
            "there are no texts to ask about: no data folder and no pages",
            hint="set RAGSTACK_DATA to a folder with 'qa/squad2.jsonl.gz'",
        )
    return found


class Prompts:
    """Prompts, each new; the same seed and calls give the same ones."""

    def __init__(self, passages: Sequence[Passage], count: Count) -> None:
        self._passages = passages
        self._sizes = count([each.text for each in passages])
        self._at = 0
        self._number = 0

    def rag(self, size: int, tokens: int, *, question: str = "", endless: bool = True) -> Ask:
        """Return passages of about ``size`` tokens and a question on one of them."""
        text, asked = self._packed(size)
        return self._ask(f"{text}\n\nQuestion: {question or asked}", tokens, endless=endless)

    def long(self, tokens: int) -> Ask:
        """Return a short request for a long answer."""
        about = self._next()[0].title or "this place"
        return self._ask(f"Write a long and detailed article about {about}.", tokens)

    def chat(self, size: int, tokens: int) -> tuple[Ask, Sequence[str]]:
        """Return the first turn of a conversation about passages, and nine more questions."""
        return self.rag(size, tokens, endless=False), _SMALL_TALK

    def follow(self, count: int, size: int) -> list[str]:
        """Return observations of about ``size`` tokens."""
        return [self._packed(size)[0] for _ in range(count)]

    def grown(self, ask: Ask, more: str) -> Ask:
        """Return a request that begins like another and ends otherwise."""
        *before, last = ask.messages
        cut = last["content"].rpartition("Question: ")[0]
        return Ask(
            (*before, {"role": "user", "content": f"{cut}Question: {more}"}),
            ask.tokens,
            endless=ask.endless,
        )

    def _ask(self, text: str, tokens: int, *, endless: bool = True) -> Ask:
        self._number += 1
        system = {"role": "system", "content": _SYSTEM.format(number=self._number)}
        return Ask((system, {"role": "user", "content": text}), tokens, endless=endless)

    def _next(self) -> tuple[Passage, int]:
        place = self._at % len(self._passages)
        self._at += 1
        return self._passages[place], self._sizes[place]

    def _packed(self, size: int) -> tuple[str, str]:
        parts: list[str] = []
        question, room = "", size
        while room > 0:
            passage, tokens = self._next()
            question = question or passage.question
            parts.append(f"[{len(parts) + 1}] {_cut(passage.text, room / max(1, tokens))}")
            room -= tokens
        return "\n\n".join(parts), question


def _cut(text: str, share: float) -> str:
    """Return the first words of a text, so long a share of it."""
    if share >= 1:
        return text
    words = text.split()
    return " ".join(words[: max(1, round(len(words) * share))])
