"""Haystack's filters in, conditions of a ragstack search out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragstack.errors import InputError

__all__ = ["where_of"]

_OPERATORS = {
    "==": "eq", "!=": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "in": "in",
    "not in": "nin",
}  # fmt: skip


def where_of(filters: Mapping[str, Any] | None) -> dict[str, object] | None:
    """Return a filter on metadata in the dict form of ``ragstack.filters.parse``.

    Raises:
        InputError: A filter on something else than metadata, or that means nothing.
    """
    if not filters:
        return None
    operator = filters.get("operator")
    if operator in ("AND", "OR", "NOT"):
        parts = [where_of(each) or {} for each in filters.get("conditions", ())]
        if operator == "OR":
            return {"$or": parts}
        return {"$and": parts} if operator == "AND" else {"$not": {"$and": parts}}
    field = str(filters.get("field", ""))
    if operator not in _OPERATORS or not field or "value" not in filters:
        raise InputError(f"a filter has field, operator and value, got {dict(filters)!r}")
    if not field.startswith("meta.") and field in ("id", "content", "score", "embedding"):
        raise InputError(f"a search filters on metadata, got the field {field!r}")
    return {field.removeprefix("meta."): {_OPERATORS[operator]: filters["value"]}}
