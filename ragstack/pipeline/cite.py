"""An answer and what it was made from in; verdicts and verbatim quotes out. Calls no model.

Every sentence of the answer looks for the sentences of the passages that say it. Words are compared
folded and without endings; numbers and names must stand in the quote exactly. A quote is a span of
its chunk, so it cannot be invented, and ``document.text[start:end] == quote`` always.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragstack.chunking.sentences import split
from ragstack.pipeline.words import content_words, fold, numbers, place_in_order, words
from ragstack.types import Citation, Passage, Sentence, Span, Verdict

__all__ = ["Cited", "cite", "without_markers"]

SUPPORT = 0.6
"""Share of an answer sentence's content words that its quotes must hold to be ``supported``."""

_MOST_QUOTES = 3
_GAIN = 0.15  # share of the sentence's words that a further quote must add
_QUESTION_WEIGHT = 0.25  # how much a quote's likeness to the question counts beside the answer
_MARKER = re.compile(r"[ \t]*\[\d+(?:\s*[,;-]\s*\d+)*\]")
_CLOSING = re.compile(r"[.!?…»\"”)]*\s*$")
_NEGATIONS = frozenset({"not", "never", "no", "none", "nor", "cannot", "jamais", "aucun", "aucune"})


@dataclass(frozen=True, slots=True)
class Cited:
    """An answer's text with its markers, its sentences, its citations."""

    text: str
    sentences: tuple[Sentence, ...]
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class _Quote:
    passage: Passage
    span: Span
    forms: tuple[str, ...]
    folded: str
    numbers: frozenset[str]
    likeness: float

    @property
    def text(self) -> str:
        return self.passage.chunk.text[self.span[0] : self.span[1]]


def without_markers(text: str) -> str:
    """Return the text without markers such as ``[1]`` or ``[2, 3]``."""
    return _MARKER.sub("", text)


def cite(
    text: str,
    passages: Sequence[Passage],
    *,
    question: str,
    language: str,
    markers: bool = True,
) -> Cited:
    """Return the answer with a verdict for each sentence and a quote for each that has one.

    A sentence is ``verbatim`` when its words stand in one quote in their order, ``supported`` when
    the quotes hold most of its words and all its numbers and names, else ``unsupported``.

    Args:
        passages: What the generator read, best first.
        markers: Whether to write ``[1]`` behind the sentences; spans count them.
    """
    plain = without_markers(text).strip()
    quotes = _quotes(passages, question, language)
    known = {word.form for word in words(question)}
    pieces: list[str] = []
    sentences: list[Sentence] = []
    citations: list[Citation] = []
    numbered: dict[str, int] = {}
    at = length = 0
    for start, end in split(plain, language) or [(0, len(plain))]:
        body = plain[start:end]
        verdict, found = _support(body, quotes, known)
        made = [_citation(quote, verdict, numbered) for quote in found]
        shown = _marked(body, sorted({c.marker for c in made})) if markers and made else body
        gap = plain[at:start]
        pieces += [gap, shown]
        sentences.append(Sentence(length + len(gap), length + len(gap) + len(shown), verdict))
        length += len(gap) + len(shown)
        at = end
        citations += [c for c in made if not any(_same(c, other) for other in citations)]
    return Cited("".join(pieces) + plain[at:], tuple(sentences), tuple(citations))


def _quotes(passages: Sequence[Passage], question: str, language: str) -> list[_Quote]:
    asked = {word.form for word in content_words(question)}
    seen: set[tuple[str, int, int]] = set()
    found = []
    for passage in passages:
        chunk = passage.chunk
        spoken = str(chunk.meta.get("language") or language)
        context = fold(chunk.context)
        for start, end in split(chunk.text, spoken):
            place = (chunk.document_id, chunk.start + start, chunk.start + end)
            if place in seen:
                continue
            seen.add(place)
            text = chunk.text[start:end]
            forms = tuple(word.form for word in words(text))
            likeness = len(asked.intersection(forms)) / len(asked) if asked else 0.0
            folded = f"{context} {fold(text)}"
            quote = _Quote(
                passage, (start, end), forms, folded, frozenset(numbers(folded)), likeness
            )
            found.append(quote)
    return found


def _support(
    sentence: str, quotes: Sequence[_Quote], known: set[str]
) -> tuple[Verdict, list[_Quote]]:
    every = [word.form for word in words(sentence)]
    wanted = {word.form for word in content_words(sentence)} or set(every)
    if not wanted:
        return "unsupported", []
    whole = [quote for quote in quotes if place_in_order(every, quote.forms) is not None]
    if whole:
        return "verbatim", [max(whole, key=lambda quote: quote.likeness)]
    chosen, missing = _covering(wanted, quotes)
    covered = 1.0 - len(missing) / len(wanted)
    if not chosen or covered < SUPPORT or not _exact(sentence, chosen, known):
        return "unsupported", []
    return "supported", chosen


def _covering(wanted: set[str], quotes: Sequence[_Quote]) -> tuple[list[_Quote], set[str]]:
    """Return the fewest quotes, chosen greedily, that hold the wanted words, and what they lack."""
    chosen: list[_Quote] = []
    missing = set(wanted)
    while len(chosen) < _MOST_QUOTES and missing:
        best = max(quotes, key=lambda quote: _worth(quote, missing, wanted), default=None)
        gain = len(missing.intersection(best.forms)) / len(wanted) if best else 0.0
        if best is None or gain < _GAIN:
            break
        chosen.append(best)
        missing.difference_update(best.forms)
    return chosen, missing


def _worth(quote: _Quote, missing: set[str], wanted: set[str]) -> float:
    return len(missing.intersection(quote.forms)) / len(wanted) + _QUESTION_WEIGHT * quote.likeness


def _exact(sentence: str, chosen: Sequence[_Quote], known: set[str]) -> bool:
    """Return whether the sentence's numbers, names and negation stand in its quotes too."""
    allowed = frozenset[str]().union(*(quote.numbers for quote in chosen)) | known
    spelled = {form for quote in chosen for form in quote.forms}
    if any(n not in allowed and n not in spelled for n in numbers(sentence)):
        return False
    held = " ".join(quote.folded for quote in chosen)
    names = re.findall(r"(?<=[\w,;] )[A-ZÀ-Ý][\w-]+", sentence)
    if any(fold(name) not in held and not _known(name, known) for name in names):
        return False
    said = {word.form for word in words(sentence)}
    return said.isdisjoint(_NEGATIONS) or not spelled.isdisjoint(_NEGATIONS) or " ne " in held


def _known(name: str, known: set[str]) -> bool:
    return any(word.form in known for word in words(name))


def _citation(quote: _Quote, verdict: Verdict, numbered: dict[str, int]) -> Citation:
    chunk = quote.passage.chunk
    return Citation(
        marker=numbered.setdefault(chunk.id, len(numbered) + 1),
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        source=quote.passage.source,
        start=chunk.start + quote.span[0],
        end=chunk.start + quote.span[1],
        quote=quote.text,
        verdict=verdict,
    )


def _same(left: Citation, right: Citation) -> bool:
    return replace(left, verdict=right.verdict, mark=right.mark) == right


def _marked(sentence: str, markers: Sequence[int]) -> str:
    label = "".join(f"[{marker}]" for marker in markers)
    closing = _CLOSING.search(sentence)
    at = closing.start() if closing else len(sentence)
    # What closes a bracket of the sentence belongs to it: a link would be torn apart.
    while sentence.count("(", 0, at) > sentence.count(")", 0, at) and ")" in sentence[at:]:
        at = sentence.index(")", at) + 1
    return f"{sentence[:at]} {label}{sentence[at:]}"
