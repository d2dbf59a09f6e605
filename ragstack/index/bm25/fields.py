"""A chunk in, the weighted terms of its fields out.

Weights follow Robertson, Zaragoza and Taylor, Simple BM25 Extension to Multiple Weighted Fields,
CIKM 2004: a word in a field of weight 2 counts as if it stood there twice, and so does the field's
length; the sum of the fields is then scored as one text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragstack.errors import ConfigError
from ragstack.index.analysis import AnalyserOptions, Analysis
from ragstack.index.bm25.build import Field
from ragstack.index.folder import IndexFolder
from ragstack.types import Chunk

__all__ = ["FIELDS", "Fields"]

FIELDS: Mapping[str, float] = {"title": 0.0, "context": 2.0, "text": 1.0}
"""Fields and the weights they have by default (measured, docs/LOG.md). The context holds title and
headings already."""

_MOST = 100.0


class Fields:
    """What of a chunk is read, and how it becomes terms.

    Args:
        languages: See ``Analysis``.
        weights: Of ``title`` (of the metadata), ``context`` and ``text``.
        analyser: See ``AnalyserOptions``.

    Raises:
        ConfigError: A language without a stemmer, no such field, or a weight that cannot be.
    """

    def __init__(
        self,
        languages: Sequence[str],
        weights: Mapping[str, float] | None,
        analyser: Mapping[str, Any] | None = None,
    ) -> None:
        self.analysis = Analysis(languages, AnalyserOptions.of(analyser))
        self._weights = {**FIELDS, **(weights or {})}
        for name, weight in self._weights.items():
            if name not in FIELDS:
                raise ConfigError(f"no field is named {name!r}; known: {', '.join(FIELDS)}")
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not 0.0 <= weight <= _MOST:
                raise ConfigError(f"the weight of {name!r} is from 0 to {_MOST:g}, got {weight!r}")
        # Frequencies are kept as whole numbers, so that sums are exact in any order.
        whole = all(float(weight).is_integer() for weight in self._weights.values())
        self.scale = 1 if whole else 100
        self._units = {name: round(w * self.scale) for name, w in self._weights.items()}
        if not any(self._units.values()):
            raise ConfigError("all fields weigh nothing: there is nothing to find")
        self.made_with: Mapping[str, Any] = {
            "analysis": dict(self.analysis.made_with),
            "units": self._units,
            "scale": self.scale,
        }

    def read(self, chunk: Chunk) -> tuple[str, list[Field]]:
        """Return the language a chunk is read in, and its fields."""
        language = self.analysis.language(chunk.meta.get("language"))
        if self._units["context"] == self._units["text"] and not self._units["title"]:
            return language, self._terms(self._units["text"], chunk.indexed_text, language)
        title = chunk.meta.get("title")
        texts = {
            "title": title if isinstance(title, str) else "",
            "context": chunk.context,
            "text": chunk.text,
        }
        return language, [
            field
            for name, units in self._units.items()
            if units
            for field in self._terms(units, texts[name], language)
        ]

    def _terms(self, units: int, text: str, language: str) -> list[Field]:
        fields: list[Field] = [(units, self.analysis.terms(text, language))]
        views = self.analysis.views(text, language)
        return [*fields, (units, views)] if views else fields

    def check(self, made_with: object, folder: IndexFolder) -> None:
        """Refuse an index that was made with other settings.

        Raises:
            IndexStateError: It was.
        """
        if made_with != self.made_with:
            raise folder.broken(f"it was made with {made_with!r}, now it is {self.made_with!r}")
