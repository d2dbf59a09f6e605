"""``route``: by the kind and difficulty of a question, how it is searched and answered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from ragstack.errors import ConfigError
from ragstack.pipeline.transforms.decompose import parts_of
from ragstack.pipeline.transforms.shapes import shape
from ragstack.pipeline.words import content_words, fold, words
from ragstack.protocols import Desk, Plan

__all__ = ["KINDS", "Route", "Way", "kind_of"]

Kind = Literal["greeting", "exact", "easy", "several", "broad", "hard"]
KINDS: tuple[Kind, ...] = ("greeting", "exact", "easy", "several", "broad", "hard")
"""Kinds of question: no question at all; an identifier or quotation to be found; one fact; several
questions in one, or a comparison; an overview; one that asks for reasons."""

_LONGEST = 2_000  # characters that the rules look at
_EASY_WORDS = 12
_GREETINGS = frozenset(
    word.form
    for word in words(
        "hello hi hey thanks thank you bye good morning evening afternoon day there very much ok "
        "okay bonjour bonsoir salut merci au revoir beaucoup coucou"
    )
)
_CODE = re.compile(r"\b(?:[A-Z]{2,}[-_/]?\d[\w./-]*|\d+[-/][A-Z]\w*|[a-z]+_[a-z_]+|\w+\(\))")
_QUOTED = re.compile(r"[\"“«][^\"”»]{2,200}[\"”»]")
_BROAD = re.compile(
    r"\b(?:summar\w*|overview|outline|in general|list all|all the|resume\w*|apercu|synthese|"
    r"en general|vue d'ensemble|tous les|toutes les)\b"
)
_HARD = re.compile(r"\b(?:why|how come|explain|pourquoi|explique\w*|consequences?|implications?)\b")


class _Chosen(TypedDict):
    kind: Literal["greeting", "exact", "easy", "several", "broad", "hard"]


@dataclass(frozen=True, slots=True)
class Way:
    """What is done with questions of one kind; what is left empty stays as it was asked.

    Attributes:
        indexes: Slots the question is searched in.
        k: Passages.
        transforms: Applied after this one.
        style: Of the answer.
        generator: A name under ``[generators]``.
        search: False: nothing is searched, and the reply says what can be asked.
    """

    indexes: tuple[str, ...] = ()
    k: int | None = None
    transforms: tuple[str, ...] = ()
    style: str = ""
    generator: str = ""
    search: bool = True


_WAYS: Mapping[str, Way] = {
    "greeting": Way(search=False),
    "exact": Way(indexes=("lexical",)),
    "easy": Way(),
    "several": Way(k=10, transforms=("decompose",)),
    "broad": Way(k=12),
    "hard": Way(k=10),
}
_FIELDS = frozenset({"indexes", "k", "transforms", "style", "generator", "search"})


class Route:
    """Chooses a way by the kind of the question, as Adaptive-RAG does (arXiv:2403.14403).

    Args:
        by: ``rule`` looks at words and signs, ``generator`` asks it for the kind.
        ways: Ways by kind, laid over the built-in ones: ``{"hard": {"generator": "large"}}``.

    Raises:
        ConfigError: A kind or a way that cannot be.
    """

    def __init__(self, *, by: str = "rule", ways: Mapping[str, Any] | None = None) -> None:
        if by not in ("rule", "generator"):
            raise ConfigError(f"route works by 'rule' or 'generator', got {by!r}")
        self._by = by
        self._ways: dict[str, Way] = {
            kind: _way(kind, (ways or {}).get(kind, {})) for kind in KINDS
        }
        unknown = [kind for kind in ways or {} if kind not in self._ways]
        if unknown:
            raise ConfigError(f"no kind of question is {unknown[0]!r}; known: {', '.join(KINDS)}")

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        """Return the plan on the way that its kind takes."""
        kind: str = kind_of(plan.question)
        if self._by == "generator" and kind != "greeting":
            written = desk.write(
                "route", shape(_Chosen, characters=20), max_tokens=20, question=plan.question
            )
            chosen = written.get("kind")
            # A question that is one by rule is searched, whatever the generator says.
            if isinstance(chosen, str) and chosen in self._ways and chosen != "greeting":
                kind = chosen
        way = self._ways[kind]
        desk.note(f"kind: {kind}")
        if not way.search:
            return replace(plan, reply=desk.say("no_question"))
        queries = tuple(
            replace(query, indexes=way.indexes or query.indexes)
            if query.label == "question"
            else query
            for query in plan.queries
        )
        return replace(
            plan,
            queries=queries,
            k=way.k if plan.k is None else plan.k,
            style=way.style or plan.style,
            generator=way.generator or plan.generator,
            then=(*plan.then, *way.transforms),
        )


def kind_of(question: str) -> Kind:
    """Return the kind of an English or French question, by its words and signs."""
    text = question[:_LONGEST]
    folded = fold(text)
    said = [word.form for word in words(text)]
    if said and len(said) <= 6 and "?" not in text and set(said) <= _GREETINGS:
        return "greeting"
    if _QUOTED.search(text) or _CODE.search(text):
        return "exact"
    if _BROAD.search(folded):
        return "broad"
    if len(parts_of(text)) > 1:
        return "several"
    if _HARD.search(folded) or len(content_words(text)) > _EASY_WORDS:
        return "hard"
    return "easy"


def _way(kind: str, given: object) -> Way:
    if not isinstance(given, Mapping) or set(given) - _FIELDS:
        raise ConfigError(
            f"the way of {kind!r} is {given!r}, expected a table of: {', '.join(sorted(_FIELDS))}"
        )
    lists = {
        key: _texts(kind, key, given[key]) for key in ("indexes", "transforms") if key in given
    }
    way = replace(_WAYS[kind], **{**given, **lists})
    texts = isinstance(way.style, str) and isinstance(way.generator, str)
    number = way.k is None or (type(way.k) is int and way.k >= 1)
    if not texts or not number or not isinstance(way.search, bool):
        raise ConfigError(f"the way of {kind!r} is {given!r}: k is 1 or more, the others are names")
    if "route" in way.transforms:
        raise ConfigError(f"the way of {kind!r} leads to 'route' again")
    return way


def _texts(kind: str, key: str, value: object) -> tuple[str, ...]:
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    found = tuple(value) if isinstance(value, Sequence) else ()
    if not listed or not all(isinstance(one, str) for one in found):
        raise ConfigError(f"{key} of the way of {kind!r} is a list of names, got {value!r}")
    return found
