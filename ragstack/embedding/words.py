"""A TokenCounter for embedders that show no tokenizer: words, cut as vocabularies cut them.

Words of more than five characters count as several tokens, each sign as one. Against MiniLM's own
tokenizer that is 15 to 30 % too many for English and 17 % too few for French.
"""

from __future__ import annotations

import re

from ragstack.types import Span

__all__ = ["WordCounter"]

_TOKEN = re.compile(r"\w{1,5}|[^\w\s]")


class WordCounter:
    """Counts pieces of words and signs."""

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        return sum(1 for _ in _TOKEN.finditer(text))

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters, in order."""
        return [found.span() for found in _TOKEN.finditer(text)]
