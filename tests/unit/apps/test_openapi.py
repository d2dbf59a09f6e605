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

# What would go on in the background while the next request is made, or write outside the base.
_LEFT = {("POST", "/api/ingest"), ("PUT", "/api/settings")}


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
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if (operation.method.upper(), operation.path) in _LEFT:
            continue
        found: list[str] = []

        @hypothesis.settings(
            max_examples=4,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        @hypothesis.given(case=operation.as_strategy())
        def attempt(case: Any, found: list[str] = found) -> None:
            nonlocal tried
            tried += 1
            arguments = case.as_transport_kwargs(base_url=server.url)
            arguments.pop("cookies", None)
            response = web.request(
                **{k: v for k, v in arguments.items() if k not in ("allow_redirects",)}
            )
            if response.status_code >= 500 and response.status_code != 501:
                found.append(f"{arguments}: {response.status_code} {response.text[:300]}")

        attempt()
        assert not found, found[0]
    assert tried > 50
