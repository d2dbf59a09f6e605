from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, get_type_hints

import pytest

from ragstack.errors import ConfigError
from ragstack.types.ranges import Range, check_range, check_ranges


@dataclass(frozen=True)
class Oven:
    heat: Annotated[int, Range(least=0, most=300)] = 180
    minutes: Annotated[float, Range(above=0)] = 40.0
    name: str = "oven"


@pytest.mark.parametrize(
    ("some", "within", "outside"),
    [
        (Range(least=0), [0, 0.5, 10**9, float("inf")], [-1, -1e-9, float("-inf")]),
        (Range(above=0), [1e-9, 1], [0, -0.0, -1]),
        (Range(least=0, most=1), [0, 0.5, 1], [-0.1, 1.1]),
        (Range(above=0, most=2), [0.1, 2], [0, 2.1]),
        (Range(most=2), [-5, 2], [3]),
        (Range(), [-5, 5], []),
    ],
    ids=str,
)
def test_what_is_in_a_range(some: Range, within: list[float], outside: list[float]) -> None:
    assert all(value in some for value in within)
    assert not any(value in some for value in [*outside, float("nan")])


@pytest.mark.parametrize(
    ("some", "said"),
    [
        (Range(least=0), "0 or more"),
        (Range(above=0), "above 0"),
        (Range(most=9), "at most 9"),
        (Range(least=0, most=1), "0 to 1"),
        (Range(above=0, most=8_784), "above 0, at most 8784"),
    ],
)
def test_how_a_range_is_said(some: Range, said: str) -> None:
    assert str(some) == said


def test_a_value_outside_is_refused_by_the_name_it_was_given() -> None:
    hints = get_type_hints(Oven, include_extras=True)
    check_range(hints["heat"], 300, what="the heat")
    check_range(hints["name"], -1, what="the name")
    with pytest.raises(ConfigError, match=r"^the heat takes 0 to 300, got 301$"):
        check_range(hints["heat"], 301, what="the heat")


def test_every_field_of_a_dataclass_is_looked_at() -> None:
    check_ranges(Oven(), where="kitchen")
    with pytest.raises(ConfigError, match=r"^'kitchen\.heat' takes 0 to 300, got -1$"):
        check_ranges(Oven(heat=-1), where="kitchen")
    with pytest.raises(ConfigError, match=r"^'kitchen\.minutes' takes above 0, got nan$"):
        check_ranges(Oven(minutes=float("nan")), where="kitchen")
