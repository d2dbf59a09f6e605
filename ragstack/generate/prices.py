"""A model's name and a Usage in, money out. The prices are data: prices.toml, and the user's own.

Of rows that fit the first one counts, so the user's go before the table's.
"""

from __future__ import annotations

import fnmatch
import importlib.resources
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from ragstack.errors import ConfigError
from ragstack.types import Money, Usage

__all__ = ["Price", "Prices", "cost"]

_MILLION = Decimal(1_000_000)
_FIELDS = {"model", "input", "cached", "written", "output", "currency", "date", "above"}


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost.

    Attributes:
        model: A pattern with ``*`` and ``?``, in small letters.
        cached: Of prompt tokens the service had read before.
        read: The day the row was written down; prices change.
        written: Of prompt tokens the service wrote to its cache; None is as for any others.
        above: It holds for prompts of more tokens than this.
    """

    model: str
    input: Decimal
    cached: Decimal
    output: Decimal
    currency: str
    read: date | None = None
    above: int = -1
    written: Decimal | None = None

    def cost(self, usage: Usage) -> Money:
        """Return what a usage costs; reasoning counts as output, as it does on the bill."""
        fresh = max(usage.prompt_tokens - usage.cached_tokens - usage.written_tokens, 0)
        parts = (
            (fresh, self.input),
            (usage.written_tokens, self.input if self.written is None else self.written),
            (usage.cached_tokens, self.cached),
            (usage.answer_tokens, self.output),
        )
        total = sum((tokens * price for tokens, price in parts), Decimal(0))
        return Money(total / _MILLION, self.currency)


@dataclass(frozen=True, slots=True)
class Prices:
    """Rows in the order they are tried."""

    rows: tuple[Price, ...]

    @classmethod
    def read(cls, own: Sequence[Mapping[str, Any]] = ()) -> Prices:
        """Return the user's rows, then the table's.

        Raises:
            ConfigError: A row cannot be used.
        """
        data = importlib.resources.files(__package__) / "prices.toml"
        table = tomllib.loads(data.read_text("utf-8"), parse_float=Decimal)
        return cls(tuple(_row(row) for row in (*own, *table["price"])))

    def price(self, model: str, prompt_tokens: int = 0) -> Price | None:
        """Return the first row that fits, if any; a name's part before a slash may be left out."""
        names = {model.lower(), model.lower().rpartition("/")[2]}
        for row in self.rows:
            fits = any(fnmatch.fnmatchcase(name, row.model) for name in names)
            if fits and prompt_tokens > row.above:
                return row
        return None

    def cost(self, model: str, usage: Usage) -> Money | None:
        """Return what a usage costs, or None where no price is known."""
        row = self.price(model, usage.prompt_tokens)
        return None if row is None else row.cost(usage)


def cost(model: str, usage: Usage) -> Money | None:
    """Return what an answer of a model took by the table's prices, None where none is known."""
    return Prices.read().cost(model, usage)


def _row(row: Mapping[str, Any]) -> Price:
    unknown = set(row) - _FIELDS
    missing = {"model", "input", "output"} - set(row)
    if unknown or missing:
        raise ConfigError(
            f"a price is {dict(row)!r}, expected model, input and output, and maybe "
            "cached, written, currency, date and above"
        )
    currency, above, read = row.get("currency", "USD"), row.get("above", -1), row.get("date")
    if not isinstance(currency, str) or not isinstance(row["model"], str):
        raise ConfigError(f"a price has model {row['model']!r} and currency {currency!r}")
    if not isinstance(above, int) or not (read is None or isinstance(read, date)):
        raise ConfigError(f"a price has above {above!r} and date {read!r}")
    put = _amount(row, "input")
    cached = _amount(row, "cached") if "cached" in row else put
    return Price(
        row["model"].lower(),
        put,
        cached,
        _amount(row, "output"),
        currency.upper(),
        read,
        above,
        _amount(row, "written") if "written" in row else None,
    )


def _amount(row: Mapping[str, Any], name: str) -> Decimal:
    try:
        amount = Decimal(str(row[name]))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise ConfigError(f"a price's {name} is {row[name]!r}, expected an amount of 0 or more")
    return amount
