"""How a request is served among others, and until when it is wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ragstack.engine.entry import Entry
from ragstack.engine.images import Image
from ragstack.engine.jobs import Job
from ragstack.engine.waiting import Priority
from ragstack.engine.worker import Order, Worker
from ragstack.errors import DeadlineExceeded

__all__ = ["Life", "Manner", "order"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a request is served among others.

    Attributes:
        priority: ``background`` waits for all that is ``interactive``.
        client: Who asks; clients take turns.
        deadline_s: Seconds from its first token being asked for until it is given up.
        speculate: Guess ahead what the prompt holds; the tokens are the same but for near ties.
        adapter: Name of the LoRA adapter that takes part; empty is none.
        cancel: Gives it up when set, from any thread, while its caller waits for a token too.
    """

    priority: Priority = "interactive"
    client: str = ""
    deadline_s: float | None = None
    speculate: bool = True
    adapter: str = ""
    cancel: threading.Event | None = None


class Life:
    """Until when a request is wanted. Holds no reference to whoever wants it."""

    def __init__(self, worker: Worker, manner: Manner) -> None:
        self.cancelled = threading.Event()
        self._worker = worker
        self._limit = manner.deadline_s
        self._outer = manner.cancel
        self._began = time.monotonic()

    def begin(self) -> None:
        """Let its time begin now."""
        self._began = time.monotonic()

    def goes_on(self) -> bool:
        """Return whether it is still wanted."""
        return not (self._given_up() or self._worker.closing or self._late())

    @property
    def error(self) -> BaseException | None:
        """What to raise at the end of one that was given up."""
        if self._late() and not self._given_up():
            return DeadlineExceeded(f"it took longer than the {self._limit} s it was given")
        return None

    def _given_up(self) -> bool:
        outer = self._outer
        return self.cancelled.is_set() or (outer is not None and outer.is_set())

    def _late(self) -> bool:
        return self._limit is not None and time.monotonic() - self._began > self._limit


def order(
    job: Job,
    done: Callable[[BaseException | None], None],
    life: Life,
    manner: Manner,
    *,
    alone: bool,
    images: tuple[Image, ...] = (),
) -> Order:
    """Return a job as the worker takes it."""
    entry = Entry(
        job,
        done,
        wanted=life.goes_on,
        alone=alone,
        background=manner.priority == "background",
        adapter=manner.adapter,
        images=images,
    )
    return Order(entry, manner.priority, manner.client)
