"""A question and how it is to be searched in, passages and the trace of their finding out.

Puts transforms together with the base: its indexes, its documents' metadata, its generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from ragstack import registry
from ragstack.errors import InputError
from ragstack.filters import Filter, Where, both, parse
from ragstack.generate.prompts import Prompts
from ragstack.pipeline.answer import Answerer
from ragstack.pipeline.chat import lines_of
from ragstack.pipeline.parts import Parts
from ragstack.pipeline.retrieve import check_questions, visible
from ragstack.pipeline.seen import Seen
from ragstack.pipeline.transforms.desk import Circumstances
from ragstack.pipeline.transforms.fields import readable
from ragstack.pipeline.transforms.run import Found, Run
from ragstack.protocols import Query
from ragstack.types import DocumentInfo, Passage, Turn, Usage

__all__ = ["DEFAULT", "Finder", "Search"]

DEFAULT = "default"

_MOST_TURNS = 8  # of a conversation that a rewriting reads


@dataclass(frozen=True, slots=True)
class Search:
    """How a question is searched.

    Attributes:
        k: Passages; else as configured.
        where: Only chunks whose metadata match; see ``filters.parse``.
        asker: The user who asks and their groups.
        transforms: Names, in order; None is the configuration's choice, empty is none.
        conversation: What was said before, for ``rewrite``.
        today: The day it is taken to be; else today.
        seen: Told of every candidate, for who wants to show them; it changes nothing else.
    """

    k: int | None = None
    where: Where | None = None
    asker: Sequence[str] = ()
    collection: str = DEFAULT
    transforms: Sequence[str] | None = None
    conversation: tuple[Turn, ...] = ()
    today: date | None = None
    seen: Seen | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            InputError: A number of passages under 1, or a name where names are expected.
        """
        if self.k is not None and self.k < 1:
            raise InputError(f"k is how many passages to return, at least 1, got {self.k!r}")
        if isinstance(self.transforms, str):
            raise InputError(f"transforms is a list of names, got {self.transforms!r}")
        if isinstance(self.asker, str):
            raise InputError(f"asker is a list of names, got {self.asker!r}")


class Finder:
    """Finds passages in a base, by way of transforms. Safe to use from many threads.

    Args:
        parts: Of the base.
        prompts: Returns the prompts for a question.
        ready: Called with a collection before it is searched.
    """

    def __init__(
        self, parts: Parts, prompts: Callable[[str], Prompts], ready: Callable[[str], None]
    ) -> None:
        self._parts = parts
        self._prompts = prompts
        self.ready = ready

    def names(self, search: Search) -> tuple[str, ...]:
        """Return the transforms in force."""
        configured = self._parts.config.retrieve.transforms
        return configured if search.transforms is None else tuple(search.transforms)

    def find(self, question: str, search: Search) -> Found:
        """Return what is found for a question.

        Raises:
            InputError: A question that is blank.
            UnknownPlugin: No transform has one of the names.
            UnsupportedCapability: A transform needs what the generator cannot do.
        """
        check_questions([question])
        self.ready(search.collection)
        where = parse(search.where)

        def searched(queries: Sequence[Query], k: int, more: Filter | None) -> list[list[Passage]]:
            allowed = visible(both(where, more), search.asker)
            found: dict[str, list[Passage]] = {}
            for slots in dict.fromkeys(query.indexes for query in queries):
                some = [query for query in queries if query.indexes == slots]
                retriever = self._parts.retriever(search.collection, slots)
                texts = [query.text for query in some]
                rankings = retriever.find(texts, k=k, where=allowed, seen=search.seen)
                found |= {q.label: ranking for q, ranking in zip(some, rankings, strict=True)}
            return [found[query.label] for query in queries]

        run = Run(self._made, searched, self._circumstances(question, search), search.seen)
        k = self._parts.config.retrieve.k if search.k is None else search.k
        return run.find(question, self.names(search), k=k)

    def answerer(self, collection: str, generator: str = "") -> Answerer:
        """Return what makes answers of what is found in a collection.

        Args:
            generator: A name under ``[generators]``; empty is the configured one.
        """
        parts = self._parts
        found = parts.generator_named(generator)
        return Answerer(
            found,
            parts.config.answer,
            document=lambda one: parts.catalog.document(one, collection=collection),
            notes=parts.notes,
            before=parts.retriever(collection).before,
        )

    def _made(self, name: str) -> object:
        options = self._parts.config.transform.get(name, {})
        made: object = registry.create("transforms", name, options)
        return made

    def _circumstances(self, question: str, search: Search) -> Circumstances:
        parts, prompts = self._parts, self._prompts(question)
        catalog = parts.catalog
        known: list[list[DocumentInfo]] = []

        def documents() -> Sequence[DocumentInfo]:
            if not known:
                every = catalog.documents(collection=search.collection)
                known.append(readable(every, search.asker))
            return known[0]

        def trust(asked: str, passages: Sequence[Passage]) -> tuple[bool, float | None, Usage]:
            answerer = self.answerer(search.collection)
            return answerer.sufficient(asked, passages, prompts=prompts)

        return Circumstances(
            prompts=prompts,
            today=search.today or date.today(),
            history="\n".join(lines_of(search.conversation[-_MOST_TURNS:], prompts)),
            slots=tuple(parts.config.index),
            generator=lambda: parts.generator,
            documents=documents,
            trust=trust,
        )
