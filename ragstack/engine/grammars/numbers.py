"""Bounds in, the spellings of the numbers within out, exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from ragstack.engine.grammars.pieces import Piece, Pieces
from ragstack.errors import GrammarError

__all__ = ["number"]

_WIDE = 10**15  # a double holds every whole number below
_DIGITS = 14  # of a number with a fraction: neighbours stay apart as doubles
_MULTIPLES = 1_000
_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")


def number(schema: Mapping[str, object], pieces: Pieces, *, whole: bool) -> Piece:
    """Return the numbers that a schema allows, without exponents and leading zeros.

    Where a side has no bound, whole numbers end 10**15 from the other or from 0. A step that is no
    power of ten is kept to the 1,000 multiples next to the lower bound or around 0.

    Raises:
        GrammarError: A bound is no number, or nothing lies between them.
    """
    limits = {key: _decimal(schema[key], key) for key in _BOUNDS if key in schema}
    if not limits and not whole:
        return _any(pieces)
    step = limits.get("multipleOf")
    if step is not None and step <= 0:
        raise GrammarError(f"multipleOf is {step}, expected more than 0")
    places = 0 if whole else _places(limits)
    if step is not None:
        found = _stepped(limits, step, pieces, whole=whole)
    else:
        choices = sorted({0, min(1, places), min(2, places), places})
        found = pieces.alt(*(_fixed(*_scaled(limits, k), k, pieces) for k in choices))
    if found.node == pieces.fail.node:
        told = ", ".join(f"{key} {value}" for key, value in limits.items())
        raise GrammarError(f"no number can be written within {told}")
    return found


def _decimal(value: object, key: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise GrammarError(f"{key} is {value!r}, expected a number")
    return Decimal(repr(value))


def _any(pieces: Pieces) -> Piece:
    digit = pieces.chars(((0x30, 0x39),))
    leading = pieces.seq(pieces.chars(((0x31, 0x39),)), pieces.rep(digit, 0, 14))
    fraction = pieces.seq(pieces.literal("."), pieces.rep(digit, 1, 9))
    return pieces.seq(
        pieces.rep(pieces.literal("-"), 0, 1),
        pieces.alt(pieces.literal("0"), leading),
        pieces.rep(fraction, 0, 1),
    )


def _places(limits: Mapping[str, Decimal]) -> int:
    largest = max((abs(int(value)) for value in limits.values()), default=0)
    wanted = max((-_exponent(value) for value in limits.values()), default=0) + 2
    return max(0, min(wanted, _DIGITS - len(str(largest))))


def _exponent(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return min(exponent, 0) if isinstance(exponent, int) else 0


def _scaled(limits: Mapping[str, Decimal], places: int) -> tuple[int, int]:
    """Return the bounds in units of the last place, both included."""
    unit = Decimal(1).scaleb(places)
    lows = [_up(limits["minimum"] * unit)] if "minimum" in limits else []
    if "exclusiveMinimum" in limits:
        lows.append(_down(limits["exclusiveMinimum"] * unit) + 1)
    highs = [_down(limits["maximum"] * unit)] if "maximum" in limits else []
    if "exclusiveMaximum" in limits:
        highs.append(_up(limits["exclusiveMaximum"] * unit) - 1)
    wide = _WIDE if not places else 10**_DIGITS
    low = max(lows) if lows else min(max(-wide, -wide + 1), min(highs, default=0) - wide)
    high = min(highs) if highs else max(wide - 1, low + wide)
    return low, high


def _up(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))


def _down(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_FLOOR))


def _stepped(limits: Mapping[str, Decimal], step: Decimal, pieces: Pieces, *, whole: bool) -> Piece:
    bounds = {key: value for key, value in limits.items() if key != "multipleOf"}
    tens = step.normalize()
    if tens.as_tuple().digits == (1,) and _whole(tens.as_tuple().exponent) <= 0:
        places = 0 if whole else -_whole(tens.as_tuple().exponent)
        return _fixed(*_scaled(bounds, places), places, pieces)
    places = -_exponent(step)
    unit = int(step.scaleb(places))
    low, high = _scaled(bounds, places)
    first = -(-low // unit)
    if not {"minimum", "exclusiveMinimum"} & bounds.keys():
        first = max(first, min(high // unit, _MULTIPLES // 2) - _MULTIPLES + 1)
    values = range(first * unit, min(high, (first + _MULTIPLES - 1) * unit) + 1, unit)
    exact = [Decimal(value).scaleb(-places) for value in values]
    return pieces.alt(
        *(pieces.literal(f"{v:f}") for v in exact if not whole or v == v.to_integral_value())
    )


def _whole(exponent: int | str) -> int:
    return exponent if isinstance(exponent, int) else 0


def _fixed(low: int, high: int, places: int, pieces: Pieces) -> Piece:
    """Return the numbers from low to high, in units of the last place, with all their places."""
    choices = []
    if low < 0 and low <= high:
        negative = _positive(max(1, -high), -low, places, pieces)
        choices.append(pieces.seq(pieces.literal("-"), negative))
    if high >= 0 and low <= high:
        choices.append(_positive(max(0, low), high, places, pieces))
    return pieces.alt(*choices)


def _positive(low: int, high: int, places: int, pieces: Pieces) -> Piece:
    choices = []
    for size in range(places + 1, max(len(str(high)), places + 1) + 1):
        first = max(low, 0 if size == places + 1 else 10 ** (size - 1))
        last = min(high, 10**size - 1)
        if first <= last:
            a, b = str(first).zfill(size), str(last).zfill(size)
            choices.append(_same(a, b, places, pieces))
    return pieces.alt(*choices)


def _same(low: str, high: str, places: int, pieces: Pieces) -> Piece:
    """Return the digit strings from low to high, of one length, with the point in its place."""
    size = len(low)
    if size == 0:
        return pieces.nothing
    if size == places:
        return pieces.seq(pieces.literal("."), _digits(low, high, pieces))
    if low[0] == high[0]:
        return pieces.seq(pieces.literal(low[0]), _same(low[1:], high[1:], places, pieces))
    return _split(low, high, lambda a, b: _same(a, b, places, pieces), pieces)


def _digits(low: str, high: str, pieces: Pieces) -> Piece:
    if not low:
        return pieces.nothing
    if set(low) == {"0"} and set(high) == {"9"}:
        return pieces.rep(pieces.chars(((0x30, 0x39),)), len(low), len(low))
    if low[0] == high[0]:
        return pieces.seq(pieces.literal(low[0]), _digits(low[1:], high[1:], pieces))
    return _split(low, high, lambda a, b: _digits(a, b, pieces), pieces)


def _split(low: str, high: str, rest, pieces: Pieces) -> Piece:  # type: ignore[no-untyped-def]
    a, b = ord(low[0]), ord(high[0])
    zeros, nines = "0" * (len(low) - 1), "9" * (len(low) - 1)
    choices = []
    if low[1:] != zeros:
        choices.append(pieces.seq(pieces.literal(chr(a)), rest(low[1:], nines)))
        a += 1
    last = None
    if high[1:] != nines:
        last = pieces.seq(pieces.literal(chr(b)), rest(zeros, high[1:]))
        b -= 1
    if a <= b:
        choices.append(pieces.seq(pieces.chars(((a, b),)), rest(zeros, nines)))
    return pieces.alt(*choices, *([last] if last else []))
