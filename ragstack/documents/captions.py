"""A paragraph in, whether it is the caption of a table out. Knows languages, no formats."""

from __future__ import annotations

import re

__all__ = ["is_caption"]

_CAPTION = re.compile(
    r"\s*(?:table|tab\.|tableau|tabelle|tabla|tabella|tabela|表)\s*"
    r"(?:[\dIVXLC]+(?:[.-]\d+)*|[A-Z]\d*)\b",
    re.IGNORECASE,
)
_MAX_CAPTION = 400


def is_caption(text: str) -> bool:
    """Return whether a paragraph names the table that it stands beside: ``Table 3: Costs``."""
    return len(text) <= _MAX_CAPTION and _CAPTION.match(text) is not None
