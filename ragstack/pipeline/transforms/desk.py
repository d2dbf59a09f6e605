"""The desk a transform works at: prompts filled, the generator held to a shape, tokens counted.

Knows no index and no catalog: what the base tells comes as functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ragstack.errors import ContextOverflow, UnsupportedCapability
from ragstack.filters import Filter, matches
from ragstack.generate.prompts import Prompts
from ragstack.pipeline.transforms.fields import fields_of
from ragstack.protocols import Field, Generator
from ragstack.types import DocumentInfo, JsonSchema, Message, Passage, Sampling, Usage

__all__ = ["MOST_CHARACTERS", "Circumstances", "WorkingDesk"]

MOST_CHARACTERS = 2_000
"""Of a question that a prompt shows; what is beyond is searched, but no generator reads it."""

_MOST_OF_ANY = 8_000  # characters of any other value in a prompt

Trust = Callable[[str, Sequence[Passage]], tuple[bool, float | None, Usage]]


@dataclass(frozen=True)
class Circumstances:
    """What is the same for all transforms of one question.

    Attributes:
        generator: Returns the generator; called only where one is needed.
        documents: Returns what is known of the documents that the asker may read.
        trust: Returns whether passages hold the answer to a question, the trust, what it took.
    """

    prompts: Prompts
    today: date
    history: str
    slots: tuple[str, ...]
    generator: Callable[[], Generator]
    documents: Callable[[], Sequence[DocumentInfo]]
    trust: Trust


class WorkingDesk:
    """A Desk of one transform at one question; keeps what the trace tells of it.

    Attributes:
        notes: Lines for the trace.
        told: Lines for whoever reads the answer.
        usage: What the generator took.
    """

    def __init__(self, around: Circumstances) -> None:
        self._around = around
        self.notes: list[str] = []
        self.told: list[str] = []
        self.usage = Usage()

    @property
    def language(self) -> str:
        """Of the question."""
        return self._around.prompts.language

    @property
    def today(self) -> date:
        """The day it is taken to be."""
        return self._around.today

    @property
    def history(self) -> str:
        """The conversation so far."""
        return self._around.history

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the indexes."""
        return self._around.slots

    def documents(self) -> Sequence[DocumentInfo]:
        """Return what is known of the documents that the asker may read, by source."""
        return self._around.documents()

    def fields(self) -> tuple[Field, ...]:
        """Return the metadata fields of what the asker may read, by name."""
        return fields_of(info.meta for info in self.documents())

    def matching(self, where: Filter) -> int:
        """Return how many documents that the asker may read match a condition."""
        return sum(matches(where, info.meta, info.readers) for info in self.documents())

    def ask(
        self, messages: Sequence[Message], shape: Mapping[str, object], *, max_tokens: int
    ) -> Mapping[str, Any]:
        """Return what the generator writes under the JSON schema of an object; empty: nothing.

        Raises:
            UnsupportedCapability: The generator cannot be held to a JSON schema.
        """
        generator = self._around.generator()
        if "json_schema" not in generator.capabilities.grammars:
            raise UnsupportedCapability(
                f"the generator {generator.name!r} cannot be held to a JSON schema",
                hint="use a local model, or transforms that work by rule",
            )
        pieces: list[str] = []
        try:
            for delta in generator.stream(
                messages, sampling=Sampling(max_tokens=max_tokens), grammar=JsonSchema(shape)
            ):
                pieces.append(delta.text)
                self.usage += delta.usage or Usage()
        except ContextOverflow:
            self.note("the question does not fit into the generator's window")
            return {}
        try:
            found = json.loads("".join(pieces))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.note("the generator did not keep to the schema")
            return {}
        return found

    def write(
        self, prompt: str, shape: Mapping[str, object], *, max_tokens: int, **values: str
    ) -> Mapping[str, Any]:
        """Return what ``ask`` does for one of ragstack's own prompts: ``transform.NAME``."""
        prompts = self._around.prompts
        most = {"question": MOST_CHARACTERS}
        cut = {name: value[: most.get(name, _MOST_OF_ANY)] for name, value in values.items()}
        user = prompts.render(f"transform.{prompt}", **cut)
        messages = [Message("system", prompts.texts["transform.system"]), Message("user", user)]
        return self.ask(messages, shape, max_tokens=max_tokens)

    def trust(self, question: str, passages: Sequence[Passage]) -> tuple[bool, float | None]:
        """Return whether the passages hold the answer, and the judge's trust where it scores."""
        enough, trust, usage = self._around.trust(question, passages)
        self.usage += usage
        return enough, trust

    def say(self, name: str, **values: str) -> str:
        """Return a text to the asker in the question's language."""
        return self._around.prompts.render(f"transform.{name}", **values)

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        self.notes.append(line)

    def tell(self, line: str) -> None:
        """Add a line for whoever reads the answer, and to the trace."""
        self.told.append(line)
        self.notes.append(line)
