"""What happens in, Prometheus' text out: requests, latencies, tokens, the queue, ingest.

No label holds what a client wrote: routes are patterns, models those that are configured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Receive, Scope, Send

from ragstack.types import Answer, Usage
from ragstack_apps.server.guard.responses import Seen, method_of, route_of

__all__ = ["CONTENT_TYPE", "Counted", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The numbers of one server. Safe to use from many threads.

    Args:
        live: Gauges that are asked for when somebody looks: a name (``queue_waiting``), and a
            function that returns the number, or None where there is none now.
    """

    def __init__(self, live: Mapping[str, Callable[[], float | None]] | None = None) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(_Live(live or {}))
        self.requests = self._counter("requests", "Requests answered.", "method", "route", "status")
        self.request_seconds = self._histogram(
            "request_seconds", "From a request to the end of its answer.", "route"
        )
        self.first_byte_seconds = self._histogram(
            "first_byte_seconds", "From a request to the first byte of its answer's body.", "route"
        )
        self.at_work = Gauge(
            "ragstack_requests_at_work", "Requests not yet answered.", registry=self.registry
        )
        self.tokens = self._counter("tokens", "Tokens of the model.", "model", "kind")
        self.generations = self._counter("generations", "Texts written.", "model", "finish")
        self.first_token_seconds = self._histogram(
            "first_token_seconds", "From the call of the model to its first token.", "model"
        )
        self.generation_seconds = self._histogram(
            "generation_seconds", "From the call of the model to its last token.", "model"
        )
        self.answers = self._counter("answers", "Answers from documents.", "outcome")
        self.step_seconds = self._histogram("answer_step_seconds", "Steps of an answer.", "step")
        self.ingested = self._counter("ingested_documents", "Documents by outcome.", "outcome")

    def generated(self, model: str, finish: str, usage: Usage | None) -> None:
        """Count a text that a model has written."""
        self.generations.labels(model, finish).inc()
        if usage is not None:
            for kind in ("prompt", "cached", "answer"):
                self.tokens.labels(model, kind).inc(getattr(usage, f"{kind}_tokens"))

    def answered(self, answer: Answer) -> None:
        """Count an answer from documents."""
        outcome = "grounded" if answer.grounded else "unsupported"
        self.answers.labels("abstained" if answer.abstained else outcome).inc()
        for step, seconds in answer.seconds.items():
            self.step_seconds.labels(step).observe(seconds)

    def took_in(self, outcome: str) -> None:
        """Count a document that was taken in, or was not."""
        self.ingested.labels(outcome).inc()

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"ragstack_{name}", about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, *labels: str) -> Histogram:
        return Histogram(
            f"ragstack_{name}", about, labels, buckets=_SECONDS, registry=self.registry
        )


class _Live(Collector):
    """Gauges whose numbers are asked for."""

    def __init__(self, live: Mapping[str, Callable[[], float | None]]) -> None:
        self._live = live

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield those that have a number now."""
        for name, ask in self._live.items():
            value = ask()
            if value is not None:
                about = name.replace("_", " ").capitalize() + "."
                yield GaugeMetricFamily(f"ragstack_{name}", about, value=value)


class Counted:
    """Counts and times every request."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, first = time.perf_counter(), 0.0
        seen = Seen(send)

        async def timed(message: object) -> None:
            nonlocal first
            await seen(message)  # type: ignore[arg-type]
            if seen.body and not first:
                first = time.perf_counter() - began

        with self._metrics.at_work.track_inprogress():
            try:
                await self._app(scope, receive, timed)
            finally:
                route = route_of(scope)
                status = str(seen.status or "left")
                self._metrics.requests.labels(method_of(scope), route, status).inc()
                self._metrics.request_seconds.labels(route).observe(time.perf_counter() - began)
                if first:
                    self._metrics.first_byte_seconds.labels(route).observe(first)
