"""A model's stream in, the same stream out, counted and traced on its way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ragstack.types import Answer, Delta, Event, Message, Retrieved, Sampling
from ragstack_apps.server.guard.metrics import Metrics

if TYPE_CHECKING:
    from ragstack_apps.server.guard.traces import Traces

__all__ = ["Observer"]


class Observer:
    """Sees every text that a model writes, and every answer.

    Args:
        traces: None is no traces.

    Attributes:
        warm: Whether a text was written already.
    """

    def __init__(self, metrics: Metrics, traces: Traces | None = None) -> None:
        self._metrics = metrics
        self._traces = traces
        self.warm = False

    def generation(
        self, model: str, messages: Sequence[Message], sampling: Sampling, deltas: Iterator[Delta]
    ) -> Iterator[Delta]:
        """Yield what a model writes; closing it closes the model's stream."""
        began, first, finish = time.perf_counter(), None, "failed"
        written: list[str] = []
        last = Delta()
        with ExitStack() as stack:
            close = getattr(deltas, "close", None)
            if close is not None:
                stack.callback(close)
            traces, span = self._traces, None
            if traces is not None:
                span = stack.enter_context(traces.generation(model, messages, sampling))
            try:
                for last in deltas:
                    if first is None and (last.text or last.reasoning):
                        first = time.perf_counter() - began
                        self._metrics.first_token_seconds.labels(model).observe(first)
                    if traces is not None and traces.contents:
                        written.append(last.text)
                    yield last
                finish = last.finish or "stop"
                self.warm = True
            except GeneratorExit:
                finish = "cancelled"
                raise
            finally:
                self._metrics.generated(model, finish, last.usage)
                self._metrics.generation_seconds.labels(model).observe(time.perf_counter() - began)
                if traces is not None and span is not None and finish != "failed":
                    traces.finished(span, last, "".join(written), first)

    def answer(self, events: Iterator[Event], collection: str) -> Iterator[Event]:
        """Yield the events of an answer from documents; closing it closes their source."""
        began = time.perf_counter()
        try:
            for event in events:
                if isinstance(event, Retrieved) and self._traces is not None:
                    took = time.perf_counter() - began
                    self._traces.retrieved(event.question, event.passages, collection, took)
                elif isinstance(event, Answer):
                    self._metrics.answered(event)
                yield event
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()
