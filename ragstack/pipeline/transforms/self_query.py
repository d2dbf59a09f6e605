"""``self_query``: conditions that a question names, as a filter on the documents' metadata.

The generator writes under a JSON schema made from the fields that there are. What it writes is not
believed: a value that the question does not name, or a filter that no document passes, is left out,
and the trace says so. The filter narrows a search; it can never widen what the asker may read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ragstack.errors import InputError
from ragstack.filters import Filter, both, parse
from ragstack.pipeline.words import fold, numbers, words
from ragstack.protocols import Desk, Field, Plan
from ragstack.types import Scalar

__all__ = ["SelfQuery", "condition_of", "named", "schema_of_fields"]

_MOST = 3  # conditions
_MOST_FIELDS = 24
_NOT_ASKED_OF = frozenset({"title", "source", "path"})  # what the search itself is for
_OPS: Mapping[str, tuple[str, ...]] = {
    "text": ("eq", "ne"),
    "boolean": ("eq",),
    "number": ("eq", "ne", "lt", "lte", "gt", "gte"),
    "date": ("eq", "lt", "lte", "gt", "gte"),
}
_LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "en": ("english", "anglai", "anglaise"),
    "fr": ("french", "francai", "francaise"),
    "de": ("german", "allemand", "allemande"),
    "es": ("spanish", "espagnol", "espagnole"),
    "it": ("italian", "italien", "italienne"),
}
_YEAR = re.compile(r"\d{4}")
_MONTH = re.compile(r"(\d{4})-(\d{2})")


class SelfQuery:
    """Adds the conditions that the question names.

    Args:
        fields: Only these fields of the metadata; none are all but title, source and path.
    """

    def __init__(self, *, fields: Sequence[str] = ()) -> None:
        self._fields = frozenset(fields)

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        """Return the plan with the conditions; as it was where none can be used."""
        fields = [field for field in desk.fields() if self._asked_of(field)][:_MOST_FIELDS]
        if not fields:
            desk.note("no filter: the documents have no metadata to ask for")
            return plan
        written = desk.write(
            "self_query",
            schema_of_fields(fields),
            max_tokens=60 * _MOST + 20,
            question=plan.question,
            fields="\n".join(map(_described, fields)),
            today=desk.today.isoformat(),
        )
        parts = [
            part
            for item in _conditions(written)
            if (part := _checked(item, fields, plan.question, desk)) is not None
        ]
        found: Filter | None = None
        for part in parts:
            found = both(found, part)
        if found is None:
            desk.note("no filter")
            return plan
        if not desk.matching(found):
            desk.note("no filter: no document passes it")
            return plan
        return replace(plan, where=both(plan.where, found))

    def _asked_of(self, field: Field) -> bool:
        return field.name in self._fields if self._fields else field.name not in _NOT_ASKED_OF


def schema_of_fields(fields: Sequence[Field]) -> dict[str, object]:
    """Return the JSON schema of conditions on these fields: at most three, each of its type."""
    return {
        "type": "object",
        "properties": {
            "conditions": {
                "type": "array",
                "items": {"anyOf": [_schema(field) for field in fields]},
                "maxItems": _MOST,
            }
        },
        "required": ["conditions"],
        "additionalProperties": False,
    }


def condition_of(field: Field, op: str, value: Scalar) -> Filter | None:
    """Return one condition; a year or a month stands for all of its days.

    Raises:
        InputError: It means nothing.
    """
    if field.type != "date" or not isinstance(value, str):
        return parse({field.name: {op: value}})
    begins, ends = _span(value)
    forms: Mapping[str, Mapping[str, object]] = {
        "eq": {"gte": begins, "lt": ends},
        "lt": {"lt": begins},
        "lte": {"lt": ends},
        "gt": {"gte": ends},
        "gte": {"gte": begins},
    }
    if op not in forms:
        raise InputError(f"unknown operator {op!r} on the date {field.name!r}")
    return parse({field.name: forms[op]})


def named(field: Field, value: Scalar, question: str) -> bool:
    """Return whether the question names the value: its words or number stand there.

    A flag is named by its field, a language by its name in English or French.
    """
    said = {word.form for word in words(question)}
    if isinstance(value, bool):
        return {word.form for word in words(field.name.replace("_", " "))} <= said
    if isinstance(value, int | float):
        return f"{value:g}" in {f"{float(number):g}" for number in numbers(question) if number}
    if value is None:
        return False
    if field.type == "date":
        return value[:4] in fold(question)
    if field.name == "language" and said.intersection(_LANGUAGES.get(value, ())):
        return True
    wanted = {word.form for word in words(value.replace("_", " "))}
    return bool(wanted) and wanted <= said


def _checked(
    item: Mapping[str, Any], fields: Sequence[Field], question: str, desk: Desk
) -> Filter | None:
    by_name = {field.name: field for field in fields}
    field, op, value = by_name.get(str(item.get("field"))), item.get("op"), item.get("value")
    shown = f"{item.get('field')} {op} {value!r}"
    if field is None or not isinstance(op, str) or not _fits(field, op, value):
        desk.note(f"left out, no such condition: {shown}"[:200])
        return None
    if not named(field, value, question):
        desk.note(f"left out, the question does not say it: {shown}"[:200])
        return None
    try:
        return condition_of(field, op, value)
    except InputError as error:
        desk.note(f"left out: {error.message}"[:200])
        return None


def _fits(field: Field, op: str, value: object) -> bool:
    if op not in _OPS[field.type]:
        return False
    if field.type == "boolean":
        return isinstance(value, bool)
    if field.type == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, str) or not value.strip():
        return False
    return field.type != "date" or bool(_YEAR.match(value))


def _conditions(written: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = written.get("conditions")
    items = found if isinstance(found, list) else []
    return [item for item in items if isinstance(item, Mapping)][:_MOST]


def _schema(field: Field) -> dict[str, object]:
    simple: Mapping[str, Mapping[str, object]] = {
        "text": {"type": "string", "minLength": 1, "maxLength": 80},
        "number": {"type": "number"},
        "boolean": {"type": "boolean"},
        "date": {"type": "string", "pattern": "^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$"},
    }
    listed = field.type == "text" and field.values
    value: Mapping[str, object] = {"enum": list(field.values)} if listed else simple[field.type]
    return {
        "type": "object",
        "properties": {
            "field": {"const": field.name},
            "op": {"enum": list(_OPS[field.type])},
            "value": value,
        },
        "required": ["field", "op", "value"],
        "additionalProperties": False,
    }


def _described(field: Field) -> str:
    few = [str(value) for value in field.values[:12]]
    return f"- {field.name} ({field.type})" + (f": {', '.join(few)}" if few else "")


def _span(value: str) -> tuple[str, str]:
    """Return the first moment of a date, and the first one after it, as ISO text."""
    if month := _MONTH.fullmatch(value):
        year, number = int(month[1]), int(month[2])
        after = f"{year + 1}-01" if number >= 12 else f"{year}-{number + 1:02d}"
        return value, after
    if _YEAR.fullmatch(value):
        return value, f"{int(value) + 1:04d}"
    # Of a day: whatever time of it, since text that goes on sorts behind.
    return value[:10], value[:10] + "\x7f"
