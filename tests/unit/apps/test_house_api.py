"""What can be seen and chosen over the server: settings, assistants, prompts, models, the map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ragstack import config
from ragstack.generate.local import LocalGenerator
from ragstack.generate.scripted import ScriptedGenerator
from ragstack_apps.server.projection import clusters, pca
from ragstack_apps.server.running import Server

np = pytest.importorskip("numpy")

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]


@pytest.fixture
def script() -> ScriptedGenerator:
    return ScriptedGenerator(lambda _: "Agnes Murray", scores=lambda _messages, _text: -0.1)


@pytest.fixture
def web(serve: Serve, client: Clients, filled: Path, script: ScriptedGenerator) -> httpx.Client:
    return client(serve(script))


def test_health(web: httpx.Client) -> None:
    assert web.get("/ready").json()["status"] == "ready"
    assert web.get("/docs").status_code == 404


def test_settings_are_checked_and_written(web: httpx.Client, filled: Path) -> None:
    before = web.get("/api/settings").json()
    assert before["config"]["retrieve"]["k"] == 5 and before["file"] == ""
    odd = {"it's": 'a "quote"\n\x7f', "list": [1, True, "x"], "no": {"deep": 0.5}}
    changes = {"retrieve": {"k": 8}, "transform": {"mine": odd}}
    after = web.put("/api/settings", json={"config": changes}).raise_for_status().json()
    assert after["restart"]
    loaded = config.load(filled, file=filled / "ragstack.toml")
    assert loaded.retrieve.k == 8 and loaded.transform["mine"] == odd
    for wrong in ({"retrieve": {"k": "x"}}, {"colour": 1}, {"rerank": {"use": "magic"}}):
        refused = web.put("/api/settings", json={"config": wrong})
        assert refused.status_code == 400, refused.text
        assert config.load(filled, file=filled / "ragstack.toml") == loaded
    web.put("/api/settings", json={"config": {"retrieve": None}}).raise_for_status()
    assert config.load(filled, file=filled / "ragstack.toml").retrieve.k == 5
    assert not list(filled.glob(".settings-*"))


def test_assistants(web: httpx.Client, script: ScriptedGenerator) -> None:
    body = {"instructions": "Speak of ships.", "tone": "dry", "retrieval": {"style": "brief"}}
    assert web.put("/api/assistants/captain", json=body).json()["tone"] == "dry"
    (one,) = web.get("/api/assistants").json()["assistants"]
    assert one["name"] == "captain"
    asked = {"question": "Who built the lighthouse?", "assistant": "captain", "stream": False}
    answer = web.post("/api/ask", json=asked).raise_for_status().json()
    assert "Agnes Murray" in answer["answer"]
    told = [ask.messages[0].text for ask in script.asked]
    assert told and all("Speak of ships." in text and "Tone: dry" in text for text in told)
    web.post("/api/ask", json={**asked, "assistant": None}).raise_for_status()
    assert "Speak of ships." not in script.asked[-1].messages[0].text
    assert web.post("/api/ask", json={**asked, "assistant": "x"}).status_code == 404
    bound = {**body, "collections": ["other"]}
    web.put("/api/assistants/captain", json=bound)
    assert web.post("/api/ask", json={**asked, "collection": "default"}).status_code == 400
    assert web.delete("/api/assistants/captain").json() == {"removed": 1}


def test_prompts_and_their_versions(web: httpx.Client, script: ScriptedGenerator) -> None:
    where = "/api/prompts/en/answer.system"
    first = web.put(where, json={"text": "Answer like a lighthouse keeper."}).json()
    assert [one["version"] for one in first["versions"]] == [0, 1]
    asked = {"question": "Who built the lighthouse?", "style": "brief", "stream": False}
    web.post("/api/ask", json=asked).raise_for_status()
    assert script.asked[-1].messages[0].text == "Answer like a lighthouse keeper."
    back = web.post(f"{where}/restore", json={"version": 0}).json()
    assert back["text"] == first["versions"][0]["text"]
    web.post("/api/ask", json=asked).raise_for_status()
    assert script.asked[-1].messages[0].text == back["text"]
    assert len(web.get("/api/prompts").json()["prompts"]) > 20
    refused = web.put("/api/prompts/en/answer.user", json={"text": "No variables"})
    assert refused.status_code == 400 and "variables" in refused.json()["error"]["message"]
    assert web.put("/api/prompts/xx/answer.user", json={"text": "x"}).status_code == 404
    assert web.post(f"{where}/restore", json={"version": 99}).status_code == 404


def test_stats_and_facets(web: httpx.Client) -> None:
    assert web.get("/api/stats").json()["documents"] > 2
    facets = web.get("/api/facets/language").json()["facets"]
    assert facets and facets[0]["documents"] >= 1
    assert web.get("/api/stats", params={"collection": "nowhere"}).status_code == 404


def test_the_map(web: httpx.Client) -> None:
    found = web.get("/api/map", params={"question": "Who built the lighthouse?"}).json()
    assert found["total"] == len(found["points"]) > 3
    assert set(found["question"]) == {"x", "y"}
    assert len({(p["x"], p["y"]) for p in found["points"]}) > 3
    few = web.get("/api/map", params={"limit": 3}).json()
    assert 1 <= len(few["points"]) <= 3 and few["question"] is None
    tsne = web.get("/api/map", params={"method": "tsne"})
    assert tsne.status_code in (200, 501)
    if tsne.status_code == 501:
        assert "scikit-learn" in tsne.text or "sklearn" in tsne.text


def test_principal_components_keep_what_differs_most() -> None:
    line = np.outer(np.arange(10.0), [3.0, 4.0, 0.0])
    placed, there = pca(line, line[4])
    assert np.allclose(np.abs(np.diff(placed[:, 0])), 5) and np.allclose(placed[:, 1], 0)
    assert there is not None and np.allclose(there, placed[4])
    one, _ = pca(line[:1])
    assert one.shape == (1, 2)
    two = np.vstack([np.zeros((5, 3)), np.ones((5, 3))])
    labels = clusters(two, 2)
    assert len(set(labels[:5])) == len(set(labels[5:])) == 1 and labels[0] != labels[9]


def test_models(serve: Serve, client: Clients, tiny: LocalGenerator) -> None:
    web = client(serve(tiny))
    asked = {"model": tiny.name, "messages": [{"role": "user", "content": "x"}], "max_tokens": 8}
    web.post("/v1/chat/completions", json=asked).raise_for_status()
    (model,) = web.get("/api/models").json()["models"]
    assert model["loaded"] and model["name"] == tiny.name and model["context"] == 2048
    assert model["tokens_per_second"] > 0 and model["memory_bytes"] > 0
