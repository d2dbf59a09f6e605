"""Tools that come with the house: search a base, calculate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragstack.agents.arguments import checked
from ragstack.agents.arithmetic import evaluate
from ragstack.errors import InputError
from ragstack.types import Passage, ToolSpec

__all__ = ["CalculatorTool", "SearchTool"]


def _one_text(name: str, description: str, argument: str, meaning: str) -> ToolSpec:
    parameters: dict[str, object] = {
        "type": "object",
        "properties": {argument: {"type": "string", "description": meaning}},
        "required": [argument],
        "additionalProperties": False,
    }
    return ToolSpec(name, description, parameters)


class SearchTool:
    """Searches a base and returns numbered passages with their sources."""

    def __init__(
        self, search: Callable[[str], Sequence[Passage]], *, max_characters: int = 6_000
    ) -> None:
        """Take the search to use, and how much text one call may return.

        Args:
            search: A question in, passages out, best first: ``stack.search``.
            max_characters: Whole passages are left out beyond it, the first one never.
        """
        if max_characters < 1:
            raise InputError(f"max_characters must be above 0, got {max_characters!r}")
        self._search = search
        self._max_characters = max_characters
        self._spec = _one_text(
            "search",
            "Search the documents. Returns numbered passages with their sources.",
            "query",
            "What to look for: a question or a few words.",
        )

    @property
    def spec(self) -> ToolSpec:
        """Name, description and parameters, as the generator sees them."""
        return self._spec

    def __call__(self, /, **arguments: object) -> str:
        """Return the passages found, numbered from 1, each under its source.

        Raises:
            InputError: No ``query``, a blank one, or other arguments.
        """
        query = str(checked(self._spec, arguments)["query"])
        if not query.strip():
            raise InputError("the query is blank: say what to look for")
        passages = self._search(query)
        if not passages:
            return f"Nothing was found for {query!r}."
        shown: list[str] = []
        room = self._max_characters
        for number, passage in enumerate(passages, start=1):
            text = f"[{number}] {_place(passage)}\n{passage.chunk.indexed_text}"
            if shown and len(text) > room:
                shown.append(f"({len(passages) - number + 1} more left out)")
                break
            shown.append(text)
            room -= len(text)
        return "\n\n".join(shown)


class CalculatorTool:
    """Does arithmetic, exactly where numbers are whole."""

    def __init__(self) -> None:
        self._spec = _one_text(
            "calculator",
            "Calculate an arithmetic expression. Returns a number.",
            "expression",
            "For example: (12.5 + 3) * 4 / sqrt(2)",
        )

    @property
    def spec(self) -> ToolSpec:
        """Name, description and parameters, as the generator sees them."""
        return self._spec

    def __call__(self, /, **arguments: object) -> str:
        """Return the value of ``expression``.

        Raises:
            InputError: No expression, or one without a value.
        """
        return evaluate(str(checked(self._spec, arguments)["expression"]))


def _place(passage: Passage) -> str:
    page = passage.chunk.meta.get("page")
    return passage.source if page is None else f"{passage.source}, page {page}"
