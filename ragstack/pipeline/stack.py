"""The Stack: a base in a folder, and everything a program does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from ragstack import config as configuration
from ragstack import registry
from ragstack.catalog.lock import WriteLock
from ragstack.config import Config
from ragstack.errors import BaseLocked, InputError
from ragstack.filters import Where
from ragstack.generate import prompts as prompt_files
from ragstack.pipeline.asking import Asking, Manner
from ragstack.pipeline.attribute import Said, attribute
from ragstack.pipeline.chat import Chat, History, last_answer, may_open
from ragstack.pipeline.facets import Facet, facets
from ragstack.pipeline.find import DEFAULT, Finder, Search
from ragstack.pipeline.ingest import Step
from ragstack.pipeline.intake import Intake, take_in
from ragstack.pipeline.parts import Parts
from ragstack.pipeline.places import places_of
from ragstack.pipeline.retrieve import MinScore, above, check_questions, visible
from ragstack.pipeline.roots import note_roots
from ragstack.pipeline.sources import fetched, is_named, names_of
from ragstack.pipeline.sync import Synced, sync_place
from ragstack.pipeline.transforms.run import Found
from ragstack.pipeline.upkeep import apply_journal, is_behind, statistics
from ragstack.pipeline.words import language_of
from ragstack.protocols import Connector, Generator
from ragstack.types import (
    Answer,
    Attribution,
    Document,
    DocumentInfo,
    Event,
    IngestReport,
    Meta,
    Passage,
)

__all__ = ["DEFAULT", "Stack"]


class Stack:
    """A base of documents that can be searched and asked. Safe to use from many threads.

    Example:
        >>> with Stack.open("kb") as stack:
        ...     stack.ingest("docs/")
        ...     answer = stack.ask("Who pays?")
    """

    def __init__(self, folder: Path, config: Config, *, generator: Generator | None = None) -> None:
        self.folder = folder
        self.config = config
        self.parts = Parts(folder, config, generator=generator)
        self._lock = WriteLock(folder)
        self._finder = Finder(self.parts, self.prompts, self._catch_up_if_free)
        self._asking = Asking(self.parts, self._finder, self.prompts)

    @classmethod
    def open(
        cls,
        base: str | Path | None = None,
        *,
        config: Config | None = None,
        overrides: Mapping[str, Any] | None = None,
        generator: Generator | None = None,
    ) -> Stack:
        """Return the base in a folder; it is created on first use.

        Args:
            base: The folder; else ``RAGSTACK_BASE``, else ``.ragstack`` here.
            config: Used as it is; else file and environment are read.
            overrides: Laid over the configuration, nested like the file.
            generator: Used in place of the configured one.

        Raises:
            ConfigError: The configuration cannot be used.
            BaseVersionError: The base was written by a newer ragstack.
        """
        folder = configuration.base_folder(base)
        if folder.exists() and not folder.is_dir():
            raise InputError(
                f"a base is a folder, {str(folder)!r} is a file",
                hint="name the folder that holds the base, or one that is to be made",
            )
        found = config or configuration.load(folder, overrides=overrides)
        return cls(folder, found, generator=generator)

    def ingest(
        self,
        *sources: str | Path | Connector,
        collection: str = DEFAULT,
        meta: Meta | None = None,
        readers: Sequence[str] = (),
        progress: Callable[[Step], None] | None = None,
    ) -> IngestReport:
        """Take files, folders and connectors in, and return what happened to each source.

        What is unchanged costs nothing, what changed replaces its chunks, and what has gone from a
        folder given here goes from every index. A source that cannot be read is in the report.

        Args:
            meta: Added to every document's metadata, for filters.
            readers: Users and groups who may see these documents; empty is everyone.
            progress: Called after every step.

        Raises:
            NotFound: A path that is not there.
            BaseLocked: Another process is writing to this base.
            EmbedderMismatch: The base was built with another embedder.
        """
        paths = [str(source) for source in sources if isinstance(source, (str, Path))]
        connectors: list[Any] = [s for s in sources if not isinstance(s, (str, Path))]
        roots: list[str] = []
        if paths:
            ignore = self.config.ingest.ignore_file
            files = registry.load("connectors", "files")(
                paths, ignore_file=ignore, max_bytes=self.config.ingest.max_bytes
            )
            connectors.insert(0, files)
            roots = [Path(path).resolve().as_posix() for path in paths]
        intake = Intake(collection, roots, meta, readers, progress)
        with self.writing():
            catalog = self.parts.catalog
            note_roots(catalog, connectors, collection=collection, readers=readers)
            return take_in(self.parts, self.folder, lambda fail: fetched(connectors, fail), intake)

    def sync(
        self,
        *names: str,
        full: bool = False,
        progress: Callable[[Step], None] | None = None,
    ) -> list[Synced]:
        """Bring in what changed in the places of ``[sync.NAME]``; one that fails stops no other.

        Args:
            names: Which places; else all.
            full: Ask each place for everything, whatever was seen before.
            progress: Called after every step.

        Raises:
            ConfigError: A place that is not configured, or not as it has to be.
        """
        places = places_of(self.config.sync, names)
        return [sync_place(self, place, full=full, progress=progress) for place in places]

    def search(  # noqa: PLR0913 (keyword arguments, of every search)
        self,
        question: str,
        *,
        k: int | None = None,
        where: Where | None = None,
        asker: Sequence[str] = (),
        collection: str = DEFAULT,
        min_score: MinScore | None = None,
        transforms: Sequence[str] | None = None,
    ) -> list[Passage]:
        """Return the best passages for a question, best first, each with its trail of scores.

        Args:
            k: How many; else as configured.
            min_score: Leave out what scores less: at the end, or by stage, ``{"vector": 0.3}``.
            transforms: What is done with the question, by name and in order; else as configured.
            where: Only chunks whose metadata match: ``{"language": "fr"}``. See ``filters.parse``.
            asker: The user who asks and their groups; documents with readers show to those alone.
        """
        found = self.find(question, Search(k, where, asker, collection, transforms))
        return above(found.passages, min_score)

    def find(self, question: str, search: Search | None = None) -> Found:
        """Return what is found for a question, with the plan, a verdict and the trace of each step.

        Raises:
            UnknownPlugin: No transform has one of the names.
        """
        return self._finder.find(question, search or Search())

    def search_many(
        self,
        questions: Sequence[str],
        *,
        k: int | None = None,
        where: Where | None = None,
        asker: Sequence[str] = (),
        collection: str = DEFAULT,
        min_score: MinScore | None = None,
    ) -> list[list[Passage]]:
        """Return the best passages for each question; the batch is searched together, as it is."""
        check_questions(questions)
        if k is not None and k < 1:
            raise InputError(f"k is how many passages to return, at least 1, got {k!r}")
        self._catch_up_if_free(collection)
        retriever = self.parts.retriever(collection)
        wanted = self.config.retrieve.k if k is None else k
        found = retriever.find(questions, k=wanted, where=visible(where, asker))
        return [above(passages, min_score) for passages in found]

    def ask(  # noqa: PLR0913 (keyword arguments, of every answer)
        self,
        question: str,
        *,
        style: str | None = None,
        where: Where | None = None,
        asker: Sequence[str] = (),
        collection: str = DEFAULT,
        quotes: bool | None = None,
        transforms: Sequence[str] | None = None,
    ) -> Answer:
        """Return an answer in which every citation is a verbatim quote, checked against its source.

        Args:
            style: ``brief`` is a phrase or a number, ``normal`` a few sentences, ``detailed`` more.
            quotes: The generator first copies quotes, which it can only copy, and the answer is
                held against these alone; else as configured.
            transforms: As of ``search``.

        Raises:
            ModelUnavailable: The generator's model is not on this machine.
        """
        events = self.stream(
            question,
            style=style,
            where=where,
            asker=asker,
            collection=collection,
            quotes=quotes,
            transforms=transforms,
        )
        return last_answer(events)

    def stream(  # noqa: PLR0913 (keyword arguments, of every answer)
        self,
        question: str,
        *,
        style: str | None = None,
        where: Where | None = None,
        asker: Sequence[str] = (),
        collection: str = DEFAULT,
        quotes: bool | None = None,
        transforms: Sequence[str] | None = None,
    ) -> Iterator[Event]:
        """Yield what was found (Retrieved), the text as it comes (Delta), the checked Answer."""
        search = Search(None, where, asker, collection, transforms)
        return self._asking.stream(question, search, Manner(style, quotes))

    def attribute(
        self,
        question: str,
        answer: Answer | None = None,
        *,
        style: str | None = None,
        collection: str = DEFAULT,
        exact: bool = False,
    ) -> Attribution:
        """Return which of its passages made an answer likely, by leaving out each of them.

        Args:
            answer: What ``ask`` gave for this question in this style; else it is asked now.
            exact: Read the prompt anew without each passage, which takes as long as reading does;
                else the passage is forgotten from what was read, where the generator can.

        Raises:
            UnsupportedCapability: The generator gives no log-probabilities.
        """
        style = style or self.config.answer.style
        answer = answer or self.ask(question, style=style, collection=collection)
        answerer, prompts = self._finder.answerer(collection), self.prompts(question)
        return attribute(answerer, Said(question, answer, style), prompts, exact=exact)

    def chat(
        self,
        chat_id: str,
        *,
        collection: str = DEFAULT,
        asker: Sequence[str] = (),
        transforms: Sequence[str] | None = None,
    ) -> Chat:
        """Return a conversation stored under this id; a new one when there is none.

        Raises:
            NotFound: It was led with rights that the asker has not.
        """
        if not chat_id.strip():
            raise InputError("a chat has an id that is not blank")
        parts, keep = self.parts, self.config.answer.history_turns
        return Chat(
            History(parts.catalog, chat_id, keep=keep, asker=asker),
            generator=lambda: parts.generator,
            prompts=self.prompts,
            answer=partial(
                self.stream, collection=collection, asker=tuple(asker), transforms=transforms
            ),
        )

    def chats(self, *, asker: Sequence[str] | None = None) -> list[str]:
        """Return the ids of the stored conversations, the latest first.

        Args:
            asker: Only those that these may open; None is whoever runs the base.
        """
        catalog = self.parts.catalog
        found = catalog.chats()
        return [c for c in found if asker is None or may_open(catalog, c, asker)]

    def facets(
        self,
        field: str,
        *,
        where: Where | None = None,
        asker: Sequence[str] = (),
        collection: str = DEFAULT,
    ) -> list[Facet]:
        """Return the values of a metadata field and how many documents hold each.

        Args:
            where: Only documents whose own metadata match.
            asker: Documents with readers count for those alone.
        """
        return facets(self.parts.catalog, field, collection=collection, where=where, asker=asker)

    def delete(self, *sources: str | Path, collection: str = DEFAULT) -> int:
        """Remove documents by source address, path, folder or document id; return how many went."""
        wanted = [names_of(source) for source in sources]
        with self.writing():
            known = self.documents(collection=collection)
            gone = [info.id for info in known if any(is_named(info, names) for names in wanted)]
            removed = self.parts.catalog.remove(gone, collection=collection)
            if removed:
                apply_journal(self.parts, collection, lambda _step: None)
        return removed

    def document(self, document_id: str, *, collection: str = DEFAULT) -> Document | None:
        """Return a document with its text and marks, or None."""
        return self.parts.catalog.document(document_id, collection=collection)

    def documents(self, *, collection: str = DEFAULT) -> list[DocumentInfo]:
        """Return what is known of each document, by source."""
        return list(self.parts.catalog.documents(collection=collection))

    def stats(self, *, collection: str = DEFAULT) -> dict[str, Any]:
        """Return counts, sizes and what the base was made with."""
        return statistics(self.parts, collection)

    def prompts(self, question: str) -> prompt_files.Prompts:
        """Return the prompts in the language of the question, or in the one configured."""
        chosen = self.config.answer.language
        return prompt_files.load(language_of(question) if chosen == "auto" else chosen)

    def close(self) -> None:
        """Let go of models and files. A second call does nothing."""
        self.parts.close()

    def __enter__(self) -> Stack:
        """Return the stack itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the stack."""
        self.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write; again is fine. A reader that catches up is waited for.

        Raises:
            BaseLocked: Another process is writing.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            yield

    def catch_up(self, collection: str = DEFAULT) -> None:
        """Bring every index up to the catalog; done by itself on searching and ingesting."""
        with self.writing():
            self._bring_up(collection)

    def _bring_up(self, collection: str) -> None:
        self.parts.mend(collection)
        apply_journal(self.parts, collection, lambda _step: None)

    def _catch_up_if_free(self, collection: str) -> None:
        """Bring indexes up that a killed writer left behind, unless another one is at work."""
        if is_behind(self.parts, collection):
            with suppress(BaseLocked), self._lock.passing():
                self._bring_up(collection)
