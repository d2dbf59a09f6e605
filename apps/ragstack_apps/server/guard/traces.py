"""What happens in, OpenTelemetry's spans out, named by its conventions for HTTP and generative AI.

Sent only where an OTLP endpoint is named; questions, documents and answers stay out of it unless
the configuration asks for them (OpenTelemetry semantic conventions for generative AI 1.37, which
leave contents out by default too).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ragstack.types import Delta, Message, Passage, Sampling
from ragstack_apps.accounts.settings import TelemetrySettings
from ragstack_apps.server.guard.responses import Seen, method_of, route_of

__all__ = ["Traced", "Traces"]

_PROVIDER = "ragstack"
_LONGEST = 20_000  # characters of a recorded content


class Traces:
    """Makes spans, and sends them behind the requests.

    Args:
        processor: Given the spans in place of the one that sends them.
    """

    def __init__(
        self, settings: TelemetrySettings, *, processor: SpanProcessor | None = None
    ) -> None:
        self.contents = settings.contents
        # Not the process's own: a program that embeds the server may trace in its own manner.
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": settings.service}), shutdown_on_exit=False
        )
        if processor is None:
            url = f"{settings.endpoint.rstrip('/')}/v1/traces" if settings.endpoint else None
            processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=url))
        self._provider.add_span_processor(processor)
        self.tracer = self._provider.get_tracer("ragstack")

    @contextmanager
    def generation(
        self, model: str, messages: Sequence[Message], sampling: Sampling
    ) -> Iterator[Span]:
        """Give the span of one text that a model writes; it is nobody's parent."""
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.request.model": model,
            "gen_ai.request.max_tokens": sampling.max_tokens,
            "gen_ai.request.temperature": sampling.temperature,
            "gen_ai.request.top_p": sampling.top_p,
        }
        if self.contents:
            attributes["gen_ai.input.messages"] = _messages(messages)
        span = self.tracer.start_span(f"chat {model}", kind=SpanKind.CLIENT, attributes=attributes)
        try:
            yield span
        except GeneratorExit:
            span.set_attribute("gen_ai.response.finish_reasons", ["cancelled"])
            raise
        except Exception as error:
            _failed(span, error)
            raise
        finally:
            span.end()

    def finished(self, span: Span, last: Delta, text: str, first_s: float | None) -> None:
        """Say in a span how a text ended."""
        span.set_attribute("gen_ai.response.finish_reasons", [last.finish or "stop"])
        if last.usage is not None:
            span.set_attribute("gen_ai.usage.input_tokens", last.usage.prompt_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", last.usage.answer_tokens)
            cached = last.usage.cached_tokens
            span.set_attribute("gen_ai.usage.cache_read.input_tokens", cached)
        if first_s is not None:
            span.set_attribute("gen_ai.response.time_to_first_chunk", first_s)
        if self.contents:
            said = Message("assistant", text[:_LONGEST])
            span.set_attribute("gen_ai.output.messages", _messages([said]))

    def retrieved(
        self, question: str, passages: Sequence[Passage], collection: str, seconds: float
    ) -> None:
        """Make the span of a retrieval that has just ended."""
        ended = time.time_ns()
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.data_source.id": collection,
            "ragstack.retrieval.passages": len(passages),
        }
        if self.contents:
            found = [{"id": each.chunk.id, "score": each.score} for each in passages]
            attributes["gen_ai.retrieval.query.text"] = question[:_LONGEST]
            attributes["gen_ai.retrieval.documents"] = json.dumps(found)
        self.tracer.start_span(
            f"retrieval {collection}",
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            start_time=ended - round(seconds * 1e9),
        ).end(ended)

    def close(self) -> None:
        """Send the last spans."""
        self._provider.shutdown()


class Traced:
    """Makes a span of every request, below the caller's where it names one (W3C Trace Context)."""

    def __init__(self, app: ASGIApp, *, traces: Traces) -> None:
        self._app = app
        self._tracer = traces.tracer
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = method_of(scope)
        headers = Headers(scope=scope)
        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        span = self._tracer.start_span(
            method,
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.scheme": scope.get("scheme", "http")},
        )
        seen = Seen(send)
        token = contexts.attach(trace.set_span_in_context(span))
        try:
            await self._app(scope, receive, seen)
        except Exception as error:
            _failed(span, error)
            raise
        finally:
            contexts.detach(token)
            route = route_of(scope)
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
            if seen.status:
                span.set_attribute("http.response.status_code", seen.status)
            if seen.status >= 500:
                span.set_status(Status(StatusCode.ERROR))
            span.end()


def _failed(span: Span, error: BaseException) -> None:
    # The class alone: a message may quote what was asked.
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))


def _messages(messages: Sequence[Message]) -> str:
    """Return messages in the form of the conventions; images are named, not recorded."""
    return json.dumps(
        [
            {
                "role": each.role,
                "parts": [{"type": "text", "content": each.text[:_LONGEST]}],
            }
            for each in messages
        ]
    )
