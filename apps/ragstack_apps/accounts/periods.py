"""Texts such as ``90d`` in, moments and periods out."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ragstack.errors import InputError

__all__ = ["Clock", "moment_of", "now", "parsed", "past"]

Clock = Callable[[], datetime]

_PERIOD = re.compile(r"(\d{1,6})\s*([hdwmy])")
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


def now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


def moment_of(text: str, *, clock: Clock = now) -> datetime | None:
    """Return the moment that ``90d``, ``12h`` or a date names; None for ``never`` and nothing.

    Raises:
        InputError: It names none, or one that is past.
    """
    if text.strip() in ("", "never"):
        return None
    try:
        if found := _PERIOD.fullmatch(text.strip()):
            count, unit = int(found[1]), found[2]
            hours = count if unit == "h" else 24 * count * _DAYS[unit]
            moment = clock() + timedelta(hours=hours)
        else:
            moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise InputError(
            f"{text!r} is no time: expected such as 90d, 12h, 2027-01-31 or never"
        ) from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    if moment <= clock():
        raise InputError(f"{text!r} is past already")
    return moment


def parsed(kept: object) -> datetime | None:
    """Return the moment that a record's body holds, or None."""
    return datetime.fromisoformat(str(kept)) if kept else None


def past(kept: object, clock: Clock) -> bool:
    """Return whether the moment in a record's body has come; what holds none never passes."""
    moment = parsed(kept)
    return moment is not None and clock() >= moment
