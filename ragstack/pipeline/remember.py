"""What an answer depends on, as the cache needs it: the state of the base, who asks, how."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import date

from ragstack.errors import IndexStateError
from ragstack.filters import parse
from ragstack.generate.prompts import Prompts
from ragstack.pipeline.catchup import behind
from ragstack.pipeline.find import Search
from ragstack.pipeline.kept import Asked, Cached, threshold_of
from ragstack.pipeline.parts import Parts
from ragstack.types import Answer

__all__ = ["Remembered"]


class Remembered:
    """One question at the cache, for the state that the base is in now.

    Args:
        manner: What else decides about the answer: transforms, style, quotes.
    """

    def __init__(
        self,
        parts: Parts,
        question: str,
        search: Search,
        prompts: Prompts,
        manner: tuple[object, ...],
    ) -> None:
        self._parts = parts
        self._question = question
        self._search = search
        self._prompts = prompts
        self._manner = manner
        self._asked = self._now()

    def get(self) -> Cached | None:
        """Return the answer to the same question in these or other words, where there is one."""
        cache = self._parts.answers
        return None if cache is None or self._asked is None else cache.get(self._asked)

    def put(self, answer: Answer) -> None:
        """Keep the answer, unless the base changed since the question was asked."""
        cache = self._parts.answers
        if cache is None or self._asked is None:
            return
        if self._scope() == self._asked.scope:
            cache.put(self._asked, answer)

    def _now(self) -> Asked | None:
        scope = self._scope()
        cache = self._parts.answers
        if not scope or cache is None:
            return None
        embedder = self._parts.embedder
        return Asked(
            question=self._question,
            collection=self._search.collection,
            scope=scope,
            key=self._key(),
            vector=embedder.embed_queries([self._question])[0],
            threshold=cache.threshold or threshold_of(embedder.fingerprint),
            strict=self._parts.config.cache.strict,
        )

    def _scope(self) -> str:
        """Return the state of the collection; empty where an index does not show it yet."""
        collection, catalog = self._search.collection, self._parts.catalog
        with suppress(IndexStateError):
            position = catalog.position(collection=collection)
            indexes = list(self._parts.indexes(collection).values())
            if any(behind(catalog, indexes, collection=collection)):
                return ""
            counts = catalog.counts(collection=collection)
            if catalog.position(collection=collection) == position:
                return f"{position}:{counts[0]}:{counts[1]}"
        return ""

    def _key(self) -> str:
        """Return a digest of all that must be equal beside the question and the base."""
        config, search, prompts = self._parts.config, self._search, self._prompts
        settings = (
            sorted(set(search.asker)),
            parse(search.where),
            search.k,
            # What transforms make of a question may depend on the day.
            (search.today or date.today()).isoformat(),
            self._manner,
            (prompts.language, prompts.version, sorted(prompts.texts.items())),
            self._parts.embedder.fingerprint,
            self._parts.generator.name,
            *(config.index, config.rerank, config.generate, config.generators),
            *(config.retrieve, config.answer, config.transform),
        )
        return hashlib.sha256(repr(settings).encode("utf-8", "surrogatepass")).hexdigest()
