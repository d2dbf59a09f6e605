"""ChatRequests in, events out: the model alone, or the base where the model's name says so.

Knows no HTTP. Everything of one request happens in the thread that reads its events.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from ragstack import Stack
from ragstack.errors import InputError
from ragstack.pipeline.chat import standalone
from ragstack.types import Delta, Event
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.server.calls import Call
from ragstack_apps.server.errors import HttpError
from ragstack_apps.server.guard.guard import Guard
from ragstack_apps.server.schemas import ChatRequest
from ragstack_apps.server.served import ServedStack
from ragstack_apps.server.serving import Serving, ServingGenerator

__all__ = ["PREFIX", "Service", "Told"]

PREFIX = "ragstack/"
Told = tuple[int, Event]
"""An event, behind the place of its answer among those that were asked for."""


class Service:
    """A base and its generator, as requests see them. Safe to use from many threads.

    Attributes:
        generator: Serves each thread in its own manner.
        stack: The base, with that generator.
        guard: Limits, and what is told to metrics and traces.
        deadline_s: Seconds that a generation may take, its time in the queue with it.
        started: When this began, in seconds of the epoch.
    """

    def __init__(self, stack: Stack, guard: Guard, *, deadline_s: float) -> None:
        """Serve a base; its generator is found now, and loaded on first use.

        Args:
            guard: Told of every text that is written, and asked whether the caller may have it.
            deadline_s: Seconds that a generation may take, its time in the queue with it.

        Raises:
            ModelError: The generator's model cannot be had.
        """
        self.generator = ServingGenerator(stack.parts.generator, guard.observer)
        self.guard = guard
        # The same base, whose generator serves each thread in its own manner.
        self.stack = ServedStack(stack.folder, stack.config, generator=self.generator)
        self.stack.parts.notes = stack.parts.notes
        self.deadline_s = deadline_s
        self.started = int(time.time())

    @property
    def model(self) -> str:
        """The generator's name."""
        return self.generator.itself.name

    def models(self, caller: Caller | None = None) -> list[str]:
        """Return the names a request may give: the model, and one for each collection they see."""
        collections = self.stack.parts.catalog.collections()
        seen = [name for name in collections if caller is None or caller.sees(name)]
        return [self.model, *(PREFIX + name for name in seen)]

    def speeds(self) -> dict[str, float | None]:
        """Return tokens a second, written and read, of late; None before the first answer."""
        return self.generator.speeds()

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """Return the bytes of tokens."""
        return self.generator.pieces(tokens)

    def events(
        self, request: ChatRequest, call: Call, caller: Caller
    ) -> Generator[Told, None, None]:
        """Yield the answers to a request, each event with its answer's place; closing it stops all.

        Raises:
            HttpError: No model has the name, or the work was given up.
            RagstackError: As the generator and the base raise.
        """
        manner = Serving(
            caller.user or request.user or call.client,
            self.deadline_s,
            call.gone,
            request.background,
        )
        with (
            self.guard.answering.one(caller.limited_as),
            self.generator.serving(manner),
        ):
            answers: list[Iterator[Event]] = []
            try:
                # All are begun before the first is read: the engine writes them side by side.
                for place in range(request.choices):
                    answers.append(self._answer(request, place, caller))
                for place, event in _by_turns(answers):
                    cut = isinstance(event, Delta) and event.finish == "cancelled"
                    if cut or call.gone.is_set():
                        raise HttpError(503, "the answer was given up before its end")
                    yield place, event
            finally:
                for answer in answers:
                    close = getattr(answer, "close", None)
                    if close is not None:
                        close()

    def close(self) -> None:
        """Let go of the base. The generator is its owner's affair."""
        self.stack.close()

    def _answer(self, request: ChatRequest, place: int, caller: Caller) -> Iterator[Event]:
        if request.model == self.model:
            if request.alternatives is not None:
                self.generator.pieces([])
            sampling = request.sampling
            return self.generator.stream(
                request.messages,
                sampling=replace(sampling, seed=sampling.seed + place),
                tools=request.tools,
                grammar=request.grammar,
            )
        if request.model not in self.models(caller):
            raise HttpError(
                404,
                f"no model is named {request.model!r}; known: {', '.join(self.models(caller))}",
                code="model_not_found",
            )
        if request.tools or request.grammar:
            raise InputError(f"{request.model!r} answers from documents: no tools, no format")
        if request.choices > 1 or request.alternatives is not None:
            raise InputError(f"{request.model!r} answers from documents: n is 1, no logprobs")
        question = self._question(request)
        collection = request.model.removeprefix(PREFIX)
        return self.guard.observer.answer(
            self.stack.stream(
                question, collection=collection, asker=caller.asker, **request.retrieval
            ),
            collection,
        )

    def _question(self, request: ChatRequest) -> str:
        """Return the last message as a question that stands without those before it."""
        *before, last = request.messages
        if last.role != "user" or not last.text.strip():
            raise InputError("the last message is the question: a user's, and not blank")
        prompts = self.stack.prompts(last.text)
        names = {"user": prompts.texts["chat.question"], "assistant": prompts.texts["chat.answer"]}
        said = [f"{names[m.role]}: {m.text}" for m in before if m.role in names and m.text.strip()]
        turns = 2 * self.stack.config.answer.history_turns
        kept = said[-turns:] if turns else []
        return standalone(last.text, "\n".join(kept), self.generator, prompts)


def _by_turns(answers: Sequence[Iterator[Event]]) -> Iterator[Told]:
    left = dict(enumerate(answers))
    while left:
        for place, answer in tuple(left.items()):
            event = next(answer, None)
            if event is None:
                del left[place]
            else:
                yield place, event
