"""Requests in, what was heard and when out: what every contestant of the engine's bench can do.

Runs inside the contestant's own process, with the standard library alone, since the peers live in
an environment that need not hold ragstack.
"""

from __future__ import annotations

import abc
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

__all__ = ["Ask", "Heard", "Player", "Setup", "Used", "serve"]

_SETTLE_S = 0.3  # what was broken off may still be in the step at work


@dataclass(frozen=True, slots=True)
class Setup:
    """How a contestant is opened.

    Attributes:
        window: Tokens of one conversation; ``streams`` of them at once.
        server: Path of llama.cpp's own server; empty is the one inside ``xllamacpp``.
        draft: Path of a model that guesses; empty is none.
    """

    model: str
    threads: int
    streams: int
    window: int
    speculate: bool = False
    server: str = ""
    draft: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        messages: Objects with ``role`` and ``content``.
        tokens: The most that are written; exactly so many if ``endless``.
        schema: The answer is JSON that it allows.
        background: Nobody watches; only ragstack makes a difference.
    """

    messages: Sequence[Mapping[str, str]]
    tokens: int
    endless: bool = True
    schema: Mapping[str, Any] | None = None
    background: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens, where the contestant says them; -1 where it does not."""

    prompt: int = -1
    cached: int = -1
    written: int = -1


@dataclass(slots=True)
class Heard:
    """One reply.

    Attributes:
        first_s: Seconds to the first text.
        took_s: Seconds to the last text; of an endless answer, to its end.
        gaps: Seconds between two pieces of text.
    """

    first_s: float = 0.0
    took_s: float = 0.0
    gaps: list[float] = field(default_factory=list)
    text: str = ""
    used: Used = field(default_factory=Used)


class Player(abc.ABC):
    """A contestant in its own process."""

    @abc.abstractmethod
    def open(self, setup: Setup) -> None:
        """Load the model; ready to answer at the end."""

    @abc.abstractmethod
    def stream(self, ask: Ask) -> Generator[str, None, Used]:
        """Yield the answer's text as it comes, from any thread."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give the memory back."""

    def facts(self) -> dict[str, Any]:
        """Return what else is known of the work so far."""
        return {}

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text."""
        raise NotImplementedError("this contestant counts no tokens")

    def peak(self) -> int:
        """Return the most memory held so far, in bytes, mapped weights among it."""
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024

    def hear(self, ask: Ask, stop: threading.Event | None = None) -> Heard:
        """Take in one reply; ``stop`` breaks it off."""
        heard = Heard()
        stream = self.stream(ask)
        begun = last = time.perf_counter()
        while stop is None or not stop.is_set():
            try:
                text = next(stream)
            except StopIteration as end:
                heard.used = end.value
                if ask.endless:  # beyond its end a model writes tokens that have no text
                    last = time.perf_counter()
                break
            now = time.perf_counter()
            if not text:
                continue
            if heard.text:
                heard.gaps.append(now - last)
            else:
                heard.first_s = now - begun
            heard.text += text
            last = now
        stream.close()
        heard.took_s = last - begun
        return heard

    def together(self, asks: Sequence[Ask]) -> tuple[float, list[Heard]]:
        """Take in replies side by side; return the seconds of all, and each."""
        barrier = threading.Barrier(len(asks) + 1)

        def run(ask: Ask) -> Heard:
            barrier.wait()
            return self.hear(ask)

        with ThreadPoolExecutor(len(asks)) as pool:
            running = [pool.submit(run, ask) for ask in asks]
            barrier.wait()
            begun = time.perf_counter()
            heard = [each.result() for each in running]
            return time.perf_counter() - begun, heard

    def behind(self, long: Sequence[Ask], late: Ask, after_s: float) -> float:
        """Return the seconds to the first text of one that comes while others write."""
        stop = threading.Event()
        with ThreadPoolExecutor(len(long)) as pool:
            running = [pool.submit(self.hear, ask, stop) for ask in long]
            time.sleep(after_s)
            try:
                first_s = self.hear(late).first_s
            finally:
                stop.set()
            for each in running:
                each.result()
        time.sleep(_SETTLE_S)
        return first_s

    def talk(
        self, ask: Ask, follow: Sequence[str], template: str = "{}"
    ) -> tuple[float, list[Heard]]:
        """Go on from each reply with the next message; return the seconds of all, and each reply.

        Args:
            ask: The first turn, and how all of them are answered.
            follow: The messages after it, each put into ``template``.
        """
        messages = list(ask.messages)
        heard: list[Heard] = []
        begun = time.perf_counter()
        for text in [*follow, None]:
            heard.append(
                self.hear(Ask(tuple(messages), ask.tokens, endless=ask.endless, schema=ask.schema))
            )
            if text is not None:
                messages.append({"role": "assistant", "content": heard[-1].text})
                messages.append({"role": "user", "content": template.format(text)})
        return time.perf_counter() - begun, heard


def serve(player: Player) -> None:
    """Answer orders from standard input, one JSON object a line, until it ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to the log
    try:
        for line in sys.stdin:
            _answer(player, json.loads(line), replies)
    finally:
        player.close()


def _answer(player: Player, order: dict[str, Any], replies: TextIO) -> None:
    try:
        reply = {"result": _ORDERS[order.pop("order")](player, order)}
    except Exception as error:  # whatever a peer raises is told, and the others go on
        reply = {"error": f"{type(error).__name__}: {error}"}
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def _open(player: Player, order: dict[str, Any]) -> float:
    begun = time.perf_counter()
    player.open(Setup(**order["setup"]))
    return time.perf_counter() - begun


def _all(took: tuple[float, list[Heard]]) -> dict[str, Any]:
    return {"took_s": took[0], "heard": [asdict(each) for each in took[1]]}


_ORDERS: Mapping[str, Callable[[Player, dict[str, Any]], object]] = {
    "open": _open,
    "count": lambda player, order: player.count(order["texts"]),
    "together": lambda player, order: _all(player.together([Ask(**ask) for ask in order["asks"]])),
    "behind": lambda player, order: player.behind(
        [Ask(**ask) for ask in order["long"]], Ask(**order["late"]), order["after_s"]
    ),
    "talk": lambda player, order: _all(
        player.talk(Ask(**order["ask"]), order["follow"], order["template"])
    ),
    "peak": lambda player, order: player.peak(),
    "facts": lambda player, order: player.facts(),
}
