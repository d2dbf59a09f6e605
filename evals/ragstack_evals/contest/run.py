"""A model and a plan in, results out: opens the contestants, plays the rounds, closes them."""

from __future__ import annotations

import contextlib
import inspect
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ragstack.engine.library import physical_cores
from ragstack.generate.local import LocalGenerator
from ragstack_evals.contest.contestant import Contestant, ContestantFailed, Launch
from ragstack_evals.contest.parts import (
    BARE,
    DRAFTING,
    GUESSING,
    LANGCHAIN,
    LLAMA,
    OURS,
    ROUNDS,
    SERVER,
    Arena,
)
from ragstack_evals.contest.peers import Peers
from ragstack_evals.contest.plan import Plan
from ragstack_evals.contest.player import Setup
from ragstack_evals.contest.questions import Passage, Prompts
from ragstack_evals.contest.results import Results

__all__ = ["Contest", "can_draft", "launches", "play"]

_TIMEOUT_S = 1200.0
_ROOM = "ragstack_evals.contest"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contest:
    """What is played.

    Attributes:
        path: Of the model's file; ``draft`` of one that guesses for it, if any.
        folder: Where contestants write their logs.
    """

    model: str
    path: Path
    plan: Plan
    peers: Peers
    folder: Path
    draft: Path | None = None


def can_draft() -> bool:
    """Return whether the local generator takes a draft model."""
    return "draft" in inspect.signature(LocalGenerator).parameters


def launches(contest: Contest) -> dict[str, Launch]:
    """Return how each contestant that takes part is started."""
    plan, peers = contest.plan, contest.peers
    setup = Setup(str(contest.path), physical_cores(), plan.most, plan.window)
    server = replace(setup, server=str(peers.server or ""))
    parts = set(plan.parts)
    found: dict[str, Launch] = {OURS: _launch(OURS, sys.executable, "play_ragstack", setup)}
    if parts & {"one", "rag", "long"}:
        found[BARE] = _launch(BARE, sys.executable, "play_bare", setup)
    if "one" in parts:
        found[LLAMA] = _launch(LLAMA, sys.executable, "play_llama", setup)
    if parts & {"chat", "agent", "quotes"}:
        guessing = replace(setup, speculate=True)
        found[GUESSING] = _launch(GUESSING, sys.executable, "play_ragstack", guessing)
        if contest.draft is not None:
            drafting = replace(guessing, draft=str(contest.draft))
            found[DRAFTING] = _launch(DRAFTING, sys.executable, "play_ragstack", drafting)
    if parts != {"quotes"}:
        if peers.python is not None:
            python = str(peers.python)
            found[LANGCHAIN] = _launch(LANGCHAIN, python, "play_llama", setup, "langchain")
        if peers.server is not None or peers.python is not None:
            # The binary is driven from here; the one inside xllamacpp from where that is.
            python = sys.executable if peers.server is not None else str(peers.python)
            found[SERVER] = _launch(SERVER, python, "play_server", server)
    return found


def _launch(name: str, python: str, module: str, setup: Setup, *arguments: str) -> Launch:
    return Launch(name, (python, "-m", f"{_ROOM}.{module}", *arguments), setup)


def play(contest: Contest, passages: list[Passage], say: Say) -> tuple[Results, float | None]:
    """Play all rounds; return the results, and milliseconds of the scheduler a step.

    Raises:
        ContestantFailed: ragstack itself cannot be opened, or died.
    """
    results = Results(contest.model, notes=list(contest.peers.notes))
    with contextlib.ExitStack() as stack:
        contestants: dict[str, Contestant] = {}
        stack.callback(_close, contestants)
        for name, launch in launches(contest).items():
            try:
                contestants[name] = Contestant(launch, contest.folder, timeout_s=_TIMEOUT_S)
            except ContestantFailed as error:
                if name == OURS:
                    raise
                results.notes.append(str(error))
        prompts = Prompts(passages, contestants[OURS].count)
        arena = Arena(contestants, prompts, contest.plan, results)
        say(f"{contest.model}: {', '.join(contestants)}; warming up")
        _warm(arena)
        _rounds(arena, say)
        for name, player in contestants.items():
            peak = player.peak()
            if peak:
                results.add("memory", "", name, peak=float(peak), load_s=player.load_s)
            results.notes += _guesses(name, player)
        return results, _step_ms(contestants)


def _close(contestants: dict[str, Contestant]) -> None:
    for each in contestants.values():
        each.close()


def _warm(arena: Arena) -> None:
    """Let each read and write a little, one and many at once, before anything is timed."""
    many = [arena.prompts.long(4) for _ in range(arena.plan.most)]
    one = arena.prompts.rag(arena.plan.one_prompt // 2, 8)

    def measure(_name: str, player: Contestant) -> None:
        player.one(one)
        player.together(many)

    arena.play(list(arena.contestants), measure)


def _rounds(arena: Arena, say: Say) -> None:
    """Play the first round whole, and parts again while the minutes last."""
    plan = arena.plan
    until = time.monotonic() + 60 * plan.minutes
    took: dict[str, float] = dict.fromkeys(plan.parts, 0.0)
    for number in range(plan.rounds):
        for part in plan.parts:
            if number and time.monotonic() + took[part] > until:
                continue
            begun = time.monotonic()
            ROUNDS[part](arena)
            took[part] = time.monotonic() - begun
            say(f"{arena.results.model}: round {number + 1}, {part}: {took[part]:.0f} s")


def _guesses(name: str, player: Contestant) -> list[str]:
    """Return how guesses went, where there were any."""
    facts = player.facts()
    guessed = facts.get("guessed", 0)
    if not guessed:
        return []
    return [f"{name}: {facts['right'] / guessed:.0%} of {guessed:,} guessed tokens were right"]


def _step_ms(contestants: Mapping[str, Contestant]) -> float | None:
    player = contestants.get(OURS)
    return player.facts().get("step_ms") if player is not None else None
