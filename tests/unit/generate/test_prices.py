"""Money of an answer, by the table and by the user's own rows."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ragstack.errors import ConfigError
from ragstack.generate.prices import Prices, cost
from ragstack.generate.remote import RemoteGenerator
from ragstack.types import Money, Usage


def test_cached_tokens_have_a_price_of_their_own() -> None:
    # 900 fresh at 1, 100 cached at 0.10, 50 out at 5 dollars a million.
    found = cost("claude-haiku-4-5-20251001", Usage(1000, 100, 50))
    assert found == Money(Decimal("0.00116"), "USD")
    assert str(found) == "0.00116 USD"


def test_long_prompts_have_a_price_of_their_own() -> None:
    assert cost("gemini-3.1-pro-preview", Usage(200_000)) == Money(Decimal("0.4"), "USD")
    assert cost("gemini-3.1-pro-preview", Usage(200_001)) == Money(Decimal("0.800004"), "USD")


@pytest.mark.parametrize(
    "model", ["gpt-5.4-mini", "openai/gpt-5.4-mini-2026-03-05", "GPT-5.4-Mini"]
)
def test_a_narrow_pattern_goes_before_a_wide_one(model: str) -> None:
    assert cost(model, Usage(1_000_000)) == Money(Decimal("0.75"), "USD")


def test_what_is_not_known_has_no_price() -> None:
    assert cost("my-own-model", Usage(1000, 0, 1000)) is None


def test_the_user_s_rows_go_first() -> None:
    own: list[dict[str, Any]] = [
        {"model": "GPT-5.4*", "input": 1, "output": 2.5, "currency": "eur"},
    ]
    with RemoteGenerator(url="http://127.0.0.1:9/v1", model="gpt-5.4", prices=own) as generator:
        found = generator.cost(Usage(1_000_000, 500_000, 1_000_000))
    assert found == Money(Decimal("3.5"), "EUR")  # cached costs as much where nothing is said


def test_every_row_of_the_table_is_dated_and_can_be_reached() -> None:
    prices = Prices.read()
    for row in prices.rows:
        assert row.read is not None
        assert date(2026, 1, 1) <= row.read
        assert row.cached <= row.input < row.output
        assert row.written is None or row.input < row.written
        name = row.model.replace("*", "")
        assert prices.price(name, row.above + 1) is row


def test_money_of_two_currencies_is_not_added() -> None:
    one = Money(Decimal(1), "USD")
    assert one + one == Money(Decimal(2), "USD")
    with pytest.raises(ConfigError):
        one + Money(Decimal(1), "EUR")


def test_usages_add_up_and_so_does_what_is_known_of_their_cost() -> None:
    def paid(amount: int, currency: str = "USD") -> Usage:
        return Usage(10, 1, 2, 0.5, 3, Money(Decimal(amount), currency))

    assert Usage() + paid(2) + Usage(1) == Usage(11, 1, 2, 0.5, 3, Money(Decimal(2), "USD"))
    assert (paid(2) + paid(3)).cost == Money(Decimal(5), "USD")
    assert (paid(2) + paid(3, "EUR")).cost is None
    assert (Usage(1) + Usage(2)).cost is None


@pytest.mark.parametrize(
    "row",
    [
        {"model": "m", "input": 1},
        {"model": "m", "input": 1, "output": "much"},
        {"model": "m", "input": 1, "output": float("nan")},
        {"model": "m", "input": 1, "output": 1, "cost": 2},
        {"model": 3, "input": 1, "output": 1},
        {"model": "m", "input": 1, "output": 1, "above": "many"},
        {"model": "m", "input": 1, "output": 1, "date": "today"},
    ],
)
def test_rows_that_cannot_be_used(row: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Prices.read([row])
