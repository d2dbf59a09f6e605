"""JSON schemas of what generators write for transforms, made from types; and reading it back.

Every reader takes whatever JSON a generator wrote: one that no grammar held writes anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from ragstack.pipeline.words import content_words, words
from ragstack.types import schema_of

__all__ = ["Ending", "Missing", "Queries", "Text", "fresh", "shape", "text_of", "texts_of"]


class Text(TypedDict):
    """One text."""

    text: str


class Queries(TypedDict):
    """Several texts to search for."""

    queries: list[str]


class Missing(TypedDict):
    """Whether enough was found, and what is to be searched next."""

    enough: bool
    missing: str
    query: str


class Ending(TypedDict):
    """Whether a question has several meanings, and what to ask back then."""

    unclear: bool
    question: str


def shape(kind: Any, *, characters: int, items: int = 1) -> dict[str, object]:
    """Return the JSON schema of a type, its texts and lists bounded.

    Args:
        characters: Of every text at most; at least one.
        items: Of every list at most; at least one.
    """
    bounded: dict[str, object] = _bounded(schema_of(kind), characters, items)
    return bounded


def text_of(found: Mapping[str, Any], key: str, *, characters: int) -> str:
    """Return a text on one line, cut at a length; empty where there is none."""
    value = found.get(key)
    return " ".join(value.split())[:characters].strip() if isinstance(value, str) else ""


def texts_of(found: Mapping[str, Any], key: str, *, characters: int, items: int) -> list[str]:
    """Return the texts of a list, those that are blank left out."""
    value = found.get(key)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    texts = [text_of({key: item}, key, characters=characters) for item in value]
    return [text for text in texts if text][:items]


def fresh(texts: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the texts that say something to search for and repeat neither these nor each other.

    Two texts are one when their content words are, whatever their order.
    """
    seen = {_said(text) for text in known}
    kept = []
    for text in texts:
        said = _said(text)
        if said and said not in seen:
            seen.add(said)
            kept.append(text)
    return kept


def _said(text: str) -> frozenset[str]:
    return frozenset(word.form for word in content_words(text) or words(text))


def _bounded(schema: Any, characters: int, items: int) -> Any:
    if isinstance(schema, list):
        return [_bounded(part, characters, items) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _bounded(part, characters, items) for key, part in schema.items()}
    if schema.get("type") == "string":
        made |= {"minLength": 1, "maxLength": characters}
    if schema.get("type") == "array":
        made |= {"minItems": 1, "maxItems": items}
    return made
