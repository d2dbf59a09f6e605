"""Passages in, scores out by any generator that gives log-probabilities: «does it answer?».

Pointwise, by the odds of yes against no (Nogueira et al. 2020, "Document Ranking with a Pretrained
Sequence-to-Sequence Model", arXiv:2003.06713, with the two words of a chat model).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from ragstack.errors import UnsupportedCapability
from ragstack.protocols import Generator, Scorer
from ragstack.types import Message, Passage

__all__ = ["LlmReranker"]

_SYSTEM = "You judge whether a passage answers a question. You say yes or no, and nothing else."
# The question first: what repeats from passage to passage is then read once.
_USER = "Question: {query}\n\nPassage: {text}\n\nDoes the passage answer the question? Yes or no."
_YES, _NO = ("yes", "Yes"), ("no", "No")
_ROOM = 16  # tokens of the window kept for the answer


class LlmReranker:
    """A Reranker: the natural logarithm of how much likelier yes is than no."""

    def __init__(self, *, generator: Generator) -> None:
        """Take a generator, which stays its owner's to close.

        Raises:
            UnsupportedCapability: It gives no log-probabilities.
        """
        if not generator.capabilities.logprobs:
            raise UnsupportedCapability(
                f"{generator.name!r} gives no log-probabilities, so it cannot rank by them",
                hint='a local model does: use = "local" under [generate]',
            )
        self._generator = generator

    def score(self, query: str, passages: Sequence[Passage]) -> list[float]:
        """Return one score for each passage, in order; higher is better, 0 is undecided."""
        if not passages:
            return []
        texts = [passage.chunk.indexed_text for passage in passages]
        # The first alone: what it reads of the question serves the others.
        first = self._odds(query, texts[0])
        streams = max(1, min(self._generator.capabilities.streams, len(texts)))
        with ThreadPoolExecutor(streams, thread_name_prefix="rerank") as pool:
            return [first, *pool.map(lambda text: self._odds(query, text), texts[1:])]

    def _odds(self, query: str, text: str) -> float:
        scorer = cast(Scorer, self._generator)
        rows = scorer.logprobs(self._fitting(query, text), [*_YES, *_NO])
        logs = [sum(row) for row in rows]
        return _log_sum(logs[: len(_YES)]) - _log_sum(logs[len(_YES) :])

    def _fitting(self, query: str, text: str) -> list[Message]:
        """Return the messages, of a long passage as much of its beginning as the window holds."""
        room = self._generator.context_size - _ROOM
        while True:
            user = _USER.format(query=query, text=text)
            messages = [Message("system", _SYSTEM), Message("user", user)]
            if not text or self._generator.count_tokens(messages) <= room:
                return messages
            text = text[: len(text) // 2]


def _log_sum(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs)) if top > -math.inf else top
