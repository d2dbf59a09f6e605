"""A model's raw text in, thinking and answer out, apart."""

from __future__ import annotations

from ragstack.generate.stops import overlap

__all__ = ["CLOSE", "OPEN", "ReasoningSplitter"]

OPEN, CLOSE = "<think>", "</think>"


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
