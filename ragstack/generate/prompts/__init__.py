"""Prompts as data: one TOML file a language, every variable checked when read and when used.

The values of variables are inserted as they are: braces in a passage mean nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from itertools import accumulate, pairwise
from typing import Any

from ragstack.errors import ConfigError, InputError
from ragstack.types import Message, Span

__all__ = ["LANGUAGES", "Example", "Prompts", "Trust", "load", "parse"]

LANGUAGES = ("en", "fr")

_VARIABLE = re.compile(r"\{([a-z_]+)\}")
_VARIABLES: Mapping[str, frozenset[str]] = {
    "answer.user": frozenset({"passages", "question", "instruction"}),
    "answer.again": frozenset({"question", "instruction"}),
    "chat.rewrite_user": frozenset({"history", "question"}),
    "chat.summary_user": frozenset({"history"}),
    "transform.rewrite_chat": frozenset({"history", "question"}),
    "transform.multi_query": frozenset({"question", "count"}),
    "transform.self_query": frozenset({"fields", "question", "today"}),
    "transform.disagree": frozenset({"one", "other", "one_source", "other_source"}),
    **{
        f"transform.{name}": frozenset({"question"})
        for name in (
            *("rewrite_alone", "hyde", "decompose", "step_back", "route"),
            *("translate_en", "translate_fr"),
        )
    },
    **{
        f"transform.{name}": frozenset({"passages", "question"})
        for name in ("recursive", "corrective", "ask_back")
    },
}


@dataclass(frozen=True, slots=True)
class Example:
    """Passages, and questions on them with the answer that is wanted: (question, style, answer)."""

    passages: tuple[str, ...]
    turns: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Trust:
    """How the trust in an answer is reckoned from what a generator says of these prompts.

    Attributes:
        refusal_weight: What a nat of the refusal's improbability counts beside a nat of the
            check's log-odds.
        spread_weight: What each passage after the first takes away: where many are equally near,
            none may be meant.
        cover_weight: What it counts that one passage holds all of the question's content words.
        near_weight: What it counts that all of them stand around the answer.
        apart_weight: What it counts that the best passage's vector stands out among the candidates,
            by the difference of their cosines.
        apart_usual: That difference where the search does not tell it.
        needed: Trust is how far the sum lies above this.
        open_added: Added for a question that asks how or why: its answer is no span that stands
            among the question's words, and the generator hesitates to say that it is stated.
    """

    refusal_weight: float
    spread_weight: float
    cover_weight: float
    near_weight: float
    apart_weight: float
    apart_usual: float
    needed: float
    open_added: float


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of one language, by dotted name (``answer.user``).

    Attributes:
        passages: How many it is best to read at once; 0 is all.
    """

    language: str
    version: str
    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]
    example: Example
    trust: Trust
    passages: int

    def render(self, name: str, /, **values: str) -> str:
        """Return a prompt with its variables filled in.

        Raises:
            InputError: A variable is missing, or one is given that the prompt does not have.
        """
        wanted = _VARIABLES.get(name, frozenset())
        if set(values) != wanted:
            raise InputError(
                f"prompt {name!r} takes {sorted(wanted) or 'no variables'}, got {sorted(values)}"
            )
        return _VARIABLE.sub(lambda match: values[match.group(1)], self.texts[name])

    def answering(self, passages: Sequence[str], question: str, instruction: str) -> list[Message]:
        """Return the messages that ask for an answer from passages: rules, examples, the question.

        Only the last line depends on the instruction, so that a generator that reuses prefixes
        reads everything else once for all that is asked about the same passages.

        Args:
            instruction: The name of a prompt without variables: ``answer.brief``, ``check.ask``.
        """
        return [
            *self.preamble(),
            Message("user", self._question(passages, question, instruction)),
        ]

    def preamble(self) -> list[Message]:
        """Return what stands before every question: rules and examples."""
        messages = [Message("system", self.texts["answer.system"])]
        for place, (question, style, answer) in enumerate(self.example.turns):
            shown = self.example.passages if place == 0 else ()
            messages.append(Message("user", self._question(shown, question, f"answer.{style}")))
            messages.append(Message("assistant", answer))
        return messages

    def _question(self, passages: Sequence[str], question: str, instruction: str) -> str:
        told = self.render(instruction)
        if not passages:
            return self.render("answer.again", question=question, instruction=told)
        numbered = "".join(_numbered(passages))
        return self.render("answer.user", passages=numbered, question=question, instruction=told)

    def places(self, passages: Sequence[str], asked: str) -> list[Span]:
        """Return where each passage stands in the question asked about them, its number included.

        Raises:
            InputError: The question was asked about other passages.
        """
        pieces = _numbered(passages)
        at = asked.find("".join(pieces))
        if at < 0:
            raise InputError("the passages do not stand in the question that was asked about them")
        ends = list(accumulate(map(len, pieces), initial=at))
        return list(pairwise(ends))


def _numbered(passages: Sequence[str]) -> list[str]:
    """Return each passage with its number, and what parts it from the next."""
    last = len(passages)
    return [f"[{n}] {text}" + "\n\n" * (n < last) for n, text in enumerate(passages, start=1)]


@cache
def load(language: str) -> Prompts:
    """Return the prompts of a language; English for one that has none."""
    code = language if language in LANGUAGES else "en"
    text = resources.files(__name__).joinpath(f"{code}.toml").read_text("utf-8")
    return parse(text, language=code)


def parse(text: str, *, language: str) -> Prompts:
    """Return the prompts written in a TOML text.

    Raises:
        ConfigError: A prompt lacks a variable, or has one that it cannot have.
    """
    data = tomllib.loads(text)
    texts: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for section in ("answer", "check", "abstain", "chat", "transform"):
        for key, value in data[section].items():
            name = f"{section}.{key}"
            if isinstance(value, list):
                lists[name] = tuple(str(item) for item in value)
                continue
            texts[name] = _checked(name, str(value))
    trust = Trust(**{each.name: float(data["trust"][each.name]) for each in fields(Trust)})
    example = _example(data["example"])
    passages = int(data["reading"]["passages"])
    return Prompts(language, str(data["version"]), texts, lists, example, trust, passages)


def _checked(name: str, text: str) -> str:
    found = frozenset(_VARIABLE.findall(text))
    wanted = _VARIABLES.get(name, frozenset())
    if found != wanted:
        raise ConfigError(
            f"prompt {name!r} has the variables {sorted(found)}, needs {sorted(wanted)}"
        )
    return text


def _example(data: Mapping[str, Any]) -> Example:
    turns = tuple((turn["question"], turn["style"], turn["answer"]) for turn in data["turns"])
    return Example(tuple(data["passages"]), turns)
