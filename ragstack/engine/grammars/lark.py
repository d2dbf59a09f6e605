"""A Lark grammar's text in, a part of a grammar out. What llguidance has beyond it is refused.

Read: rules, terminals (names in capitals), strings, regular expressions, groups, ``| ? * + {m,n}``,
``[optional]``, ``&`` and ``~`` in terminals, ``<special tokens>``, ``%json`` and
``%regex {"substring_...": ...}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ragstack.engine.grammars.pieces import Piece, Pieces
from ragstack.engine.grammars.quotes import span, words_of
from ragstack.engine.grammars.regex import from_regex
from ragstack.engine.grammars.schema import SchemaReader
from ragstack.errors import GrammarError

__all__ = ["LarkReader"]

_TOKENS = re.compile(
    r"""(?P<skip>[ \t\r]+|//[^\n]*|\#[^\n]*)|(?P<line>\n)
    |(?P<string>"(?:[^"\\\n]|\\.)*"i?)|(?P<regex>/(?:[^/\\\n]|\\.)+/[a-z]*)
    |(?P<mark><[^<>\s]+>)|(?P<name>[?!]?[A-Za-z_][\w-]*)
    |(?P<count>\{\s*\d*\s*,?\s*\d*\s*\})|(?P<directive>%\w+)|(?P<sign>[:|()\[\]*+?&~])""",
    re.VERBOSE,
)
_COUNT = re.compile(r"\{\s*(\d*)\s*(,?)\s*(\d*)\s*\}")
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Word:
    kind: str
    text: str
    value: object = None


class LarkReader:
    """Reads one grammar; its first rule is the one named ``start``."""

    def __init__(self, text: str, pieces: Pieces, token: Callable[[str], int]) -> None:
        """Take a text apart.

        Args:
            token: Returns the special token that is written so.

        Raises:
            GrammarError: It cannot be read; says at which line.
        """
        if not isinstance(text, str):
            raise GrammarError(f"a Lark grammar is a string, got {text!r}")
        self._pieces = pieces
        self._token = token
        self._rules = _rules(_words(text))
        self._terminals: dict[str, Piece] = {}
        self._open: set[str] = set()
        self._inner = 0
        self._words: list[_Word] = []

    def read(self) -> Piece:
        """Return the texts of the rule ``start``.

        Raises:
            GrammarError: There is none, or one uses what is not defined or cannot be enforced.
        """
        if "start" not in self._rules:
            raise GrammarError("the grammar has no rule named 'start'")
        for name in self._rules:
            if not _is_terminal(name):
                self._pieces.rule(f"u_{name}", self._body(name))
        return self._pieces.named("u_start")

    def _body(self, name: str) -> Piece:
        outer, self._words = self._words, list(reversed(self._rules[name]))
        try:
            found = self._choices()
            if self._words:
                raise GrammarError(f"the rule {name!r}: {self._words[-1].text!r} was not expected")
            return found
        finally:
            self._words = outer

    def _named(self, name: str) -> Piece:
        if name not in self._rules:
            raise GrammarError(f"the grammar uses {name!r}, which it does not define")
        if not _is_terminal(name):
            return self._pieces.named(f"u_{name}")
        if name not in self._terminals:
            if name in self._open:
                raise GrammarError(f"the terminal {name!r} uses itself; only rules may")
            self._open.add(name)
            body = self._body(name)
            rule = self._pieces.rule(f"U_{name}", body)
            # Not by its name: what is in two terminals at once must be known before all rules are.
            self._terminals[name] = Piece(rule.text, body.node)
        return self._terminals[name]

    # -- expressions -------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._words[-1].text if self._words else ""

    def _take(self, sign: str) -> bool:
        if self._peek() == sign and self._words[-1].kind == "sign":
            self._words.pop()
            return True
        return False

    def _choices(self) -> Piece:
        choices = [self._both()]
        while self._take("|"):
            choices.append(self._both())
        return self._pieces.alt(*choices)

    def _both(self) -> Piece:
        found = self._row()
        while self._take("&"):
            found = self._pieces.both(found, self._row())
        return found

    def _row(self) -> Piece:
        parts = []
        while self._words and not (self._words[-1].kind == "sign" and self._peek() in "|&)]:"):
            parts.append(self._repeated())
        return self._pieces.seq(*parts)

    def _repeated(self) -> Piece:
        if self._take("~"):
            part = self._repeated()
            return Piece(f"~({part.text})", self._pieces.language.without(part.node))
        part = self._atom()
        while self._words:
            if self._words[-1].kind == "count":
                least, most = _counts(self._words.pop().text)
                part = self._pieces.rep(part, least, most)
            elif self._take("*"):
                part = self._pieces.rep(part)
            elif self._take("+"):
                part = self._pieces.rep(part, 1)
            elif self._take("?"):
                part = self._pieces.rep(part, 0, 1)
            else:
                break
        return part

    def _atom(self) -> Piece:  # noqa: C901  # one case a kind
        word = self._words.pop()
        match word.kind:
            case "string":
                if word.text.endswith("i"):
                    raise GrammarError(f"{word.text}: strings without case are not supported")
                return self._pieces.literal(_unquoted(word.text))
            case "regex":
                body, _, flags = word.text[1:].rpartition("/")
                if set(flags) - {"s"}:
                    raise GrammarError(f"{word.text}: the flags {flags!r} are not supported")
                pattern = f"(?s:{body})" if flags else body
                plain = pattern.replace("\\/", "/")
                self._inner += 1
                piece = from_regex(plain, self._pieces, spell=self._pieces.chars)
                # One terminal: its parts would be lexed apart from the terminals beside it.
                return Piece(self._pieces.rule(f"R{self._inner}", piece).text, piece.node)
            case "mark":
                return Piece(word.text, self._pieces.language.token(self._token(word.text)))
            case "name":
                return self._named(word.text)
            case "%json":
                self._inner += 1
                return SchemaReader(word.value, self._pieces, prefix=f"j{self._inner}x").read()
            case "%regex":
                return self._spans(word.value)
        if word.text in ("(", "["):
            inner = self._choices()
            if not self._take(")" if word.text == "(" else "]"):
                raise GrammarError(f"a {word.text!r} is not closed")
            return inner if word.text == "(" else self._pieces.rep(inner, 0, 1)
        raise GrammarError(f"{word.text!r} was not expected here")

    def _spans(self, value: object) -> Piece:
        if isinstance(value, Mapping) and len(value) == 1:
            ((key, source),) = value.items()
            if key == "substring_chunks" and isinstance(source, list):
                return span([str(chunk) for chunk in source if chunk], self._pieces, spaces=True)
            if key == "substring_chars" and isinstance(source, str) and source:
                return span(list(source), self._pieces, spaces=True)
            if key == "substring_words" and isinstance(source, str) and source:
                return span(words_of(source), self._pieces, spaces=True)
        raise GrammarError(
            f"%regex {value!r} is not supported",
            hint="supported: substring_chars, substring_words, substring_chunks, none empty",
        )


def _words(text: str) -> list[_Word]:
    found: list[_Word] = []
    at, line = 0, 1
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None or match.lastgroup is None:
            raise GrammarError(f"line {line}: {text[at : at + 10]!r} was not expected")
        kind, at = match.lastgroup, match.end()
        if kind == "line":
            line += 1
        if kind == "directive":
            if match[0] not in ("%json", "%regex"):
                raise GrammarError(
                    f"line {line}: {match[0]} is not supported", hint="%json and %regex are"
                )
            at += len(text[at:]) - len(text[at:].lstrip())
            try:
                value, at = json.JSONDecoder().raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                raise GrammarError(f"line {line}: {match[0]} is not followed by JSON") from error
            found.append(_Word(match[0], match[0], value))
        elif kind != "skip":
            found.append(_Word(kind, match[0].lstrip("?!") if kind == "name" else match[0]))
    return found


def _rules(words: list[_Word]) -> dict[str, list[_Word]]:
    rules: dict[str, list[_Word]] = {}
    current: list[_Word] | None = None
    for i, word in enumerate(words):
        follows = words[i + 1].text if i + 1 < len(words) else ""
        at_line = i == 0 or words[i - 1].kind == "line"
        if word.kind == "name" and at_line and follows == ":":
            if word.text in rules:
                raise GrammarError(f"the rule {word.text!r} is defined twice")
            current = rules[word.text] = []
        elif word.kind == "name" and at_line and follows == "[":
            raise GrammarError(f"the rule {word.text!r}: attributes are not supported")
        elif word.text == ":" and word.kind == "sign":
            if not (i and words[i - 1].kind == "name" and current == []):
                raise GrammarError("a ':' was not expected here")
        elif word.kind != "line":
            if current is None:
                raise GrammarError(f"{word.text!r} stands before the first rule")
            current.append(word)
    return rules


def _is_terminal(name: str) -> bool:
    return name.lstrip("_")[:1].isupper()


def _counts(text: str) -> tuple[int, int | None]:
    match = _COUNT.fullmatch(text)
    if match is None or not (match[1] or match[3]):
        raise GrammarError(f"{text!r} is no count of repetitions")
    least = int(match[1] or 0)
    most = (int(match[3]) if match[3] else None) if match[2] else least
    if max(least, most or 0) > _MOST or (most is not None and most < least):
        raise GrammarError(f"{text!r} is no count of at most {_MOST} repetitions")
    return least, most


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(re.sub(r"\\x([0-9A-Fa-f]{2})", r"\\u00\1", text)))
    except ValueError as error:
        raise GrammarError(f"{text} is no string") from error
