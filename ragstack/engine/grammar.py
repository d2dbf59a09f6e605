"""A grammar and a vocabulary in, the tokens allowed next out. llguidance does the work.

Grammars are compiled before the first token, so what cannot be enforced is refused, never
loosened.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import llguidance
import numpy as np
from numpy.typing import NDArray

from ragstack.engine.grammars.closing import Closing
from ragstack.engine.grammars.lark import LarkReader
from ragstack.engine.grammars.pieces import Piece, Pieces
from ragstack.engine.grammars.quotes import quote, quoted
from ragstack.engine.grammars.regex import from_regex
from ragstack.engine.grammars.schema import SchemaReader
from ragstack.engine.library import llama
from ragstack.engine.vocabulary import Vocabulary
from ragstack.errors import GrammarError
from ragstack.types import Grammar, JsonSchema, Lark, Quote, Quoted, Regex

__all__ = ["KINDS", "Compiler", "Constraint"]

_FEW_WORDS = 256  # words of the mask, of 32 tokens each; beyond, all of it is read at once
KINDS = frozenset({"json_schema", "regex", "lark", "quote", "quoted"})


class Compiler:
    """Makes constraints for one vocabulary. Building it takes a second, so it is kept."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        # llguidance knows a mark from text by this byte, which no text has.
        self._spelled = vocabulary.pieces()
        self._marks = frozenset(
            token for token in range(len(self._spelled)) if vocabulary.is_mark(token)
        )
        tokens = [
            b"\xff" + piece if token in self._marks else piece
            for token, piece in enumerate(self._spelled)
        ]
        self._ends = sorted({vocabulary.eos, *vocabulary.ends} - {-1})
        # Not its own helper: that calls functions llama-cpp-python warns of, once for each token.
        self._tokenizer = llguidance.LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]
            tokens=tokens,
            vocab_ptr=vocabulary.handle,
            tokenize_fptr=ctypes.cast(llama._lib.llama_tokenize, ctypes.c_void_p).value,
            eos_token=self._ends,
            slices=None,
        )
        self._by_spelling: dict[bytes, int] = {}
        for token, piece in enumerate(self._spelled):
            if piece and token not in self._marks:
                self._by_spelling.setdefault(piece, token)
        self._longest = max(map(len, self._by_spelling), default=1)

    def compile(self, grammar: Grammar, max_tokens: int | None = None) -> Constraint:
        """Return a fresh constraint.

        Args:
            max_tokens: The text ends within so many tokens, whatever the model wants. None sets no
                bound.

        Raises:
            GrammarError: It cannot be compiled, holds what cannot be enforced, or has no text of
                so few tokens.
        """
        pieces = Pieces()
        try:
            start = read(grammar, pieces, self._token)
            pieces.check(start)
        except RecursionError as error:
            raise GrammarError("the grammar is nested too deeply") from error
        source = str(
            llguidance.LLMatcher.grammar_from_lark(f"start: {start.text}\n{pieces.text()}")
        )
        matcher = llguidance.LLMatcher(self._tokenizer, source, log_level=0, limits=_limits())
        if matcher.is_error():
            told = _first_line(matcher.get_error())
            raise GrammarError(f"the grammar cannot be compiled: {told}")
        closing = None
        if max_tokens is not None:
            closing = Closing(
                pieces.language,
                start.node,
                max_tokens,
                spelling=lambda token: None if token in self._marks else self._spelled[token],
                tokenize=self._tokenized,
            )
        return Constraint(matcher, closing, self._ends)

    def _token(self, mark: str) -> int:
        data = mark.encode()
        for token in self._marks:
            if self._spelled[token] == data:
                return token
        raise GrammarError(f"the vocabulary has no special token {mark!r}")

    def _tokenized(self, data: bytes) -> list[int]:
        """Return tokens that spell the bytes, the longest first; bytes may begin in a character."""
        found: list[int] = []
        at = 0
        while at < len(data):
            for size in range(min(self._longest, len(data) - at), 0, -1):
                token = self._by_spelling.get(data[at : at + size])
                if token is not None:
                    break
            else:
                raise GrammarError(f"the vocabulary cannot spell the byte {data[at]}")
            found.append(token)
            at += size
        return found


