"""``cross_lingual``: the question translated for the search by words; vectors need no translation.

Passages are found as they stand, and quotes stay in their language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ragstack.errors import ConfigError
from ragstack.pipeline.transforms.shapes import Text, fresh, shape, text_of
from ragstack.pipeline.words import numbers
from ragstack.protocols import Desk, Plan, Query

__all__ = ["CrossLingual"]

_CHARACTERS = 400
_LANGUAGES = ("en", "fr")


class CrossLingual:
    """Adds the question in the other languages of the documents, for the index of words.

    Args:
        languages: Those to translate to, of ``en`` and ``fr``. Where documents say their language,
            only to those that are there.
        weight: Of a translation in the fusion, the question's being 1.
        slot: The index it is searched in.

    Raises:
        ConfigError: A language there is no prompt for.
    """

    def __init__(
        self,
        *,
        languages: Sequence[str] = _LANGUAGES,
        weight: float = 1.0,
        slot: str = "lexical",
    ) -> None:
        unknown = [language for language in languages if language not in _LANGUAGES]
        if unknown or isinstance(languages, str):
            raise ConfigError(f"cross_lingual knows {list(_LANGUAGES)}, got {languages!r}")
        self._languages = tuple(languages)
        self._weight = weight
        self._slot = slot

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        """Return the plan with the translations; one that changes a number is left out."""
        said = [field for field in desk.fields() if field.name == "language" and field.values]
        there = said[0].values if said else self._languages
        wanted = [one for one in self._languages if one != desk.language and one in there]
        added: list[Query] = []
        for language in wanted:
            written = desk.write(
                f"translate_{language}",
                shape(Text, characters=_CHARACTERS),
                max_tokens=200,
                question=plan.question,
            )
            text = text_of(written, "text", characters=_CHARACTERS)
            if text and Counter(numbers(text)) != Counter(numbers(plan.question)):
                desk.note(f"the translation was not used, its numbers differ: {text!r}")
                continue
            known = [query.text for query in (*plan.queries, *added)]
            added += [
                Query(query, f"cross_lingual.{language}", self._weight, (self._slot,))
                for query in fresh([text], known)
            ]
        return replace(plan, queries=(*plan.queries, *added))
