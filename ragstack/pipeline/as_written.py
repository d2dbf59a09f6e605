"""A brief answer and its passages in, the same words as a passage writes them out.

A generator told to copy changes endings now and then («privée» for «privé», «yuan» for «yuans»):
what it meant stands there, and is what can be quoted. Knows no generators.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragstack.pipeline.words import fold, place_in_order, words
from ragstack.types import Span

__all__ = ["as_written"]

_ENDING = re.compile(r"(?<=[^\W\d]{3})e+$")  # of a feminine, once its plural is gone


def as_written(answer: str, passages: Sequence[str]) -> str:
    """Return the answer, in a passage's words where these differ from its own by endings alone.

    An answer that stands in a passage already, and one whose words stand in none in this order,
    are returned as they are.
    """
    plain = fold(answer).strip(" .\n")
    whole = re.compile(rf"(?<!\w){re.escape(plain)}(?!\w)")
    if not plain or any(whole.search(fold(passage)) for passage in passages):
        return answer
    wanted = [form for form, _ in _forms(answer)]
    for passage in passages:
        found = _forms(passage)
        at = place_in_order(wanted, [form for form, _ in found])
        if at is not None:
            (start, _), (_, end) = found[at][1], found[at + len(wanted) - 1][1]
            return passage[start:end]
    return answer


def _forms(text: str) -> list[tuple[str, Span]]:
    return [(_ENDING.sub("", word.form), word.span) for word in words(text)]
