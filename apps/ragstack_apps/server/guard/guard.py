"""Settings in, all that stands round the application out: what is limited, measured, logged, swept.

What is outermost sees everything, what was refused too: traces and metrics, then headers, foreign
pages, the log, and within all of them the door that asks who is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from ragstack import Stack, registry
from ragstack.errors import RagstackError
from ragstack_apps.accounts.accounts import Accounts
from ragstack_apps.accounts.limits import Answering
from ragstack_apps.accounts.oidc import Oidc
from ragstack_apps.accounts.retention import Sweeper
from ragstack_apps.accounts.settings import ServeSettings
from ragstack_apps.server.guard.headers import Headed, Origins
from ragstack_apps.server.guard.logged import Logged
from ragstack_apps.server.guard.metrics import Counted, Metrics
from ragstack_apps.server.guard.observer import Observer
from ragstack_apps.server.guard.wanted import wants_traces

__all__ = ["Guard"]

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HEADERS = ("Authorization", "Content-Type", "Last-Event-ID")
_PREFLIGHT_S = 600


class Guard:
    """Of one server.

    Attributes:
        oidc: Single sign-on, or None where there is none.
    """

    def __init__(self, settings: ServeSettings, accounts: Accounts, stack: Stack) -> None:
        """Make all of it; nothing runs before ``start``.

        Raises:
            MissingExtra: Traces are wanted, and OpenTelemetry is not installed.
        """
        catalog = stack.parts.catalog
        self.settings = settings
        self.answering = Answering(settings.answers_at_once)
        self.metrics = Metrics(
            {
                "queue_waiting": lambda: self._of_engine("waiting"),
                "queue_at_work": lambda: self._of_engine("active"),
            }
        )
        self._generator: Callable[[], Any] = lambda: stack.parts.generator
        self._traces: Any = None
        if wants_traces(settings.telemetry):
            self._traces = registry.load("telemetry", "traces")(settings.telemetry)
        self.observer = Observer(self.metrics, self._traces)
        self.oidc = Oidc(settings.oidc, accounts.users, catalog) if settings.oidc.issuer else None
        self._sweeper = Sweeper(catalog, stack.folder, settings.retain)
        self._audit = accounts.audit

    def stand_round(self, app: FastAPI) -> None:
        """Put everything round an application; what is put last is met first."""
        app.add_middleware(Logged, audit=self._audit)
        origins = self.settings.origins
        if origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=_METHODS,
                allow_headers=_HEADERS,
                max_age=_PREFLIGHT_S,
            )
        app.add_middleware(Origins, allowed=origins)
        app.add_middleware(Headed, shared=bool(origins))
        app.add_middleware(Counted, metrics=self.metrics)
        if self._traces is not None:
            app.add_middleware(registry.load("telemetry", "requests"), traces=self._traces)

    def start(self) -> None:
        """Begin to sweep daily."""
        self._sweeper.start()

    def close(self) -> None:
        """Stop sweeping, send the last spans, close connections."""
        self._sweeper.close()
        if self.oidc is not None:
            self.oidc.close()
        if self._traces is not None:
            self._traces.close()

    def _of_engine(self, field: str) -> float | None:
        # To ask an engine that is not loaded yet would load it.
        stats: Any = getattr(self._generator(), "stats", None) if self.observer.warm else None
        try:
            found = stats() if stats is not None else None
        except RagstackError:
            return None
        value = getattr(found, field, None)
        return float(value) if isinstance(value, int | float) else None
