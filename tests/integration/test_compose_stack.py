"""The services of docker-compose.yml together: their own commands, as processes on loopback."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

pytest.importorskip("chromadb", reason='pip install "ragstack[chroma]"')
pytest.importorskip("streamlit", reason='pip install "ragstack[ui]"')
pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

KEY = "k" * 32
CORPUS = Path(__file__).resolve().parents[1] / "corpus"
ENVIRON = {"RAGSTACK_API_KEY": KEY, "DOCUMENTS": str(CORPUS)}
CONFIG = """
[embed]
use = "hashing"
[generate]
use = "scripted"
replies = ["Agnes Murray", "Agnes Murray", "Agnes Murray", "Agnes Murray"]
scores = { yes = -0.1, Yes = -0.1, no = -3.0, No = -3.0, "not in the passages" = -5.0 }
"""
SERVICES = ["chroma", "server", "chat"]


@pytest.fixture(scope="module")
def stack(
    script: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    module, folder = script("stack"), tmp_path_factory.mktemp("stack")
    base = folder / "volumes" / "base"
    base.mkdir(parents=True)
    (base / "ragstack.toml").write_text(CONFIG, "utf-8")
    with module.running(folder, ENVIRON, only=SERVICES) as running:
        yield running
    # Told to stop, each came to its end by itself.
    assert set(running.exit_codes().values()) <= {0, -signal.SIGTERM}, running.exit_codes()


@pytest.fixture(scope="module")
def client(stack: Any) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=stack.url("server", 8000),
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=30,
        trust_env=False,
    ) as client:
        yield client


@pytest.fixture(scope="module")
def ingested(stack: Any) -> dict[str, Any]:
    """What came of `docker compose exec server ragstack ingest`, the server being at work."""
    done = stack.run("server", "ragstack", "ingest", "/documents", "--base", "/data", "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("service", SERVICES)
def test_health_checks_pass(stack: Any, service: str) -> None:
    assert stack.healthy(service)


def test_a_service_that_is_gone_is_not_healthy(stack: Any) -> None:
    gone = type(stack)(stack.services, stack.folder, stack.environ)  # ports where nobody listens
    assert not any(gone.healthy(service) for service in SERVICES)


def test_vectors_are_kept_by_chroma(stack: Any, ingested: dict[str, Any]) -> None:
    assert len(ingested["added"]) == 8
    assert not ingested["failed"]
    url = f"{stack.url('chroma', 8000)}/api/v2/tenants/default_tenant/databases/default_database"
    (collection,) = httpx.get(f"{url}/collections", trust_env=False).json()
    count = httpx.get(f"{url}/collections/{collection['id']}/count", trust_env=False).json()
    assert count == ingested["chunks"]


def test_a_document_is_found(stack: Any, ingested: dict[str, Any]) -> None:
    done = stack.run(
        "server", "ragstack", "search", "Who built the lighthouse?", "--base", "/data", "--json"
    )
    first = json.loads(done.stdout)[0]
    assert first["source"].endswith("lighthouse.md")
    assert "vector" in first["trail"]


def test_the_server_asks_for_its_key(client: httpx.Client) -> None:
    assert client.get("/v1/models").status_code == 200
    wrong = {"Authorization": "Bearer wrong"}
    assert client.get("/v1/models", headers=wrong).status_code == 401


def test_the_server_answers_from_the_base(client: httpx.Client, ingested: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": "Who built the lighthouse?"}]
    done = client.post(
        "/v1/chat/completions", json={"model": "ragstack/default", "messages": messages}
    )
    assert done.status_code == 200, done.text
    citation = done.json()["ragstack"]["citations"][0]
    assert "Agnes Murray" in citation["quote"]
    assert citation["source"].endswith("lighthouse.md")


def test_the_guide_runs_as_it_stands(
    stack: Any,
    ingested: dict[str, Any],
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RAGSTACK_URL", stack.url("server", 8000))
    monkeypatch.setenv("RAGSTACK_API_KEY", KEY)
    page = repository / "docs" / "guides" / "stack.md"
    (block,) = re.findall(r"^```py\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    exec(compile(block, str(page), "exec"), {})
    shown = capsys.readouterr().out
    assert "lighthouse.md: The lighthouse was built in 1871 by the engineer Agnes Murray" in shown


def test_the_page_is_there(stack: Any) -> None:
    page = httpx.get(stack.url("chat", 8501), trust_env=False)
    assert page.status_code == 200
    assert "streamlit" in page.text.lower()