class Constraint:
    """Where one generation stands in its grammar."""

    def __init__(
        self, matcher: llguidance.LLMatcher, closing: Closing | None, ends: Sequence[int]
    ) -> None:
        self._matcher = matcher
        self._closing = closing
        self._ends = ends
        self._row = np.empty(0, np.float32)
        self._shown = np.empty(0, np.intp)  # where it is not minus infinity

    @property
    def complete(self) -> bool:
        """Whether nothing but the end may follow."""
        return bool(self._matcher.is_stopped())

    @property
    def accepting(self) -> bool:
        """Whether the text so far may end here; always so once ``max_tokens`` are taken."""
        return bool(self._matcher.is_accepting())

    def mask(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits with what the grammar forbids at minus infinity.

        It is an array of the constraint's own, which the next call writes over.
        """
        words = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint32)
        self._raise_if_broken()
        some = np.flatnonzero(words)
        # Inside a quote or a keyword few tokens are allowed: what forbids all others is not read.
        few = None if len(some) > _FEW_WORDS else _members(words, some)
        if self._closing is not None:
            few = self._closing.narrow(logits, few if few is not None else _all(words), self._ends)
        if few is None:
            allowed = np.unpackbits(words.view(np.uint8), count=len(logits), bitorder="little")
            return np.where(allowed.view(bool), logits, np.float32(-np.inf))
        if len(self._row) != len(logits):
            self._row = np.full(len(logits), -np.inf, np.float32)
        # One array for all steps: to fill a new one takes longer than to draw from it.
        self._row[self._shown] = -np.inf
        self._row[few], self._shown = logits[few], few
        return self._row

    def forced(self) -> list[int]:
        """Return the tokens that the grammar forces next; they need no sampling."""
        found = list(self._matcher.compute_ff_tokens())
        return found if self._closing is None else self._closing.fitting(found)

    def fitting(self, tokens: Sequence[int]) -> int:
        """Return how many of these tokens, from the first on, the grammar lets come next."""
        return int(self._matcher.validate_tokens(list(tokens))) if tokens else 0

    def accept(self, token: int) -> None:
        """Take one step.

        Raises:
            GrammarError: The grammar does not allow the token, or llguidance's limits are passed.
        """
        if not self._matcher.consume_token(token):
            said = _first_line(self._matcher.get_error())
            raise GrammarError(f"the grammar does not allow the token {token} here: {said}")
        if self._closing is not None:
            self._closing.accept(token)

    def _raise_if_broken(self) -> None:
        if self._matcher.is_error():
            raise GrammarError(f"the grammar failed: {_first_line(self._matcher.get_error())}")


def _members(words: NDArray[np.uint32], some: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the bits that are set, in order; only ``some`` words have any."""
    bits = np.unpackbits(words[some].view(np.uint8), bitorder="little").reshape(-1, 32)
    word, place = np.nonzero(bits)
    return some[word] * 32 + place


def _all(words: NDArray[np.uint32]) -> NDArray[np.intp]:
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little").view(bool))


def read(grammar: Grammar, pieces: Pieces, token: Callable[[str], int]) -> Piece:
    """Return the part that a grammar is.

    Args:
        token: Returns the special token that is written so.

    Raises:
        GrammarError: It holds what cannot be enforced.
    """
    match grammar:
        case JsonSchema(schema):
            return SchemaReader(schema, pieces).read()
        case Regex(pattern):
            return pieces.rule("T", from_regex(pattern, pieces, spell=pieces.chars))
        case Lark(text):
            return LarkReader(text, pieces, token).read()
        case Quote(passages, words):
            return quote(passages, pieces, words=words)
        case Quoted():
            return quoted(grammar, pieces)


def _limits() -> llguidance.LLParserLimits:
    # The defaults are met by schemas of a thousand members and by long passages.
    return llguidance.LLParserLimits(
        max_items_in_row=20_000,
        initial_lexer_fuel=50_000_000,
        step_lexer_fuel=2_000_000,
        step_max_items=500_000,
        max_grammar_size=5_000_000,
        verbose_errors=False,
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
