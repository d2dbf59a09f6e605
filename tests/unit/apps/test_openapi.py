"""The OpenAPI description holds: random requests made from it find no error of the server's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstack.generate.scripted import ScriptedGenerator
from ragstack_apps.server.running import Server

schemathesis: Any = pytest.importorskip("schemathesis", reason="install the extra dev")
hypothesis: Any = pytest.importorskip("hypothesis", reason="install the extra dev")

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]

# What would go on in the background while the next request is made, or is sent as a form.
_LEFT = {("POST", "/api/ingest"), ("PUT", "/api/settings"), ("POST", "/v1/files")}


@pytest.fixture
def server(serve: Serve, filled: Path) -> Server:
    return serve(ScriptedGenerator(lambda _: "yes", scores=lambda _messages, _text: -0.1))


def test_every_operation_is_described(server: Server, client: Clients) -> None:
    found = client(server).get("/openapi.json").json()
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
    assert found["components"]["schemas"]["AskBody"]["properties"]["question"]["examples"]


@pytest.mark.filterwarnings("ignore")
def test_random_requests_find_no_failure(server: Server, client: Clients) -> None:
    schema = schemathesis.openapi.from_dict(client(server).get("/openapi.json").json())
    web = client(server)
    failed: list[str] = []
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if (operation.method.upper(), operation.path) not in _LEFT:
            tried += attempts(operation, web, failed)
    assert not failed, failed[0]
    assert tried > 50


def attempts(operation: Any, web: httpx.Client, failed: list[str]) -> int:
    """Make a few random requests of one operation; return how many."""
    tried = 0

    @hypothesis.settings(
        max_examples=4,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy())
    def attempt(case: Any) -> None:
        nonlocal tried
        tried += 1
        arguments = case.as_transport_kwargs(base_url=str(web.base_url).rstrip("/"))
        sent = {k: v for k, v in arguments.items() if k not in ("cookies", "allow_redirects")}
        response = web.request(**sent)
        if response.status_code >= 500 and response.status_code != 501:
            failed.append(f"{sent}: {response.status_code} {response.text[:300]}")

    attempt()
    return tried
