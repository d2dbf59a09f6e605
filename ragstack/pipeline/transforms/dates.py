"""Dates as English and French write them in, ISO text out; the day from which a question asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from ragstack.pipeline.words import fold

__all__ = ["Moment", "day_after", "moment_of"]

_LONGEST = 2_000  # characters that the rules look at
_MONTHS: Mapping[str, int] = {
    name: number
    for names in (
        "january february march april may june july august september october november december",
        "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    )
    for number, name in enumerate(names.split(), start=1)
}
_NAMES = "|".join(_MONTHS)
_DATE = (
    r"(?:(?P<iso>\d{4}-\d{2}(?:-\d{2})?)\b"
    rf"|(?P<day>\d{{1,2}})(?:er|st|nd|rd|th)?\s+(?:of\s+)?(?P<month>{_NAMES}),?\s+(?P<year>\d{{4}})\b"
    rf"|(?P<month2>{_NAMES})\s+(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year2>\d{{4}})\b"
    rf"|(?P<month3>{_NAMES})\s+(?P<year3>\d{{4}})\b"
    r"|(?P<year4>\d{4})\b)"
)
_AS_OF = re.compile(
    r"\b(?:as of|as at|as it stood (?:on|in)|in force (?:on|in|at)|valid (?:on|in)|"
    r"a la date du|en vigueur (?:le|au|en)|etat au|tel qu'en|valable (?:le|au|en))\s+"
    r"(?:the\s+|le\s+)?" + _DATE
)
_LATEST = re.compile(
    r"\b(?:latest|newest|most recent|currently|current|right now|today|up to date|nowadays|"
    r"actuel\w*|en ce moment|aujourd'hui|plus recent\w*|dernier\w* version\w*|a ce jour)\b"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """The time a question is asked of.

    Attributes:
        before: ISO text of the first day that is too late; empty: no bound.
        latest: The question asks for what holds now.
    """

    before: str = ""
    latest: bool = False


def moment_of(question: str) -> Moment:
    """Return the time that a question names; nothing where it names none.

    Only what bounds the documents counts, as ``as of March 2020`` does: a date that the question is
    about, as in ``who won in 2019``, says nothing of when the document was written.
    """
    text = fold(question[:_LONGEST])
    found = _AS_OF.search(text)
    before = ""
    if found:
        groups = {name: value for name, value in found.groupdict().items() if value}
        before = day_after(_iso(groups))
    return Moment(before, bool(_LATEST.search(text)))


def day_after(written: str) -> str:
    """Return the first day after a date, or after a year or a month: ``2020`` to ``2021-01-01``.

    Empty where it is no date.
    """
    parts = [int(part) for part in written.split("-") if part.isdigit()]
    try:
        if len(parts) == 1:
            return date(parts[0] + 1, 1, 1).isoformat()
        if len(parts) == 2:
            year, month = parts
            return date(year + month // 12, month % 12 + 1, 1).isoformat() if month <= 12 else ""
        if len(parts) == 3:
            return (date(*parts) + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return ""
    return ""


def _iso(groups: Mapping[str, str]) -> str:
    if "iso" in groups:
        return groups["iso"]
    year = next(value for name, value in groups.items() if name.startswith("year"))
    month = next((value for name, value in groups.items() if name.startswith("month")), "")
    day = next((value for name, value in groups.items() if name.startswith("day")), "")
    pieces = [year] + ([f"{_MONTHS[month]:02d}"] if month else [])
    return "-".join([*pieces, f"{int(day):02d}"] if day else pieces)
