from __future__ import annotations

from ragstack.agents.functions import FunctionTool, function_tool
from ragstack.agents.tools import CalculatorTool, SearchTool
from ragstack.testing.tools import ToolSuite
from ragstack.types import Chunk, Passage


def found(query: str) -> list[Passage]:
    chunk = Chunk("d", "0" * 8, 0, len(query), query, meta={"page": 3})
    return [Passage(chunk, 1.0, "notes/a.txt")]


class TestSearch(ToolSuite):
    def make(self) -> SearchTool:
        return SearchTool(found)

    def good_arguments(self) -> dict[str, object]:
        return {"query": "who pays?"}


class TestCalculator(ToolSuite):
    def make(self) -> CalculatorTool:
        return CalculatorTool()

    def good_arguments(self) -> dict[str, object]:
        return {"expression": "2 * (3 + 4)"}


class TestFunction(ToolSuite):
    def make(self) -> FunctionTool:
        def convert(amounts: list[float], rate: float, unit: str = "EUR") -> dict[str, object]:
            """Convert amounts of money.

            Args:
                amounts: What to convert.
                rate: Units for one.
            """
            return {"unit": unit, "amounts": [amount * rate for amount in amounts]}

        return function_tool(convert)

    def good_arguments(self) -> dict[str, object]:
        return {"amounts": [1, 2.5], "rate": 2}
