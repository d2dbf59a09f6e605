"""The promises of a scorer and of an attributor, as tests: subclass a suite and write ``make``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ragstack.errors import InputError
from ragstack.protocols import Attributor, Closeable, Scorer
from ragstack.types import Message, PromptPart

__all__ = ["AttributorSuite", "ScorerSuite"]

_MESSAGES = (
    Message("system", "You answer briefly. Vous répondez brièvement."),
    Message("user", "Who pays for repairs to the roof, and who for the mill’s gates?"),
)


class ScorerSuite(ABC):
    """What every scorer promises."""

    @abstractmethod
    def make(self) -> Scorer:
        """Return a fresh scorer that can score ``yes``, ``no`` and ``yes, they do``."""

    @pytest.fixture
    def scorer(self) -> Iterator[Scorer]:
        """The scorer under test."""
        scorer = self.make()
        with ExitStack() as stack:
            if isinstance(scorer, Closeable):
                stack.callback(scorer.close)
            yield scorer

    def test_one_row_for_each_continuation(self, scorer: Scorer) -> None:
        """In order, one natural log-probability a token, none above zero."""
        rows = scorer.logprobs(_MESSAGES, ["yes", "yes, they do", "no"])
        assert len(rows) == 3
        assert all(row and all(value <= 0.0 for value in row) for row in rows)
        assert len(rows[1]) > len(rows[0])

    def test_order_and_company_do_not_matter(self, scorer: Scorer) -> None:
        """A continuation scores the same alone, in any place, and again."""
        together = scorer.logprobs(_MESSAGES, ["yes", "yes, they do", "no"])
        turned = scorer.logprobs(_MESSAGES, ["no", "yes, they do", "yes"])
        alone = [scorer.logprobs(_MESSAGES, [text])[0] for text in ("yes", "yes, they do", "no")]
        for left, right, single in zip(together, turned[::-1], alone, strict=True):
            assert left == pytest.approx(right, abs=0.05)
            assert left == pytest.approx(single, abs=0.05)

    def test_nothing_in_nothing_out(self, scorer: Scorer) -> None:
        """No continuations give no rows."""
        assert scorer.logprobs(_MESSAGES, []) == []

    def test_one_string_is_refused(self, scorer: Scorer) -> None:
        """A lone string is no sequence of continuations."""
        with pytest.raises(InputError):
            scorer.logprobs(_MESSAGES, "yes")


class AttributorSuite(ABC):
    """What every attributor promises."""

    tolerance = 0.1
    """How far an answer's log-probability may move with the shape of the steps that read it."""

    @abstractmethod
    def make(self) -> Attributor:
        """Return a fresh attributor."""

    @pytest.fixture
    def attributor(self) -> Iterator[Attributor]:
        """The attributor under test."""
        attributor = self.make()
        with ExitStack() as stack:
            if isinstance(attributor, Closeable):
                stack.callback(attributor.close)
            yield attributor

    @pytest.mark.parametrize("exact", [False, True])
    def test_one_number_for_each_part(self, attributor: Attributor, exact: bool) -> None:
        """In order, natural logarithms, the same each time; one part does not change another's."""
        text = _MESSAGES[-1].text
        middle = len(text) // 2
        parts = [PromptPart(len(_MESSAGES) - 1, 0, middle), PromptPart(len(_MESSAGES) - 1, 0, 5)]
        found = attributor.attribute(_MESSAGES, parts, "yes, they do", exact=exact)
        assert found.whole <= 0.0
        assert len(found.without) == len(found.scores) == 2
        assert all(value <= 0.0 for value in found.without)
        turned = attributor.attribute(_MESSAGES, parts[::-1], "yes, they do", exact=exact)
        assert turned.whole == pytest.approx(found.whole, abs=self.tolerance)
        assert turned.without[::-1] == pytest.approx(found.without, abs=self.tolerance)
        if exact:
            assert found.exact

    def test_no_parts_no_numbers(self, attributor: Attributor) -> None:
        """The whole prompt alone."""
        assert attributor.attribute(_MESSAGES, [], "yes").without == ()

    def test_what_is_no_part_is_refused(self, attributor: Attributor) -> None:
        """Out of range, empty; an answer without a word too."""
        for part in (PromptPart(len(_MESSAGES), 0, 1), PromptPart(0, 1, 1)):
            with pytest.raises(InputError):
                attributor.attribute(_MESSAGES, [part], "yes")
        with pytest.raises(InputError):
            attributor.attribute(_MESSAGES, [], "")
