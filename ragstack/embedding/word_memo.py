"""A text in, its tokens out, each word's remembered: the same words come again and again.

Right for tokenizers that take a text apart at white space and at every mark of punctuation before
they look at it, as BERT's do; for those the tokens of a text are those of its words, in order.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from ragstack.types import Span

__all__ = ["WordMemo"]

# Only what BERT is sure to cut at. Other white space and punctuation stay inside a word, and the
# tokenizer sees to them: control characters, which Python may call white space, it drops.
_WORD = re.compile(r"[^ \t\n\r!-/:-@\[-`{-~]+|[!-/:-@\[-`{-~]")
_LONGEST = 40  # characters of a word that is remembered; one of Chinese is a sentence
_MOST = 40_000  # words remembered: about 20 MB, of a collection's words nearly all


class _Tokens(NamedTuple):
    ids: list[int]
    spans: list[Span]


class WordMemo(dict[str, _Tokens]):
    """Tokens by word, filled as words are asked for. Safe to use from many threads.

    The tokenizer is to read what looks like a special token as any other text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, word: str) -> _Tokens:
        encoded = self._tokenizer.encode(word, add_special_tokens=False)
        found = _Tokens(encoded.ids, encoded.offsets)
        if len(word) <= _LONGEST:
            if len(self) >= _MOST:
                self.clear()
            self[word] = found
        return found

    def ids(self, text: str, most: int) -> list[int]:
        """Return the first ids of a text, at most so many."""
        found: list[int] = []
        for word in _WORD.findall(text):
            found += self[word].ids
            if len(found) >= most:
                return found[:most]
        return found

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters, in order."""
        found: list[Span] = []
        for match in _WORD.finditer(text):
            at = match.start()
            found += [(at + start, at + end) for start, end in self[match.group()].spans]
        return found

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        return sum(len(self[word].ids) for word in _WORD.findall(text))

    @staticmethod
    def suits(tokenizer: Tokenizer) -> bool:
        """Return whether it takes words one by one, and knows no token of several words."""
        return (
            isinstance(tokenizer.normalizer, BertNormalizer)
            and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
            and all(token.special for token in tokenizer.get_added_tokens_decoder().values())
        )
