"""The rest of OpenAI's interface by its own client, by LangChain's, and by curl."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstack.generate.local import LocalGenerator
from ragstack.generate.scripted import ScriptedGenerator
from ragstack_apps.server.running import Server

openai: Any = pytest.importorskip("openai", reason="openai is missing: install the extra dev")

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]


@pytest.fixture
def connect() -> Iterator[Callable[[Server], Any]]:
    """Makes clients of servers."""
    made: list[Any] = []

    def make(server: Server) -> Any:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


def test_completions(serve: Serve, connect: Any, tiny: LocalGenerator) -> None:
    client = connect(serve(tiny))
    ask: dict[str, Any] = {"model": tiny.name, "prompt": "Once", "max_tokens": 8}
    whole = client.completions.create(**ask)
    assert whole.object == "text_completion" and whole.usage.completion_tokens <= 8
    pieces = [chunk.choices[0].text for chunk in client.completions.create(**ask, stream=True)]
    assert "".join(pieces) == whole.choices[0].text
    with pytest.raises(openai.BadRequestError, match="prompt"):
        client.completions.create(model=tiny.name, prompt=[1, 2])


def test_embeddings_and_rerank(serve: Serve, connect: Any, client: Clients) -> None:
    server = serve(ScriptedGenerator([]))
    ours = connect(server)
    texts = ["The club pays for the roof", "It rains in May"]
    made = ours.embeddings.create(model="any", input=texts)  # base64, as the client asks for it
    plain = ours.embeddings.create(model="any", input=texts, encoding_format="float")
    assert [len(one.embedding) for one in made.data] == [len(plain.data[0].embedding)] * 2
    assert made.data[1].embedding == pytest.approx(plain.data[1].embedding, abs=1e-6)
    with pytest.raises(openai.BadRequestError, match="tokens"):
        ours.embeddings.create(model="any", input=[1, 2])
    web = client(server)
    body = {"query": "Who pays for the roof?", "documents": texts[::-1], "top_n": 1}
    (best,) = web.post("/v1/rerank", json=body).raise_for_status().json()["results"]
    assert best["index"] == 1


def test_batches(serve: Serve, connect: Any) -> None:
    script = ScriptedGenerator(lambda messages: f"heard {messages[-1].text}")
    client = connect(serve(script))
    lines = [
        {
            "custom_id": f"r{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": script.name if number else "unknown",
                "messages": [{"role": "user", "content": f"number {number}"}],
            },
        }
        for number in range(3)
    ]
    data = "\n".join(map(json.dumps, lines)).encode()
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    assert client.files.content(file.id).content == data
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    end = time.monotonic() + 20
    while (batch := client.batches.retrieve(batch.id)).status != "completed":
        assert time.monotonic() < end, batch
        time.sleep(0.02)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)
    out = [
        json.loads(line)
        for line in client.files.content(batch.output_file_id).text.split("\n")
        if line
    ]
    assert [one["response"]["status_code"] for one in out] == [404, 200, 200]
    assert out[2]["response"]["body"]["choices"][0]["message"]["content"] == "heard number 2"
    assert [one.id for one in client.batches.list()] == [batch.id]
    with pytest.raises(openai.BadRequestError, match="line 1"):
        bad = client.files.create(file=("x.jsonl", b"{}"), purpose="batch")
        client.batches.create(
            input_file_id=bad.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_batch_goes_on_after_a_stop(serve: Serve, connect: Any) -> None:
    def slow(_messages: Any) -> str:
        time.sleep(0.2)
        return "yes"

    script = ScriptedGenerator(slow)
    server = serve(script)
    client = connect(server)
    line = {
        "custom_id": "a",
        "url": "/v1/chat/completions",
        "body": {"model": script.name, "messages": [{"role": "user", "content": "x"}]},
    }
    data = "\n".join([json.dumps(line)] * 8).encode()
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    server.stop(1)
    server.house.close()
    after = connect(serve(script))
    end = time.monotonic() + 20
    while (found := after.batches.retrieve(batch.id)).status != "completed":
        assert time.monotonic() < end, found
        time.sleep(0.05)
    assert found.request_counts.completed == 8


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_langchain(serve: Serve) -> None:
    langchain: Any = pytest.importorskip("langchain_openai", reason="install the extra dev")
    script = ScriptedGenerator(lambda _: "Agnes Murray")
    url = f"{serve(script).url}/v1"
    chat = langchain.ChatOpenAI(base_url=url, api_key="none", model=script.name)
    assert chat.invoke("Who?").content == "Agnes Murray"
    assert "".join(part.content for part in chat.stream("Who?")) == "Agnes Murray"
    embeddings = langchain.OpenAIEmbeddings(
        base_url=url, api_key="none", model="any", check_embedding_ctx_length=False
    )
    assert len(embeddings.embed_documents(["a", "b"])) == 2


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
def test_curl(serve: Serve, tmp_path: Path) -> None:
    server = serve(ScriptedGenerator(lambda _: "yes"))

    def curl(*arguments: str) -> str:
        command = ["curl", "-sS", "--noproxy", "*", "--max-time", "20", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    (tmp_path / "a.md").write_text("The club owns nine boats.")
    job = json.loads(curl("-F", f"files=@{tmp_path / 'a.md'}", f"{server.url}/api/ingest"))["job"]
    assert "event: done" in curl("-N", f"{server.url}/api/ingest/{job}/events")
    asked = json.dumps({"question": "How many boats?"})
    found = curl("--json", asked, f"{server.url}/api/search")
    assert "nine boats" in json.loads(found)["passages"][0]["text"]
