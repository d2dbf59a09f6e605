"""Contestants and prompts in, measurements out: one round of each part of the bench.

Every contestant gets the same prompts, one contestant after the other, in an order that turns.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ragstack_evals.contest.contestant import Contestant, ContestantFailed
from ragstack_evals.contest.plan import Plan
from ragstack_evals.contest.player import Ask, Heard
from ragstack_evals.contest.questions import Prompts
from ragstack_evals.contest.results import Results, crowd, rates

__all__ = [
    "BACKGROUND",
    "BARE",
    "DRAFTING",
    "GUESSING",
    "LANGCHAIN",
    "LLAMA",
    "OURS",
    "ROUNDS",
    "SERVER",
    "Arena",
    "turns",
]

OURS, GUESSING, DRAFTING = "ragstack", "ragstack, guessing", "ragstack, drafting"
BACKGROUND = "ragstack, background"
BARE, LLAMA, LANGCHAIN, SERVER = "bare", "Llama", "ChatLlamaCpp", "llama-server"

_APPLICATIONS = (GUESSING, DRAFTING, LANGCHAIN, SERVER)
_BEHIND = 7
_AFTER_S = 1.0
_LATE_TOKENS = 40
_KEYS = ("thought", "action", "argument")
_SCHEMA = {
    "type": "object",
    "properties": {
        "thought": {"type": "string", "maxLength": 80},
        "action": {"enum": ["search", "read", "finish"]},
        "argument": {"type": "string", "maxLength": 40},
    },
    "required": list(_KEYS),
    "additionalProperties": False,
}
_TASK = "Which passage answers it best? Take one step at a time: think, act, give the argument."
_QUOTE = "Copy, word for word, the first three sentences of the first passage."


@dataclass(slots=True)
class Arena:
    """Everything a part needs.

    Attributes:
        turn: Rises with each measurement; who begins turns with it.
    """

    contestants: dict[str, Contestant]
    prompts: Prompts
    plan: Plan
    results: Results
    turn: int = 0

    def play(self, names: Sequence[str], measure: Callable[[str, Contestant], None]) -> None:
        """Measure those that are there, another one first each time; who dies of it is out."""
        there = [name for name in names if name in self.contestants]
        self.turn += len(there) > 1
        start = self.turn % max(1, len(there))
        for name in there[start:] + there[:start]:
            player = self.contestants[name]
            try:
                measure(name, player)
            except ContestantFailed as error:
                if str(error) not in self.results.notes:
                    self.results.notes.append(str(error))
                if not player.alive:
                    self.contestants.pop(name).close()


def _one(arena: Arena) -> None:
    ask = arena.prompts.rag(arena.plan.one_prompt, arena.plan.one_answer)
    heard: dict[str, Heard] = {}

    def measure(name: str, player: Contestant) -> None:
        heard[name] = player.one(ask)

    arena.play((OURS, BARE, LLAMA, LANGCHAIN, SERVER), measure)
    # llama-cpp-python streams no counts: the same template makes the same prompt there.
    prompt = max((each.used.prompt for each in heard.values()), default=0)
    for name, each in heard.items():
        read = (each.used.prompt if each.used.prompt > 0 else prompt) - max(0, each.used.cached)
        written = each.used.written if each.used.written > 0 else ask.tokens
        prefill, decode = rates(each, read, written)
        arena.results.add("one", "", name, prefill=prefill, decode=decode)


def _crowd(
    part: str,
    asks: Sequence[Ask],
    arena: Arena,
    *,
    who: Sequence[str] = (OURS, BARE, LANGCHAIN, SERVER),
    called: str = "",
) -> None:
    def measure(name: str, player: Contestant) -> None:
        took_s, heard = player.together(asks)
        found = crowd(took_s, heard, asks[0].tokens)
        arena.results.add(part, str(len(asks)), called or name, **found)

    arena.play(who, measure)


def _rag(arena: Arena) -> None:
    for count in arena.plan.rag_streams:
        _crowd("rag", _rag_prompts(arena, count), arena)
        # Nobody watches these: other prompts, for it has read the others.
        quiet = [replace(ask, background=True) for ask in _rag_prompts(arena, count)]
        _crowd("rag", quiet, arena, who=(OURS,), called=BACKGROUND)


def _rag_prompts(arena: Arena, count: int) -> list[Ask]:
    plan = arena.plan
    return [arena.prompts.rag(plan.rag_prompt, plan.rag_answer) for _ in range(count)]


def _long(arena: Arena) -> None:
    for count in arena.plan.long_streams:
        asks = [arena.prompts.long(arena.plan.long_answer) for _ in range(count)]
        _crowd("long", asks, arena)


def _late(arena: Arena) -> None:
    long = [arena.prompts.long(arena.plan.long_answer) for _ in range(_BEHIND)]
    late = arena.prompts.rag(_LATE_TOKENS, 4)

    def measure(name: str, player: Contestant) -> None:
        arena.results.add("late", "", name, first_s=player.behind(long, late, _AFTER_S))

    arena.play((OURS, LANGCHAIN, SERVER), measure)


def _prefix(arena: Arena) -> None:
    cold = arena.prompts.rag(arena.plan.prefix, 2)
    warm = arena.prompts.grown(cold, "Where was it?")

    def measure(name: str, player: Contestant) -> None:
        cold_s, warm_s = (player.one(ask).first_s for ask in (cold, warm))
        shared = {"cold_s": cold_s, "warm_s": warm_s, "share": warm_s / cold_s}
        arena.results.add("prefix", "", name, **shared)

    arena.play((OURS, LANGCHAIN, SERVER), measure)


def _chat(arena: Arena) -> None:
    plan = arena.plan
    ask, follow = arena.prompts.chat(plan.talk_prompt, plan.talk_answer)

    def measure(name: str, player: Contestant) -> None:
        took_s, heard = player.talk(ask, follow[: plan.turns - 1])
        arena.results.add("chat", "", name, took_s=took_s, **turns(heard))

    arena.play(_APPLICATIONS, measure)


def _agent(arena: Arena) -> None:
    plan = arena.plan
    ask = arena.prompts.rag(plan.talk_prompt, plan.step_answer, question=_TASK, endless=False)
    ask = replace(ask, schema=_SCHEMA)
    follow = arena.prompts.follow(plan.steps - 1, plan.observation)

    def measure(name: str, player: Contestant) -> None:
        took_s, heard = player.talk(ask, follow, "Observation: {}")
        parsed = sum(_parses(each.text) for each in heard) / len(heard)
        arena.results.add("agent", "", name, took_s=took_s, parsed=parsed, **turns(heard))

    arena.play(_APPLICATIONS, measure)


def _quotes(arena: Arena) -> None:
    plan = arena.plan
    ask = arena.prompts.rag(plan.quote_prompt, plan.quote_answer, question=_QUOTE, endless=False)

    def measure(name: str, player: Contestant) -> None:
        heard = player.one(ask)
        decode = rates(heard, 0, heard.used.written)[1]
        arena.results.add("quotes", "", name, decode=decode, written=float(heard.used.written))

    arena.play((OURS, GUESSING, DRAFTING), measure)


def turns(heard: list[Heard]) -> dict[str, float]:
    """Return the measures of a conversation.

    ``first_s`` is the median over the turns after the first; ``characters`` how much was written in
    all; ``over`` the most tokens that a turn read beyond what was new in it, where it is told.
    """
    found = {
        "first_s": statistics.median(each.first_s for each in heard[1:] or heard),
        "characters": float(sum(len(each.text) for each in heard)),
    }
    if all(min(each.used.prompt, each.used.cached, each.used.written) >= 0 for each in heard):
        over = [
            (now.used.prompt - now.used.cached)
            - (now.used.prompt - before.used.prompt - before.used.written)
            for before, now in itertools.pairwise(heard)
        ]
        found["over"] = float(max(over, default=0))
    return found


def _parses(text: str) -> bool:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return False
    return isinstance(found, dict) and set(found) == set(_KEYS)


def _repeated(part: Callable[[Arena], None]) -> Callable[[Arena], None]:
    def run(arena: Arena) -> None:
        for _ in range(arena.plan.repeats):
            part(arena)

    return run


ROUNDS: Mapping[str, Callable[[Arena], None]] = {
    "one": _repeated(_one),
    "rag": _rag,
    "long": _long,
    "late": _late,
    "prefix": _repeated(_prefix),
    "chat": _chat,
    "agent": _agent,
    "quotes": _repeated(_quotes),
}
