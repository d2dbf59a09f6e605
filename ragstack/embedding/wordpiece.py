"""Texts in, token ids and their characters out, as a tokenizer.json says. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from ragstack.embedding.inputs import encodable
from ragstack.embedding.word_memo import WordMemo
from ragstack.errors import ModelError
from ragstack.types import Span

__all__ = ["OwnTokens", "WordPiece"]

# One call of the tokenizer is serial and its time per character grows with the text; pieces of
# this many characters, cut at white space where it splits anyway, run on every core.
_PIECE = 16_384
_SPACE = re.compile(r"[ \t\n]")
_PROBE = "a b"


class WordPiece:
    """A TokenCounter that also makes the ids a BERT reads."""

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ModelError(
                f"{str(path)!r} is not a tokenizer: {error}",
                hint="fetch the model again with `ragstack models pull`",
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # Else a document that holds "[SEP]" would end its own text.
        self._tokenizer.encode_special_tokens = True
        self._opening, self._closing = self._enclosing(path)
        self._memo = WordMemo(self._tokenizer) if WordMemo.suits(self._tokenizer) else None

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        if self._memo is not None:
            return self._memo.count(encodable(text))
        encoded = self._tokenizer.encode_batch_fast(
            _pieces(encodable(text)), add_special_tokens=False
        )
        return sum(len(piece) for piece in encoded)

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters, in order."""
        if self._memo is not None:
            return self._memo.offsets(encodable(text))
        pieces = _pieces(encodable(text))
        encoded = self._tokenizer.encode_batch(pieces, add_special_tokens=False)
        spans: list[Span] = []
        shift = 0
        for piece, tokens in zip(pieces, encoded, strict=True):
            spans += (
                [(start + shift, end + shift) for start, end in tokens.offsets]
                if shift
                else tokens.offsets
            )
            shift += len(piece)
        return spans

    def ids(self, texts: Sequence[str], *, length: int) -> list[list[int]]:
        """Return each text's ids between the opening and the closing one, at most ``length``."""
        room = length - self.added
        if self._memo is not None:
            return [self.enclose(self._memo.ids(encodable(text), room)) for text in texts]
        # A query: handing it to the threads of a batch costs more than it takes.
        if len(texts) == 1:
            encoded = [self._tokenizer.encode(encodable(texts[0]), add_special_tokens=False)]
        else:
            encoded = self._tokenizer.encode_batch_fast(
                [encodable(text) for text in texts], add_special_tokens=False
            )
        return [self.enclose(tokens.ids[:room]) for tokens in encoded]

    def pieces(self, text: str) -> tuple[list[int], list[Span]]:
        """Return all ids of a text without the special ones, and each one's characters."""
        tokens = self._tokenizer.encode(encodable(text), add_special_tokens=False)
        return tokens.ids, tokens.offsets

    def enclose(self, ids: Sequence[int]) -> list[int]:
        """Return the ids between the opening and the closing one."""
        return [*self._opening, *ids, *self._closing]

    @property
    def added(self) -> int:
        """How many ids ``enclose`` adds."""
        return len(self._opening) + len(self._closing)

    @property
    def leading(self) -> int:
        """How many of them stand before the text."""
        return len(self._opening)

    def _enclosing(self, path: Path) -> tuple[list[int], list[int]]:
        return [self._special("[CLS]", path)], [self._special("[SEP]", path)]

    def _special(self, token: str, path: Path) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ModelError(f"{str(path)!r} has no token {token!r}; expected a BERT vocabulary")
        return int(found)


class OwnTokens(WordPiece):
    """The same for any vocabulary: what stands around a text is what the file itself puts there."""

    @property
    def pad(self) -> int:
        """The id that fills up; 0 where the file names none."""
        for token in ("[PAD]", "<pad>", "<|endoftext|>"):
            found = self._tokenizer.token_to_id(token)
            if found is not None:
                return int(found)
        return 0

    def _enclosing(self, path: Path) -> tuple[list[int], list[int]]:
        plain = self._tokenizer.encode(_PROBE, add_special_tokens=False).ids
        whole = self._tokenizer.encode(_PROBE, add_special_tokens=True).ids
        if len(whole) == len(plain) and self._tokenizer.token_to_id("[CLS]") is not None:
            return super()._enclosing(path)  # a BERT's, written without its template
        for start in range(len(whole) - len(plain) + 1):
            if whole[start : start + len(plain)] == plain:
                return whole[:start], whole[start + len(plain) :]
        raise ModelError(f"{str(path)!r} changes a text when it adds special tokens")


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    start = 0
    while len(text) - start > _PIECE:
        found = _SPACE.search(text, start + _PIECE)
        if found is None:
            break
        pieces.append(text[start : found.start()])
        start = found.start()
    return [*pieces, text[start:]]
