"""Which documents are versions of one, and where sources contradict each other. Pure functions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from ragstack.pipeline.words import content_words, fold, numbers, words
from ragstack.types import DocumentInfo, Passage

__all__ = ["Conflict", "conflicts", "superseded"]

_VERSION = re.compile(
    r"[-_. ]*(?<![a-z0-9])(?:v|ver|version|rev|revision)[-_. ]?(\d+(?:[._]\d+)*)(?![a-z0-9])"
)
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}$")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\d)[^.!?\n]*)*[.!?]?")
_NEGATIONS = frozenset(
    word.form
    for word in words(
        "not no never cannot without nor neither ne pas jamais aucun aucune sans non n'est n'a"
    )
    if word.form not in ("est", "a")
)
_SENTENCES = 12  # of one passage that are looked at
_PASSAGES = 6
_ALIKE = 0.6  # share of their content words that two sentences on one matter have in common
_LEAST = 3  # such words


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two sentences of two documents that say different things of one matter."""

    one: str
    other: str
    one_source: str
    other_source: str


def superseded(documents: Iterable[DocumentInfo], *, series: str, field: str) -> dict[str, str]:
    """Return, for each document there is a newer version of, the newest one's source.

    Versions of one are documents with the same value under ``series``, or with the same address but
    for a version's number, as ``policy-v2.md``. The newest has the highest number, then the latest
    date.

    Args:
        field: The metadata field with the date, ISO text.
    """
    groups: dict[str, list[tuple[tuple[int, ...], str, DocumentInfo]]] = defaultdict(list)
    for info in documents:
        key, number = _series(info, series)
        dated = info.meta.get(field)
        groups[key].append((number, dated if isinstance(dated, str) else "", info))
    found: dict[str, str] = {}
    for group in groups.values():
        best = max(group, key=lambda each: each[:2])
        found |= {each[2].id: best[2].source for each in group if each[:2] < best[:2]}
    return found


def conflicts(question: str, passages: Sequence[Passage], *, most: int = 3) -> list[Conflict]:
    """Return pairs of sentences of two documents that agree in words and not in what they say.

    They share most content words and one with the question, and differ in their numbers, or one of
    them denies. A rule: it finds plain contradictions, and misses those in other words.
    """
    asked = {word.form for word in content_words(question)}
    said = [
        (passage, sentence)
        for passage in passages[:_PASSAGES]
        for sentence in _sentences(passage.chunk.text)
    ]
    found: list[Conflict] = []
    for (one, left), (other, right) in combinations(said, 2):
        if one.chunk.document_id == other.chunk.document_id or not _differ(left, right):
            continue
        if asked & left.about & right.about:
            found.append(Conflict(left.text, right.text, one.source, other.source))
    return found[:most]


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    about: frozenset[str]
    numbers: frozenset[str]
    denies: bool


def _sentences(text: str) -> list[_Said]:
    found = []
    for match in list(_SENTENCE.finditer(text))[:_SENTENCES]:
        sentence = " ".join(match.group().split())
        about = {word.form for word in content_words(sentence) if not word.form[:1].isdigit()}
        if len(about) >= _LEAST:
            found.append(
                _Said(
                    sentence[:300],
                    frozenset(about),
                    frozenset(numbers(sentence)),
                    _denies(sentence),
                )
            )
    return found


def _differ(left: _Said, right: _Said) -> bool:
    shared = len(left.about & right.about)
    if shared < _LEAST or shared < _ALIKE * len(left.about | right.about):
        return False
    other_numbers = left.numbers and right.numbers and left.numbers.isdisjoint(right.numbers)
    return bool(other_numbers) or left.denies != right.denies


def _denies(sentence: str) -> bool:
    folded = fold(sentence)
    return "n't" in folded or not _NEGATIONS.isdisjoint(word.form for word in words(sentence))


def _series(info: DocumentInfo, series: str) -> tuple[str, tuple[int, ...]]:
    named = info.meta.get(series) if series else None
    name = fold(info.source)
    found = _VERSION.search(name)
    number = tuple(int(part) for part in re.split(r"[._]", found[1])) if found else ()
    if named is not None:
        return f"series {named}", number
    return "address " + _SUFFIX.sub("", _VERSION.sub("", name)), number
