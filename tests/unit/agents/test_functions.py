from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest

from ragstack.agents.functions import function_tool
from ragstack.errors import InputError, RemoteError


def book(
    city: str,
    nights: int,
    price: float = 10.0,
    kind: Literal["single", "double"] = "single",
    tags: Sequence[str] | None = None,
) -> dict[str, object]:
    """Book a room.

    Only where there is one.

    Args:
        city: Where, by its
            full name.
        nights (int): How many.
        price: At most, in euros: a number.

    Returns:
        What was booked.
    """
    return {"city": city, "nights": nights, "price": price, "kind": kind, "tags": tags}


def test_the_specification_is_read_off_the_function() -> None:
    spec = function_tool(book).spec
    assert spec.name == "book"
    assert spec.description == "Book a room.\n\nOnly where there is one."
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where, by its full name."},
            "nights": {"type": "integer", "description": "How many."},
            "price": {"type": "number", "description": "At most, in euros: a number."},
            "kind": {"enum": ["single", "double"]},
            "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        },
        "required": ["city", "nights"],
        "additionalProperties": False,
    }


def test_text_is_returned_as_it_is_and_values_as_json() -> None:
    def shout(text: str) -> str:
        """Shout."""
        return text.upper()

    assert function_tool(shout)(text="été") == "ÉTÉ"
    found = function_tool(book)(city="Orléans", nights=2.0, tags=["a"])
    assert found == (
        '{"city": "Orléans", "nights": 2, "price": 10.0, "kind": "single", "tags": ["a"]}'
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"nights": 1}, "'city' is missing; known: city, nights"),
        ({"city": "x", "nights": 1, "nigths": 2}, "no argument 'nigths'"),
        ({"city": "x", "nights": 1.5}, r"book\.nights must be of type integer, got 1\.5"),
        ({"city": "x", "nights": True}, "must be of type integer, got True"),
        ({"city": "x", "nights": "2"}, "must be of type integer, got '2'"),
        ({"city": None, "nights": 1}, "must be of type string, got None"),
        ({"city": "x", "nights": 1, "kind": "triple"}, "one of 'single', 'double'"),
        ({"city": "x", "nights": 1, "tags": ["a", 3]}, r"tags\[1\] must be of type string"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        function_tool(book)(**arguments)


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(InputError, match="did you mean 'nights'"):
        function_tool(book)(city="x", nights=1, nigths=2)


def test_maps_and_free_values_are_checked_inside() -> None:
    def total(prices: dict[str, float], note: Any = None, more: dict | None = None) -> float:  # type: ignore[type-arg]
        """Add prices."""
        return sum(prices.values())

    tool = function_tool(total)
    assert tool(prices={"a": 1, "b": 2.5}, note=[{}], more={"x": [1]}) == "3.5"
    with pytest.raises(InputError, match=r"prices\.b must be of type number"):
        tool(prices={"a": 1, "b": "2"})


def test_a_function_without_parameters_takes_none() -> None:
    def ping() -> str:
        """Say pong."""
        return "pong"

    assert function_tool(ping)() == "pong"
    with pytest.raises(InputError, match="no argument 'x'"):
        function_tool(ping)(x=1)


def undocumented(text: str) -> str:
    return text


def unhinted(text) -> str:  # type: ignore[no-untyped-def]
    """Return it."""
    return str(text)


def spread(*texts: str) -> str:
    """Join."""
    return "".join(texts)


def raw(data: bytes) -> str:
    """Decode."""
    return data.decode()


def by_number(table: dict[int, str]) -> str:
    """Look up."""
    return table[0]


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (undocumented, "no docstring"),
        (unhinted, "'text' has no type hint"),
        (spread, "'texts' cannot be given by name"),
        (raw, r"raw\.data: JSON has no type for <class 'bytes'>"),
        (by_number, "JSON has no type"),
        (lambda text: text, "a function with a name"),
    ],
)
def test_what_cannot_be_a_tool_is_refused(function: Callable[..., object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        function_tool(function)


def test_errors_of_the_function_itself_pass_through() -> None:
    def fetch(name: str) -> str:
        """Fetch a thing."""
        raise RemoteError(f"no answer for {name!r}")

    with pytest.raises(RemoteError):
        function_tool(fetch)(name="x")
