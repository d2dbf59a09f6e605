"""A Stack as a server has it: one writer at a time, prompts as edited, a manner for each thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragstack import Stack
from ragstack.config import Config
from ragstack.generate.prompts import Prompts
from ragstack.pipeline.asking import Manner
from ragstack.pipeline.chat import Chat, History
from ragstack.pipeline.find import Search
from ragstack.protocols import Generator
from ragstack.types import Event

__all__ = ["ServedStack"]


class ServedStack(Stack):
    """A base that many threads search while one of them writes.

    Attributes:
        writer: Held by the thread that writes.
    """

    def __init__(self, folder: Path, config: Config, *, generator: Generator | None = None) -> None:
        self.writer = threading.RLock()
        self._edited: dict[str, dict[str, str]] | None = None
        self._told = threading.local()
        super().__init__(folder, config, generator=generator)

    def prompts(self, question: str) -> Prompts:
        """Return the prompts as they were edited, with what this thread's assistant is told."""
        prompts = super().prompts(question)
        texts = {**prompts.texts, **self.edited().get(prompts.language, {})}
        told: str = getattr(self._told, "text", "")
        if told:
            texts["answer.system"] = f"{texts['answer.system']}\n{told}"
        return replace(prompts, texts=texts)

    def answering(
        self, question: str, search: Search, manner: Manner, *, chat: str = "", again: bool = False
    ) -> Iterator[Event]:
        """Yield the events of an answer, as ``stream`` and a chat's do, for a search as it is.

        Args:
            chat: Id of the conversation that it is a turn of.
            again: Its last turn is answered anew, and replaced.

        Raises:
            InputError: ``again`` in a chat that has no turn yet.
        """
        if not chat:
            return self._asking.stream(question, search, manner)

        def answered(alone: str, **_manner: object) -> Iterator[Event]:
            return self._asking.stream(alone, search, manner)

        catalog, keep = self.parts.catalog, self.config.answer.history_turns
        history = History(catalog, chat, keep=keep, asker=search.asker)
        found = Chat(
            history, generator=lambda: self.parts.generator, prompts=self.prompts, answer=answered
        )
        return found.stream(question, again=again)

    def edited(self) -> Mapping[str, Mapping[str, str]]:
        """Return the prompts that were edited: by language, then by name."""
        if self._edited is None:
            found: dict[str, dict[str, str]] = {}
            for record in self.parts.catalog.records("prompt"):
                if not record.body.get("original"):
                    texts = found.setdefault(str(record.body["language"]), {})
                    texts[str(record.body["name"])] = str(record.body["text"])
            self._edited = found
        return self._edited

    def forget_edited(self) -> None:
        """Read the edited prompts anew when they are needed."""
        self._edited = None

    @contextmanager
    def told(self, text: str) -> Iterator[None]:
        """Tell the generator this, in this thread, beside its rules."""
        self._told.text = text
        try:
            yield
        finally:
            self._told.text = ""

    def delete(self, *sources: Any, collection: str = "default") -> int:
        """Remove documents; while another thread writes, their places in indexes go with it."""
        if self.writer.acquire(blocking=False):
            try:
                return super().delete(*sources, collection=collection)
            finally:
                self.writer.release()
        # What is in no catalog is in no answer; whoever writes brings the indexes up at its end.
        catalog = self.parts.catalog
        known = {info.id for info in catalog.documents(collection=collection)}
        return catalog.remove([s for s in map(str, sources) if s in known], collection=collection)

    def _catch_up_if_free(self, collection: str) -> None:
        # Two threads of one process hold the same lock file, and would index side by side.
        if self.writer.acquire(blocking=False):
            try:
                super()._catch_up_if_free(collection)
            finally:
                self.writer.release()
