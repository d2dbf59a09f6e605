"""Whether traces are wanted, found out without what makes them."""

from __future__ import annotations

import os

from ragstack_apps.accounts.settings import TelemetrySettings

__all__ = ["wants_traces"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_OFF = "OTEL_SDK_DISABLED"


def wants_traces(settings: TelemetrySettings) -> bool:
    """Return whether an endpoint is named, in the configuration or in the environment."""
    if os.environ.get(_OFF, "").lower() == "true":
        return False
    return bool(settings.endpoint or any(os.environ.get(name) for name in _ENDPOINTS))
