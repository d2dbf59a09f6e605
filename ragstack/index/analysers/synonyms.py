"""A file of synonyms in, the phrases and what else they may be called out. Cuts no words.

Two layouts. A list of one's own, a line a group; ``#`` begins a comment, ``^`` a weight:

    ONU, Organisation des Nations unies
    voiture, automobile, auto ^ 0.5
    k8s => kubernetes

In a group each finds the others; with ``=>`` the left finds the right, and not the other way. And
the thesauri of LibreOffice (MyThes, ``th_fr_FR_v2.dat``): the coding, then entries, each ``word|n``
and n lines ``(kind)|synonym|synonym``; of these only single words are taken, for the words of a
phrase find too much (docs/LOG.md).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ragstack.errors import ConfigError

__all__ = ["Synonym", "read_synonyms"]

_GROUP_WEIGHT = 0.8
_THESAURUS_WEIGHT = 0.3  # measured on French questions: docs/LOG.md
_MOST_BYTES = 64_000_000
_MOST_IN_LINE = 64
_MOST_WEIGHT = 10.0


class Synonym(NamedTuple):
    """A phrase of a query, another that may stand for it, and what that counts then."""

    phrase: str
    other: str
    weight: float


def read_synonyms(file: Path, weight: float | None = None) -> list[Synonym]:
    """Return what a file says.

    Args:
        weight: Of a synonym whose line names none; None is 0.8 in a list, 0.3 in a thesaurus.

    Raises:
        ConfigError: It cannot be read, or a line is none of a list of synonyms.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"the synonyms in {str(file)!r} cannot be read: {error}") from error
    if len(raw) > _MOST_BYTES:
        raise ConfigError(f"the synonyms in {str(file)!r} are over {_MOST_BYTES:,} bytes")
    if file.suffix == ".dat":
        return list(_thesaurus(raw, file, _THESAURUS_WEIGHT if weight is None else weight))
    text = _decoded(raw, "utf-8-sig", file)
    found: list[Synonym] = []
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.partition("#")[0].strip()
        if said:
            found += _line(said, f"line {number} of {str(file)!r}", weight)
    return found


def _line(line: str, where: str, weight: float | None) -> Iterator[Synonym]:
    said, caret, given = line.partition("^")
    counts = _weight(given, where) if caret else (_GROUP_WEIGHT if weight is None else weight)
    left, arrow, right = said.partition("=>")
    phrases = [_phrases(side, where) for side in ([left, right] if arrow else [left])]
    if not arrow and len(phrases[0]) < 2:
        raise ConfigError(
            f"{where} has one phrase alone: {line!r}",
            hint="phrases of a group are parted by commas, or written a => b",
        )
    for phrase in phrases[0]:
        for other in phrases[-1]:
            if phrase != other:
                yield Synonym(phrase, other, counts)


def _phrases(side: str, where: str) -> list[str]:
    found = list(dict.fromkeys(each.strip() for each in side.split(",")))
    if not all(found):
        raise ConfigError(f"{where} has an empty phrase: {side.strip()!r}")
    if len(found) > _MOST_IN_LINE:
        raise ConfigError(f"{where} has {len(found)} phrases; at most {_MOST_IN_LINE} are a group")
    return found


def _weight(given: str, where: str) -> float:
    try:
        weight = float(given)
    except ValueError:
        weight = -1.0
    if not 0.0 <= weight <= _MOST_WEIGHT:
        raise ConfigError(
            f"{where} has the weight {given.strip()!r}; a number from 0 to {_MOST_WEIGHT:g}"
        )
    return weight


def _thesaurus(raw: bytes, file: Path, weight: float) -> Iterator[Synonym]:
    head, _, body = raw.partition(b"\n")
    coding = head.strip().decode("ascii", "replace")
    try:
        codecs.lookup(coding)
    except LookupError as error:
        raise ConfigError(
            f"the thesaurus {str(file)!r} begins with {coding[:40]!r}, not with a coding"
        ) from error
    lines = _decoded(body, coding, file).split("\n")
    place = 0
    while place < len(lines):
        phrase, bar, count = lines[place].strip().rpartition("|")
        place += 1
        if not bar:
            continue
        if not count.isdecimal() or int(count) > len(lines) - place:
            raise ConfigError(f"line {place + 1} of {str(file)!r} does not say how many follow it")
        for line in lines[place : place + int(count)]:
            for other in _entries(line):
                if other != phrase and phrase.isalpha():
                    yield Synonym(phrase, other, weight)
        place += int(count)


def _entries(line: str) -> Sequence[str]:
    # "(Nom)|mot|autre (Antonyme)": the kind first, and a remark behind some.
    others = [each.strip() for each in line.split("|")[1:]]
    found = [each.partition(" (")[0] for each in others if "ntonym" not in each]
    return [each for each in found if each.isalpha()]


def _decoded(raw: bytes, coding: str, file: Path) -> str:
    try:
        return raw.decode(coding)
    except (UnicodeDecodeError, LookupError) as error:
        raise ConfigError(
            f"the synonyms in {str(file)!r} are not in {coding}: {error}",
            hint="save the file as UTF-8",
        ) from error
