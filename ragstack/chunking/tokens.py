"""A text's tokens in, places to cut it and what lies between them out. Knows no documents.

The text is tokenised once, in pieces; everything after that is arithmetic on two arrays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragstack.protocols import TokenCounter
from ragstack.types import Span

__all__ = ["TokenTable", "tabulate"]

_PIECE = 1 << 20
_BREAK = re.compile(r"[ \t\n]")
# A tokenizer may call a thousand letters one unknown token, or drop them. What is longer than a
# token of any vocabulary weighs one for each four characters, as text does.
_LONGEST_TOKEN = 32
_LETTERS_PER_TOKEN = 4
# White space weighs nothing up to a tab stop or an indent, then as much as text would.
_FREE_SPACES = 64
_SPACES_PER_TOKEN = 16
_LAST_SPACE = 0x3000
_IS_SPACE = np.array([chr(code).isspace() for code in range(_LAST_SPACE + 1)] + [False])

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenTable:
    """Where a text can be cut, and the tokens before each such place.

    Attributes:
        places: Characters, rising, from 0 to the length of the text.
        before: Tokens before each place.
        words: Indexes of those places that follow white space, and of the two ends.
    """

    places: Ints
    before: Ints
    words: Ints

    def tokens(self, span: Span) -> int:
        """Return the tokens that begin inside a span of characters."""
        first, last = np.searchsorted(self.places, span)
        return int(self.before[last] - self.before[first])

    def tokens_before(self, characters: list[int]) -> Ints:
        """Return the tokens before each of these characters."""
        counts: Ints = self.before[np.searchsorted(self.places, characters)]
        return counts

    def cut(self, span: Span, *, size: int, overlap: int = 0) -> list[Span]:
        """Return spans of at most ``size`` tokens that cover a span, cut between words if it can.

        Each begins up to ``overlap`` tokens before the last one's end.
        """
        first, last = (int(index) for index in np.searchsorted(self.places, span))
        spans: list[Span] = []
        start = done = first
        while done < last:
            full = int(np.searchsorted(self.before, self.before[start] + size, side="right")) - 1
            end = self._word(max(full, start + 1), start, last)
            if end <= done:
                # The overlap left no room for the next word: go on without it.
                start = done
                continue
            spans.append(self._span(start, end, span))
            back = int(np.searchsorted(self.before, self.before[end] - overlap))
            start = max(self._word_after(back, end), start + 1) if overlap else end
            done = end
        return spans

    def _span(self, first: int, last: int, inside: Span) -> Span:
        start, end = int(self.places[first]), int(self.places[last])
        return max(start, inside[0]), min(end, inside[1])

    def _word(self, index: int, start: int, last: int) -> int:
        """Return the last end of a word up to an index, if there is one in the second half."""
        if index >= last:
            return last
        word = int(self.words[np.searchsorted(self.words, index, side="right") - 1])
        half = self.before[start] + (self.before[index] - self.before[start]) // 2
        return word if word > start and self.before[word] >= half else index

    def _word_after(self, index: int, end: int) -> int:
        word = int(self.words[np.searchsorted(self.words, index)])
        return word if word < end else index


def tabulate(text: str, counter: TokenCounter) -> TokenTable:
    """Return the table of a text: every character but white space is weighed, whatever it is."""
    places: list[Ints] = []
    weights: list[Ints] = []
    start = 0
    while start < len(text):
        found = _BREAK.search(text, start + _PIECE)
        end = found.start() if found else len(text)
        piece = text[start:end]
        some, weighed = _piece(piece, counter)
        places.append(some + start)
        weights.append(weighed)
        start = end
    ends = np.array([len(text)], dtype=np.int64)
    none = np.zeros(0, dtype=np.int64)
    all_places = np.concatenate([*places, ends])
    before = np.concatenate([[0], np.cumsum(np.concatenate([none, *weights]))]).astype(np.int64)
    spaces = np.array([text[place - 1].isspace() for place in all_places[1:-1].tolist()], bool)
    words = np.flatnonzero(np.concatenate([[True], spaces, [True]]))[-len(all_places) :]
    return TokenTable(all_places, before, words)


def _piece(text: str, counter: TokenCounter) -> tuple[Ints, Ints]:
    """Return the places of one piece and the tokens from each to the next."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    ink = ~_IS_SPACE[np.minimum(codes, _LAST_SPACE + 1)]
    starts = np.array([start for start, _ in counter.offsets(text)], dtype=np.int64)
    places, weights = np.unique(np.append(starts, 0), return_counts=True)
    weights[0] -= 1
    # Characters that no token holds join the token before them.
    inked = np.concatenate([[0], np.cumsum(ink)])
    ends = np.append(places[1:], len(text))
    letters = inked[ends] - inked[places]
    weights = np.maximum(weights, letters > 0)
    blanks = np.maximum(ends - places - letters - _FREE_SPACES, 0) // _SPACES_PER_TOKEN
    weights = weights + blanks
    long = np.flatnonzero(letters > _LONGEST_TOKEN)
    if not len(long):
        return places, weights
    return _broken(places, weights, ends, long)


def _broken(places: Ints, weights: Ints, ends: Ints, long: Ints) -> tuple[Ints, Ints]:
    """Break what is too long to be a token into places of a few letters each."""
    some, weighed = [np.delete(places, long)], [np.delete(weights, long)]
    for index in long.tolist():
        inner = np.arange(places[index], ends[index], _LETTERS_PER_TOKEN, dtype=np.int64)
        some.append(inner)
        weighed.append(np.ones(len(inner), dtype=np.int64))
    joined = np.concatenate(some)
    order = np.argsort(joined, kind="stable")
    return joined[order], np.concatenate(weighed)[order]
