"""The promises of a reranker, as tests: subclass ``RerankerSuite`` and write ``make``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from ragstack.protocols import Closeable, Reranker
from ragstack.types import Chunk, Passage

__all__ = ["RerankerSuite", "passage"]

_QUESTION = "Who pays for the repairs to the roof?"
_TEXTS = (
    "Bread is baked for 45 minutes.",
    "The Harbour Trust pays for repairs to the roof of the boathouse.",
    "La procession part à 9 h 30.",
    "",
    "A ferry leaves every hour; a bicycle costs 3 euros.",
)


def passage(number: int, text: str, *, score: float = 0.0) -> Passage:
    """Return a passage with a text of its own, for tests."""
    chunk = Chunk("d", "00000000", number * 1_000, number * 1_000 + len(text), text)
    return Passage(chunk, score, "suite.txt", {"vector": score})


class RerankerSuite(ABC):
    """What every reranker promises."""

    tolerance = 1e-4
    """How far a score may move with what stands beside its passage."""

    @abstractmethod
    def make(self) -> Reranker:
        """Return a reranker."""

    @pytest.fixture
    def reranker(self) -> Iterator[Reranker]:
        """A reranker, closed after the test if it can be."""
        made = self.make()
        yield made
        if isinstance(made, Closeable):
            made.close()

    def test_one_number_for_each_passage(self, reranker: Reranker) -> None:
        """Real numbers, for the empty text too."""
        passages = [passage(number, text) for number, text in enumerate(_TEXTS)]
        scores = list(reranker.score(_QUESTION, passages))
        assert len(scores) == len(passages)
        assert all(math.isfinite(score) for score in scores)

    def test_empty_in_empty_out(self, reranker: Reranker) -> None:
        """No passages, no scores."""
        assert list(reranker.score(_QUESTION, [])) == []

    def test_what_answers_is_first(self, reranker: Reranker) -> None:
        """Higher is better: look at the sign."""
        passages = [passage(number, text) for number, text in enumerate(_TEXTS)]
        scores = list(reranker.score(_QUESTION, passages))
        assert scores.index(max(scores)) == 1

    def test_scores_follow_their_passages(self, reranker: Reranker) -> None:
        """Scores are in the order of the passages, whatever that is."""
        passages = [passage(number, text) for number, text in enumerate(_TEXTS)]
        straight = list(reranker.score(_QUESTION, passages))
        turned = list(reranker.score(_QUESTION, passages[::-1]))
        assert turned[::-1] == pytest.approx(straight, abs=self.tolerance)

    def test_passages_are_left_as_they_were(self, reranker: Reranker) -> None:
        """Ordering, cut-off and trail are not the reranker's."""
        passages = [passage(number, text, score=1.0) for number, text in enumerate(_TEXTS)]
        copies = list(passages)
        trails = [dict(each.trail) for each in passages]
        reranker.score(_QUESTION, passages)
        assert passages == copies
        assert [dict(each.trail) for each in passages] == trails

    def test_one_passage(self, reranker: Reranker) -> None:
        """A lone passage gets a score too."""
        assert len(list(reranker.score(_QUESTION, [passage(0, _TEXTS[1])]))) == 1
