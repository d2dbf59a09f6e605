from __future__ import annotations

import pytest

from ragstack.agents.tools import CalculatorTool, SearchTool
from ragstack.errors import InputError, RemoteError
from ragstack.types import Chunk, Meta, Passage


def passage(text: str, source: str, *, context: str = "", meta: Meta | None = None) -> Passage:
    chunk = Chunk("d", "0" * 8, 0, len(text), text, context=context, meta=meta or {})
    return Passage(chunk, 1.0, source)


def test_passages_are_numbered_under_their_sources() -> None:
    asked: list[str] = []

    def search(query: str) -> list[Passage]:
        asked.append(query)
        return [
            passage("Rent is due.", "lease.pdf", meta={"page": 4}),
            passage("Ada pays.", "mail.eml", context="Inbox > Rent"),
        ]

    assert SearchTool(search)(query="who pays?") == (
        "[1] lease.pdf, page 4\nRent is due.\n\n[2] mail.eml\nInbox > Rent\nAda pays."
    )
    assert asked == ["who pays?"]


def test_nothing_found_is_said() -> None:
    assert SearchTool(lambda _: [])(query="x") == "Nothing was found for 'x'."


def test_whole_passages_are_left_out_beyond_the_limit_but_never_the_first() -> None:
    many = [passage(f"{number}" * 50, f"{number}.txt") for number in range(5)]
    assert SearchTool(lambda _: many, max_characters=150)(query="x") == (
        f"[1] 0.txt\n{'0' * 50}\n\n[2] 1.txt\n{'1' * 50}\n\n(3 more left out)"
    )
    assert "0" * 50 in SearchTool(lambda _: many, max_characters=1)(query="x")


def test_a_blank_query_is_the_models_mistake() -> None:
    with pytest.raises(InputError, match="blank"):
        SearchTool(lambda _: [])(query=" \n")


def test_a_search_that_fails_is_not() -> None:
    def search(query: str) -> list[Passage]:
        raise RemoteError("no server")

    with pytest.raises(RemoteError):
        SearchTool(search)(query="x")


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="max_characters"):
        SearchTool(lambda _: [], max_characters=0)


def test_the_calculator_calculates() -> None:
    assert CalculatorTool()(expression="12 * 12") == "144"
    with pytest.raises(InputError, match="divides by zero"):
        CalculatorTool()(expression="1/0")
