"""What a document says of itself in, typed and checked metadata out. Knows nothing of formats.

The typed keys are title, author, date (ISO 8601), language (two letters) and type; a key without a
value is left out, which filters read as None.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

from ragstack.documents.clean import characters, collapse
from ragstack.documents.language import language_code
from ragstack.errors import BrokenDocument
from ragstack.types import Scalar

__all__ = ["checked", "iso_date", "typed"]

_MAX_TEXT = 500
_PDF_DATE = re.compile(
    r"D:(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?([Z+-])?(\d\d)?'?(\d\d)?'?", re.ASCII
)
_LEADING = re.compile(r"(\d{4})(?:[-/.](\d{1,2})(?:[-/.](\d{1,2}))?)?(?![\d])", re.ASCII)
_FORMATS = ("%d %B %Y", "%B %d, %Y", "%d %b %Y", "%b %d, %Y", "%d/%m/%Y", "%d.%m.%Y")


def typed(**found: Scalar) -> dict[str, Scalar]:
    """Return typed metadata: each value cleaned and checked, those of no use left out."""
    return {
        key: value
        for key, value in ((key, _typed(key, value)) for key, value in found.items())
        if value is not None and value != ""
    }


def checked(meta: Mapping[str, object], source: str) -> dict[str, Scalar]:
    """Return metadata that a connector or a front matter gave, its typed keys normalised.

    Raises:
        BrokenDocument: A value is no text, number, boolean or None.
    """
    kept: dict[str, Scalar] = {}
    for key, value in meta.items():
        if not (value is None or isinstance(value, (str, int, float))) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            raise BrokenDocument(
                f"the metadata of {source!r} has {key!r}: {value!r}; text, a finite number, "
                "a boolean or None was expected"
            )
        kept[key] = _typed(key, value)
    return kept


def iso_date(text: str) -> str | None:
    """Return a date as ISO 8601 text, or None for what is no date.

    Reads ISO 8601, mail dates, PDF dates (``D:20240103093826+01'00'``), a year alone, and dates
    written out in English.
    """
    text = collapse(text)
    pdf = _PDF_DATE.match(text)
    if pdf:
        return _pdf_date(pdf)
    for reader in (_iso, _mail, _leading, _written):
        try:
            found = reader(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        if found:
            return found
    return None


def _typed(key: str, value: Scalar) -> Scalar:
    if key in ("title", "author", "type") and value is not None:
        return collapse(characters(str(value)))[:_MAX_TEXT] or None
    if key == "date" and value is not None:
        return iso_date(str(value))
    if key == "language" and value is not None:
        return language_code(str(value))
    return characters(value) if isinstance(value, str) else value


def _iso(text: str) -> str:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return date.fromisoformat(text).isoformat()
    if re.fullmatch(r"\d{5,}", text, re.ASCII):
        return ""
    # Python reads at most six digits of a second; LibreOffice writes nine.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).isoformat()


def _mail(text: str) -> str:
    return parsedate_to_datetime(text).isoformat()


def _leading(text: str) -> str:
    found = _LEADING.match(text)
    if not found:
        return ""
    year, month, day = found.groups()
    checked_date = date(int(year), int(month or 1), int(day or 1)).isoformat()
    return checked_date[: 10 if day else 7 if month else 4]


def _written(text: str) -> str:
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).date().isoformat()
        except ValueError:
            continue
    return ""


def _pdf_date(found: re.Match[str]) -> str | None:
    year, month, day, hour, minute, second, sign, hours, minutes = found.groups()
    try:
        if hour is None:
            return date(int(year), int(month or 1), int(day or 1)).isoformat()
        moment = datetime(
            int(year), int(month), int(day), int(hour), int(minute or 0), int(second or 0)
        )
    except ValueError:
        return None
    if sign in ("+", "-"):
        zone = f"{sign}{hours or '00'}:{minutes or '00'}"
        try:
            return datetime.fromisoformat(moment.isoformat() + zone).isoformat()
        except ValueError:
            return moment.isoformat()
    return moment.replace(tzinfo=UTC).isoformat() if sign == "Z" else moment.isoformat()
