"""The thread that owns a context: takes requests in from any thread, and lets the scheduler work.

Whatever touches llama.cpp's context happens here, so nothing else needs a lock.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from ragstack.engine.adapters import Adapters
from ragstack.engine.context import Context, Options
from ragstack.engine.costs import Costs
from ragstack.engine.draft_check import DraftReport
from ragstack.engine.draft_model import DraftModel, DraftOptions
from ragstack.engine.entry import Entry
from ragstack.engine.kinds import kind_of
from ragstack.engine.model import Model
from ragstack.engine.outbox import Outbox
from ragstack.engine.projector import Projector
from ragstack.engine.scheduler import Scheduler
from ragstack.engine.waiting import Priority, Waiting
from ragstack.errors import EngineBusy, GenerationError

__all__ = ["Order", "Worker"]

Result = TypeVar("Result")

_logger = logging.getLogger(__name__)

_QUIET_S = 0.05  # without a request, until what is idle is put away: the next often comes at once


@dataclass(frozen=True, slots=True)
class Order:
    """An entry for the scheduler, and its place among those that wait."""

    entry: Entry
    priority: Priority
    client: str


class Worker:
    """A context and its thread.

    Attributes:
        adapters: Those that requests may name.
        scheduler: To be touched from within ``call`` alone.
        queue_limit: Requests that may wait.
        draft: Guesses for the model, where there is one.
        outbox: What callers wait for; handed out after each step.
        projector: Turns images into what the model reads, on its callers' threads; None before
            the first of them.
    """

    def __init__(
        self, model: Model, options: Options, adapters: Adapters, *, costs: Costs, queue_limit: int
    ) -> None:
        self.model = model
        self.adapters = adapters
        self.projector: Projector | None = None
        self.context = Context(model, options)
        notice = kind_of(model.header).notice(full_window=options.full_window)
        if notice:
            _logger.warning("%s is %s", model.header.path.name, notice)
        self.scheduler = Scheduler(
            self.context,
            streams=options.streams,
            costs=costs,
            adapt=lambda name: self.context.adapt(adapters.handle(name)),
        )
        self.queue_limit = queue_limit
        self.draft: DraftModel | None = None
        self.outbox = Outbox()
        self._costs = costs
        self._waiting: Waiting[Entry] = Waiting()
        self._inbox: queue.SimpleQueue[Order | Callable[[], None] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._queued = 0
        self._thread = threading.Thread(target=self._serve, name="ragstack-engine", daemon=True)
        self._thread.start()

    @property
    def closing(self) -> bool:
        """Whether it is to end."""
        return self._closing.is_set()

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return self._queued

    @contextmanager
    def place(self) -> Iterator[Callable[[Order], None]]:
        """Count a request among those that wait while it is made; what is given queues it.

        Raises:
            EngineBusy: Too many wait already.
            GenerationError: The engine is closed, or belongs to the parent of a forked process.
        """
        with self._lock:
            self._check_open()
            if self._queued >= self.queue_limit:
                raise EngineBusy(
                    f"{self._queued} requests wait for the model already, at most "
                    f"{self.queue_limit} may",
                    hint="try again in a while; more streams or a smaller model serve more",
                )
            self._queued += 1
        queued = False

        def put(order: Order) -> None:
            nonlocal queued
            with self._lock:
                self._check_open()
                self._inbox.put(order)
            queued = True

        try:
            yield put
        finally:
            if not queued:
                self._count_out()

    def call(self, work: Callable[[], Result]) -> Result:
        """Run something between two steps, and return what it returns.

        Raises:
            GenerationError: As ``place``; and whatever the work raises.
        """
        answers: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                if self.closing:
                    raise GenerationError("the generator was closed before it came to this request")
                answers.put((work(), None))
            except BaseException as error:  # the caller's thread raises it; this one must live on
                answers.put((None, error))

        with self._lock:
            self._check_open()
            self._inbox.put(run)
        result, error = answers.get()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def draft_with(self, options: DraftOptions) -> None:
        """Load a model that guesses for this one, and measure whether that can gain.

        Raises:
            GenerationError: Somebody is at work, or a draft model is there already.
            InputError: Its vocabulary is another.
            ModelError: It cannot be used.
        """
        if self.draft is not None:
            raise GenerationError(f"{self.draft.name!r} drafts already, expected one draft model")
        draft = DraftModel(options, self.model, self.context.limits)

        def install() -> None:
            sequences = self.scheduler.sequences
            if self.scheduler.busy:
                raise GenerationError("a draft model is added before the first request")
            spare = sequences.adopt([])
            try:
                draft.calibrate(self.context, self._costs, spare)
            finally:
                sequences.give_back(spare, [])
            self.draft = draft

        try:
            self.call(install)
        except BaseException:
            draft.close()
            raise

    def draft_report(self) -> DraftReport | None:
        """Return what the draft model did; to be called from within ``call``."""
        return None if self.draft is None else self.draft.report(self._costs)

    def close(self) -> None:
        """Stop the thread after the step in work, then free what it owned."""
        with self._lock:
            if self.closing:
                return
            self._closing.set()
            self._inbox.put(None)
        if os.getpid() == self._owner:
            self._thread.join()
            self._costs.save()
            if self.draft is not None:
                self.draft.close()
            self.context.close()
            if self.projector is not None:
                self.projector.close()
            self.model.close()

    def _check_open(self) -> None:
        if os.getpid() != self._owner:
            raise GenerationError(
                "this generator was opened before the process forked, and its thread is not here",
                hint="open a generator in each process",
            )
        if self.closing:
            raise GenerationError("the generator is closed")

    def _serve(self) -> None:
        while not self.closing:
            self._take_in()
            for entry in self._waiting.remove(lambda each: not each.wanted()):
                self._leave_queue(entry, None)
            try:
                while (found := self._waiting.take(self.scheduler.admits)) is not None:
                    self._count_out()
                    self.scheduler.add(found)
                self.scheduler.step()
                self.outbox.flush()
            except Exception as error:
                # Those at work are told; the thread must live on for the others.
                _logger.exception("a step of the engine failed")
                self.context.clear()
                self.scheduler.fail_all(error)
        self._refuse_rest()

    def _take_in(self) -> None:
        """Look at everything that came; with nothing else to do, wait for the next."""
        idle = not self.scheduler.busy and not len(self._waiting)
        patience = _QUIET_S
        while True:
            tidying = idle and self.scheduler.sequences.too_many
            try:
                item = self._inbox.get(block=idle, timeout=patience if tidying else None)
            except queue.Empty:
                if not tidying:
                    return
                self.scheduler.sequences.evict()
                patience = 0.0
                continue
            idle = False
            if isinstance(item, Order):
                entry = item.entry
                self._waiting.put(
                    entry, priority=item.priority, client=item.client, work=float(entry.need)
                )
            elif item is not None:
                item()

    def _refuse_rest(self) -> None:
        self.scheduler.end_all()
        error = GenerationError("the generator was closed before it came to this request")
        for entry in self._waiting.remove(lambda _: True):
            self._leave_queue(entry, error)
        while not self._inbox.empty():
            item = self._inbox.get()
            if isinstance(item, Order):
                self._leave_queue(item.entry, error)
            elif item is not None:
                item()

    def _leave_queue(self, entry: Entry, error: BaseException | None) -> None:
        self._count_out()
        entry.done(error)

    def _count_out(self) -> None:
        with self._lock:  # callers count in at the same time
            self._queued -= 1
