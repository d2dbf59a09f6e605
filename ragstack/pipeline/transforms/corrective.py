"""``corrective``: is what was found enough? Answer, search more, ask back, or abstain."""

from __future__ import annotations

from collections.abc import Sequence

from ragstack.errors import ConfigError
from ragstack.pipeline.transforms.recursive import shown
from ragstack.pipeline.transforms.shapes import Ending, Queries, fresh, shape, text_of, texts_of
from ragstack.pipeline.words import content_words
from ragstack.protocols import Desk, Plan, Query, Review
from ragstack.types import Passage

__all__ = ["Corrective"]

_CHARACTERS = 200
_QUERIES = 2


class Corrective:
    """Decides by the judge's trust, the one that answers are held to.

    Corrective RAG (Yan et al. 2024, arXiv:2401.15884) trains an evaluator; here the judge of the
    answers decides (docs/concepts/citations.md), so that both say the same.

    Args:
        searches: Further rounds of searching at most, 0 to 3.
        ask_back: Whether a question of several meanings is answered with a question.
        weight: Of each further query in the fusion, the question's being 1.

    Raises:
        ConfigError: A number of searches that cannot be.
    """

    def __init__(self, *, searches: int = 1, ask_back: bool = True, weight: float = 0.7) -> None:
        if not 0 <= searches <= 3:
            raise ConfigError(f"corrective takes 0 to 3 searches, got {searches!r}")
        self._searches = searches
        self._ask_back = ask_back
        self._weight = weight

    def review(self, plan: Plan, passages: Sequence[Passage], desk: Desk, *, step: int) -> Review:
        """Return the verdict, or queries while there are searches left."""
        enough, trust = desk.trust(plan.question, passages)
        sure = "not scored" if trust is None else f"{trust:.2f}"
        desk.note(f"trust {sure}: {'enough' if enough else 'not enough'}")
        if enough:
            return Review(verdict="answer")
        if step < self._searches and (queries := self._more(plan, passages, desk, step)):
            return Review(queries)
        back = self._back(plan, passages, desk)
        return Review(verdict="ask_back", text=back) if back else Review(verdict="abstain")

    def _more(
        self, plan: Plan, passages: Sequence[Passage], desk: Desk, step: int
    ) -> tuple[Query, ...]:
        written = desk.write(
            "corrective",
            shape(Queries, characters=_CHARACTERS, items=_QUERIES),
            max_tokens=60 * _QUERIES + 20,
            question=plan.question,
            passages=shown(passages),
        )
        texts = texts_of(written, "queries", characters=_CHARACTERS, items=_QUERIES)
        new = fresh(texts, [query.text for query in plan.queries])
        return tuple(
            Query(text, f"corrective.{step * _QUERIES + place}", self._weight)
            for place, text in enumerate(new, start=1)
        )

    def _back(self, plan: Plan, passages: Sequence[Passage], desk: Desk) -> str:
        """Return the question to ask back, empty where the question is clear."""
        if not self._ask_back or not passages:
            return ""
        written = desk.write(
            "ask_back",
            shape(Ending, characters=_CHARACTERS),
            max_tokens=120,
            question=plan.question,
            passages=shown(passages),
        )
        text = text_of(written, "question", characters=_CHARACTERS)
        said = {word.form for word in content_words(f"{plan.question} {shown(passages)}")}
        about = any(word.form in said for word in content_words(text))
        asks = text.endswith("?") and about
        return text if written.get("unclear") is True and asks else ""
