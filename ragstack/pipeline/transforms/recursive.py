"""``recursive``: looks at what was found, names what is missing, and searches for that."""

from __future__ import annotations

from collections.abc import Sequence

from ragstack.errors import ConfigError
from ragstack.pipeline.transforms.shapes import Missing, fresh, shape, text_of
from ragstack.protocols import Desk, Plan, Query, Review
from ragstack.types import Passage

__all__ = ["Recursive", "shown"]

_CHARACTERS = 200
_PASSAGES = 6
_SHOWN = 700  # characters of a passage that the generator looks at


class Recursive:
    """Searches again for what is missing, a bounded number of times.

    As ITER-RETGEN and Self-Ask do (arXiv:2305.15294, arXiv:2210.03350).

    Args:
        steps: Further searches at most, up to 5.
        weight: Of each in the fusion, the question's being 1.

    Raises:
        ConfigError: A number of steps that cannot be.
    """

    def __init__(self, *, steps: int = 2, weight: float = 0.7) -> None:
        if not 1 <= steps <= 5:
            raise ConfigError(f"recursive takes 1 to 5 steps, got {steps!r}")
        self._steps = steps
        self._weight = weight

    def review(self, plan: Plan, passages: Sequence[Passage], desk: Desk, *, step: int) -> Review:
        """Return a query for what is missing, until nothing is, or the steps are taken."""
        if step >= self._steps:
            return Review()
        written = desk.write(
            "recursive",
            shape(Missing, characters=_CHARACTERS),
            max_tokens=200,
            question=plan.question,
            passages=shown(passages),
        )
        if written.get("enough") is not False:
            desk.note("nothing is missing")
            return Review()
        missing = text_of(written, "missing", characters=_CHARACTERS)
        query = text_of(written, "query", characters=_CHARACTERS)
        new = fresh([query], [one.text for one in plan.queries])
        desk.note(f"missing: {missing}")
        if not new:
            desk.note("the next search would be one that was made")
        label = f"recursive.{step + 1}"
        return Review(tuple(Query(text, label, self._weight) for text in new))


def shown(passages: Sequence[Passage]) -> str:
    """Return the best passages numbered, each cut at a length."""
    texts = [passage.chunk.indexed_text[:_SHOWN] for passage in passages[:_PASSAGES]]
    return "\n\n".join(f"[{number}] {text}" for number, text in enumerate(texts, start=1)) or "-"
