"""A grammar and a vocabulary in, the tokens allowed next out. llguidance does the work.

Grammars are compiled before the first token, so what cannot be enforced is refused, never
loosened.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import llguidance
import numpy as np
from numpy.typing import NDArray

from ragstack.engine.library import llama
from ragstack.engine.vocabulary import Vocabulary
from ragstack.errors import GrammarError
from ragstack.types import Grammar, JsonSchema, Lark, Quote, Regex

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

__all__ = ["KINDS", "Compiler", "Constraint"]

KINDS = frozenset({"json_schema", "regex", "lark", "quote"})
# One space at most between the parts of JSON: a small model would spend its budget on them.
_JSON_OPTIONS: JsonCompileOptions = {"whitespace_pattern": r"[ \n]?"}


class Compiler:
    """Makes constraints for one vocabulary. Building it takes a second, so it is kept."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        # llguidance knows a mark from text by this byte, which no text has.
        tokens = [
            b"\xff" + piece if vocabulary.is_mark(token) else piece
            for token, piece in enumerate(vocabulary.pieces())
        ]
        # Not its own helper: that calls functions llama-cpp-python warns of, once for each token.
        self._tokenizer = llguidance.LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]
            tokens=tokens,
            vocab_ptr=vocabulary.handle,
            tokenize_fptr=ctypes.cast(llama._lib.llama_tokenize, ctypes.c_void_p).value,
            eos_token=sorted({vocabulary.eos, *vocabulary.ends} - {-1}),
            slices=None,
        )

    def compile(self, grammar: Grammar) -> Constraint:
        """Return a fresh constraint.

        Raises:
            GrammarError: It cannot be compiled, or holds what cannot be enforced.
        """
        source = source_of(grammar)
        problem = llguidance.LLMatcher.validate_grammar(source, self._tokenizer)
        if problem:
            raise GrammarError(f"the grammar cannot be compiled: {_first_line(problem)}")
        return Constraint(llguidance.LLMatcher(self._tokenizer, source, log_level=0))


class Constraint:
    """Where one generation stands in its grammar."""

    def __init__(self, matcher: llguidance.LLMatcher) -> None:
        self._matcher = matcher

    @property
    def complete(self) -> bool:
        """Whether nothing but the end may follow."""
        return bool(self._matcher.is_stopped())

    @property
    def accepting(self) -> bool:
        """Whether the text so far may end here."""
        return bool(self._matcher.is_accepting())

    def mask(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a copy of the logits with what the grammar forbids at minus infinity."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._raise_if_broken()
        allowed = np.unpackbits(bits, count=len(logits), bitorder="little").view(bool)
        return np.where(allowed, logits, np.float32(-np.inf))

    def accept(self, token: int) -> None:
        """Take one step.

        Raises:
            GrammarError: The grammar does not allow the token, or llguidance's limits are passed.
        """
        if not self._matcher.consume_token(token):
            said = _first_line(self._matcher.get_error())
            raise GrammarError(f"the grammar does not allow the token {token} here: {said}")

    def _raise_if_broken(self) -> None:
        if self._matcher.is_error():
            raise GrammarError(f"the grammar failed: {_first_line(self._matcher.get_error())}")


def source_of(grammar: Grammar) -> str:
    """Return a grammar in llguidance's own form."""
    match grammar:
        case JsonSchema(schema):
            return _from_schema(schema)
        case Regex(pattern):
            return str(llguidance.LLMatcher.grammar_from_regex(pattern))
        case Lark(text):
            return str(llguidance.LLMatcher.grammar_from_lark(text))
        case Quote(passages):
            return _from_passages(passages)


def _from_schema(schema: Mapping[str, object]) -> str:
    try:
        text = json.dumps(schema)
    except (TypeError, ValueError) as error:
        raise GrammarError(f"the schema is not JSON: {error}") from error
    return str(llguidance.LLMatcher.grammar_from_json_schema(text, overrides=_JSON_OPTIONS))


def _from_passages(passages: Sequence[str]) -> str:
    """Return a grammar of every contiguous span of one of the passages, not empty."""
    if isinstance(passages, str) or not any(passages):
        raise GrammarError("a quote needs passages, and one that is not empty")
    rules = [
        f'p{i}: %regex {{ "substring_chars": {json.dumps(passage, ensure_ascii=False)} }}'
        for i, passage in enumerate(passages)
        if passage
    ]
    names = " | ".join(rule.partition(":")[0] for rule in rules)
    lark = "\n".join((f"start: {names}", *rules))
    return str(llguidance.LLMatcher.grammar_from_lark(lark))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
