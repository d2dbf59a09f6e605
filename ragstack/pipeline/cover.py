"""A question and texts in, how much of what it asks about they speak of out: shares of words.

A passage that never names what is asked about seldom answers; a small model asked to judge does not
notice. Knows no generators and no scores of a search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ragstack.pipeline.words import content_words, fold

__all__ = ["around_answer", "in_one_passage"]

_STEM = 6  # letters by which forms of a word are taken for the same
_SENTENCES = re.compile(r"(?<=[.!?])\s+")


def in_one_passage(question: str, passages: Sequence[str]) -> float:
    """Return the largest share of the question's content words that one passage holds, 0 to 1."""
    asked = _stems(question)
    return max((_share(asked, passage) for passage in passages), default=0.0)


def around_answer(question: str, answer: str, passages: Sequence[str]) -> float:
    """Return the share of the question's content words that stand near the answer, 0 to 1.

    Near is the sentence that holds the answer, the one before and the one after. An answer that
    stands nowhere has none near it.
    """
    asked, wanted = _stems(question), fold(answer).strip()
    near = (text for passage in passages for text in _around(wanted, passage)) if wanted else ()
    return max((_share(asked, text) for text in near), default=0.0)


def _around(wanted: str, passage: str) -> Iterator[str]:
    """Yield each sentence that holds what is wanted, with its neighbours."""
    sentences = _SENTENCES.split(passage)
    for place, sentence in enumerate(sentences):
        if wanted in fold(sentence):
            yield " ".join(sentences[max(0, place - 1) : place + 2])


def _stems(text: str) -> frozenset[str]:
    return frozenset(word.form[:_STEM] for word in content_words(text))


def _share(asked: frozenset[str], text: str) -> float:
    return len(asked & _stems(text)) / len(asked) if asked else 1.0
