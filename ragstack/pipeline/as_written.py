"""A brief answer and its passages in, the same words as a passage writes them out.

A generator told to copy changes endings now and then («privée» for «privé», «yuan» for «yuans»):
what it meant stands there, and is what can be quoted. Knows no generators.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragstack.pipeline.words import fold, words
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
        for at in range(len(found) - len(wanted) + 1 if wanted else 0):
            some = found[at : at + len(wanted)]
            if [form for form, _ in some] == wanted:
                return passage[some[0][1][0] : some[-1][1][1]]
    return answer


def _forms(text: str) -> list[tuple[str, Span]]:
    return [(_ENDING.sub("", word.form), word.span) for word in words(text)]
