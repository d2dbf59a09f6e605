"""A model's raw text in, thinking and answer out, apart; and a budget for the thinking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ragstack.errors import InputError
from ragstack.generate.stops import overlap

__all__ = ["CLOSE", "OPEN", "ReasoningBudget", "ReasoningSplitter", "Thought"]

OPEN, CLOSE = "<think>", "</think>"
_OPEN, _CLOSE = OPEN.encode(), CLOSE.encode()


class ReasoningSplitter:
    """Tells what stands between thinking marks from the answer, as the text comes.

    Thinking stands only before the answer: a mark further on is the answer's own text.
    """

    def __init__(self, *, thinking: bool = False) -> None:
        """Begin a reply.

        Args:
            thinking: The prompt itself has opened the thinking mark.
        """
        self._state = "thinking" if thinking else "start"
        self._held = ""

    def push(self, text: str) -> tuple[str, str]:
        """Return (thinking, answer) that this piece completes."""
        if self._state == "start":
            self._held += text
            begun = self._held.lstrip()
            if OPEN.startswith(begun[: len(OPEN)]) and len(begun) < len(OPEN):
                return "", ""
            text, self._held = self._held, ""
            self._state = "answer"
            if begun.startswith(OPEN):
                self._state, text = "thinking", begun[len(OPEN) :]
        if self._state == "thinking":
            return self._think(text)
        return "", self._answer(text)

    def flush(self) -> tuple[str, str]:
        """Return what was held back."""
        held, self._held = self._held, ""
        return (held, "") if self._state == "thinking" else ("", held)

    def _think(self, text: str) -> tuple[str, str]:
        self._held += text
        thought, mark, rest = self._held.partition(CLOSE)
        if mark:
            self._held, self._state = "", "gap"
            return thought, self._answer(rest)
        cut = len(self._held) - overlap(self._held, CLOSE)
        thought, self._held = self._held[:cut], self._held[cut:]
        return thought, ""

    def _answer(self, text: str) -> str:
        if self._state == "gap":  # the empty lines after the thinking mark
            text = text.lstrip("\n")
            if text:
                self._state = "answer"
        return text


@dataclass(frozen=True, slots=True)
class Thought:
    """Where one reply stands. A value: keep an older one to go back to it.

    Attributes:
        phase: ``start`` until it is clear whether the reply begins with thinking.
        tokens: Tokens of thinking so far, its marks aside.
        closing: How many of the closing tokens have come, once the budget is spent.
    """

    phase: Literal["start", "thinking", "answer"]
    tokens: int = 0
    closing: int = 0
    tail: bytes = b""

    @property
    def answering(self) -> bool:
        """Whether the next token is the answer's: a grammar holds from here on, and not before."""
        return self.phase == "answer"


class ReasoningBudget:
    """Says, token after token, when thinking must be closed and where the answer begins.

    It has no state of its own: ``step`` leads from one ``Thought`` to the next. Marks are read from
    the bytes of tokens, since a model may write them in several; what ``ReasoningSplitter`` shows
    as thinking is what is counted here.

    Example:
        >>> thought = budget.begin(thinking=prompt_ends_with_open)
        >>> while generating:
        ...     forced = budget.forced(thought)
        ...     token = sampler.draw(logits) if forced is None else forced
        ...     thought = budget.step(thought, token)
    """

    def __init__(
        self, piece: Callable[[int], bytes], close: Sequence[int], limit: int | None
    ) -> None:
        """Take the budget.

        Args:
            piece: The bytes of a token, marks written out: ``vocabulary.piece(t, special=True)``.
            close: Tokens to force once the budget is spent, the closing mark among them. Words
                may stand before it that tell the model to come to its answer, and line feeds after.
            limit: Tokens of thinking; None is no limit, 0 closes at once what is opened.

        Raises:
            InputError: The tokens do not close the thinking, or the limit is below 0.
        """
        if limit is not None and limit < 0:
            raise InputError(f"reasoning_tokens is {limit!r}, expected 0 or more, or None")
        written = b"".join(map(piece, close))
        if limit is not None and _CLOSE not in written:
            raise InputError(
                f"the closing tokens say {written.decode('utf-8', 'replace')!r}, "
                f"expected {CLOSE!r} in them"
            )
        self._piece = piece
        self._close = tuple(close)
        self._limit = limit

    def begin(self, *, thinking: bool = False) -> Thought:
        """Return where a reply starts.

        Args:
            thinking: The prompt itself has opened the thinking mark.
        """
        return Thought("thinking" if thinking else "start")

    def step(self, thought: Thought, token: int) -> Thought:
        """Return where the reply stands after one more token, drawn or forced."""
        if thought.phase == "answer":
            return thought
        if self.forced(thought) is not None:
            return self._after_forced(thought, token)
        text = thought.tail + self._piece(token)
        if thought.phase == "start":
            begun = text.lstrip()
            if len(begun) < len(_OPEN) and _OPEN.startswith(begun):
                return replace(thought, tail=text)
            if not begun.startswith(_OPEN):
                return Thought("answer")
            thought, text = Thought("thinking", -1), begun[len(_OPEN) :]
        if _CLOSE in text:
            return Thought("answer", max(thought.tokens, 0))
        return Thought("thinking", thought.tokens + 1, tail=text[1 - len(_CLOSE) :])

    def forced(self, thought: Thought) -> int | None:
        """Return the token that must come next, None where the model is free.

        It stands above whatever a grammar or a mask says: neither holds before the answer.
        """
        if self._limit is None or thought.phase != "thinking" or thought.tokens < self._limit:
            return None
        return self._close[thought.closing]

    def _after_forced(self, thought: Thought, token: int) -> Thought:
        if token != self._close[thought.closing]:
            raise InputError(
                f"the token {token} came where {self._close[thought.closing]} was forced"
            )
        closing = thought.closing + 1
        if closing == len(self._close):
            return Thought("answer", thought.tokens)
        return replace(thought, closing=closing)
