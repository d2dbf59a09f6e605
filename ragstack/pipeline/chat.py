"""A stored conversation: follow-ups are rewritten to stand alone, old turns are summarised."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Protocol

from ragstack.errors import Cancelled, InputError, NotFound
from ragstack.filters import Where
from ragstack.generate.prompts import Prompts
from ragstack.pipeline.words import content_words
from ragstack.protocols import Conversations, Generator, Settings
from ragstack.types import Answer, Event, Message, Sampling, Turn

__all__ = ["Chat", "History", "acceptable", "last_answer", "lines_of", "may_open", "standalone"]

_REWRITE_TOKENS = 96
_SUMMARY_TOKENS = 200
_SUMMARY_SHARE = 0.25  # of the generator's window that a conversation may take
_RIGHTS = "chat.rights:"  # name of a setting, before the chat's id
_MOST_GROWTH = 4  # a rewritten question this many times as long answers instead of asking


class Store(Conversations, Settings, Protocol):
    """Where chats are kept, and with which rights they were led."""


def rights_of(store: Settings, chat_id: str) -> set[str]:
    """Return the rights with which questions were asked in a chat."""
    return set(json.loads(store.setting(_RIGHTS + chat_id) or "[]"))


def may_open(store: Settings, chat_id: str, asker: Sequence[str]) -> bool:
    """Return whether the asker has every right with which the chat was led."""
    return rights_of(store, chat_id) <= set(asker)


class History:
    """The turns of one chat as a generator reads them: a summary of the oldest, then the latest.

    What was answered may show what only the asker may read. So a chat keeps the rights of everyone
    who asked in it, and opens only to who has them all.

    Args:
        asker: The user who asks and their groups.

    Raises:
        NotFound: The chat was led with rights that the asker has not; as if there were none.
    """

    def __init__(self, store: Store, chat_id: str, *, keep: int, asker: Sequence[str] = ()) -> None:
        self._replacing = False
        self.store = store
        self.chat_id = chat_id
        self.keep = keep
        self._rights = rights_of(store, chat_id) | set(asker)
        if not may_open(store, chat_id, asker):
            raise NotFound(f"there is no chat {chat_id!r} for who asks")

    def before_last(self) -> History:
        """Return it without its last turn, in whose place the next one is stored.

        Raises:
            InputError: There is no turn.
        """
        if not self.turns():
            raise InputError(f"the chat {self.chat_id!r} has no answer to be given again")
        found = copy(self)
        found._replacing = True
        return found

    def turns(self) -> list[Turn]:
        """Return every turn, oldest first."""
        found = self.store.turns(self.chat_id)
        return found[:-1] if self._replacing else found

    def append(self, turn: Turn) -> None:
        """Store a turn at the end."""
        if self._rights != rights_of(self.store, self.chat_id):
            # First, so that a kill in between leaves the chat closed rather than open.
            self.store.set_setting(_RIGHTS + self.chat_id, json.dumps(sorted(self._rights)))
        if self._replacing:
            self.store.replace_turn(self.chat_id, turn)
        else:
            self.store.append_turn(self.chat_id, turn)

    def text(self, prompts: Prompts) -> str:
        """Return the conversation as text: the summary and the turns it does not cover."""
        summary, covers = self._summary()
        lines = [f"{prompts.texts['chat.summary']}: {summary}"] if summary else []
        return "\n".join([*lines, *lines_of(self.turns()[covers:], prompts)])

    def shorten(self, generator: Generator, prompts: Prompts) -> None:
        """Summarise the oldest turns when there are more than ``keep``, or they fill the window."""
        turns = self.turns()
        summary, covers = self._summary()
        fresh = turns[covers:]
        room = int(generator.context_size * _SUMMARY_SHARE)
        over = len(fresh) > self.keep or _size(generator, self.text(prompts)) > room
        if not over or len(fresh) < 2:
            return
        aged = fresh[: max(1, len(fresh) - self.keep // 2)]
        lines = [f"{prompts.texts['chat.summary']}: {summary}"] if summary else []
        history = _fitting([*lines, *lines_of(aged, prompts)], room * 2, generator)
        text = _complete(
            generator,
            prompts.texts["chat.summary_system"],
            prompts.render("chat.summary_user", history=history),
            _SUMMARY_TOKENS,
        )
        self.store.set_summary(self.chat_id, text, covers + len(aged))

    def _summary(self) -> tuple[str, int]:
        """Return the summary and how many turns it covers; none that tells of a replaced one."""
        summary, covers = self.store.summary(self.chat_id)
        return (summary, covers) if covers <= len(self.turns()) else ("", 0)


class Chat:
    """A stored conversation: a follow-up is rewritten into a question that stands alone."""

    def __init__(
        self,
        history: History,
        *,
        generator: Callable[[], Generator],
        prompts: Callable[[str], Prompts],
        answer: Callable[..., Iterator[Event]],
    ) -> None:
        self.history = history
        self._generator = generator
        self._prompts = prompts
        self._answer = answer

    @property
    def id(self) -> str:
        """The id it is stored under."""
        return self.history.chat_id

    def turns(self) -> list[Turn]:
        """Return the turns so far, oldest first."""
        return self.history.turns()

    def ask(
        self,
        question: str,
        *,
        style: str | None = None,
        where: Where | None = None,
        quotes: bool | None = None,
        again: bool = False,
    ) -> Answer:
        """Return the answer to a question that may refer to what was said before."""
        events = self.stream(question, style=style, where=where, quotes=quotes, again=again)
        return last_answer(events)

    def stream(
        self,
        question: str,
        *,
        style: str | None = None,
        where: Where | None = None,
        quotes: bool | None = None,
        again: bool = False,
    ) -> Iterator[Event]:
        """Yield the events of the answer; the turn is stored when it is complete.

        Args:
            quotes: As of ``Stack.stream``; None is the configuration's choice.
            again: The last turn is asked as if it had not been; the new one takes its place.

        Raises:
            InputError: ``again`` where there is no turn.
        """
        history = self.history.before_last() if again else self.history
        prompts = self._prompts(question)
        alone = question
        if history.turns():
            generator = self._generator()
            history.shorten(generator, prompts)
            alone = standalone(question, history.text(prompts), generator, prompts)
        for event in self._answer(alone, style=style, where=where, quotes=quotes):
            if isinstance(event, Answer):
                history.append(Turn(question, event.text, alone))
            yield event

    def delete(self) -> bool:
        """Forget the conversation; return whether there was one."""
        there = self.history.store.delete_chat(self.id)
        self.history.store.set_setting(_RIGHTS + self.id, None)
        return there


def last_answer(events: Iterator[Event]) -> Answer:
    """Return the answer that ends a stream of events.

    Raises:
        Cancelled: The stream was cut off before its end.
    """
    answer = None
    for event in events:
        if isinstance(event, Answer):
            answer = event
    if answer is None:
        raise Cancelled("the answer was cut off before its end")
    return answer


def standalone(question: str, history: str, generator: Generator, prompts: Prompts) -> str:
    """Return the question so that it can be understood, and searched, without the conversation.

    A rewriting that is empty, far longer than the question, or says nothing the conversation or the
    question said is not used: then the question stays as it is.
    """
    if not history:
        return question
    text = _complete(
        generator,
        prompts.texts["chat.rewrite_system"],
        prompts.render("chat.rewrite_user", history=history, question=question),
        _REWRITE_TOKENS,
    )
    text = re.sub(r"^\s*[\w ]{0,24}:\s+", "", text.split("\n")[0]).strip().strip('"«»“” ')
    return text if acceptable(text, question=question, history=history) else question


def acceptable(text: str, *, question: str, history: str) -> bool:
    """Return whether a rewritten question says something, at no great length, that was said."""
    said = {word.form for word in content_words(f"{history}\n{question}")}
    rewritten = [word.form for word in content_words(text)]
    invented = [form for form in rewritten if form not in said]
    too_long = len(text) > _MOST_GROWTH * max(len(question), 60)
    return bool(rewritten) and not too_long and len(invented) <= len(rewritten) // 3


def lines_of(turns: Sequence[Turn], prompts: Prompts) -> list[str]:
    """Return the turns as a generator reads them, two lines each."""
    asks, answers = prompts.texts["chat.question"], prompts.texts["chat.answer"]
    return [
        line
        for turn in turns
        for line in (f"{asks}: {turn.standalone or turn.question}", f"{answers}: {turn.answer}")
    ]


def _fitting(lines: Sequence[str], budget: int, generator: Generator) -> str:
    kept = list(lines)
    while len(kept) > 1 and _size(generator, "\n".join(kept)) > budget:
        kept.pop(0)
    return "\n".join(kept)


def _size(generator: Generator, text: str) -> int:
    return generator.count_tokens([Message("user", text)])


def _complete(generator: Generator, system: str, user: str, max_tokens: int) -> str:
    messages = [Message("system", system), Message("user", user)]
    stream = generator.stream(messages, sampling=Sampling(max_tokens=max_tokens))
    return "".join(delta.text for delta in stream).strip()
