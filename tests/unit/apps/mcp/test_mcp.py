from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from ragstack import Stack
from ragstack.errors import MissingExtra, NotSignedIn
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.testing.stacks import TEXTS, say, score
from ragstack.types import Delta
from ragstack_apps.mcp.route import router
from ragstack_apps.mcp.server import mcp_server
from ragstack_apps.mcp.tools import LOCAL, Rights, address_of
from ragstack_apps.server.caller import Caller
from ragstack_apps.server.house import House
from ragstack_apps.server.place import Place
from ragstack_apps.server.running import Server

pytestmark = pytest.mark.anyio

CALLERS = {
    "anna's": Caller("anna", ("staff",), frozenset({"read", "ask"}), None, "1"),
    "bob's": Caller("bob", (), frozenset({"read"}), ("default",), "2"),
}


def caller(shown: Any) -> Caller:
    if shown.token not in CALLERS:
        raise NotSignedIn("who are you?")
    return CALLERS[shown.token]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three documents; the bees are for staff, and a letter is in another collection."""
    place = tmp_path_factory.mktemp("mcp")
    for name, text in TEXTS.items():
        path = place / "papers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (place / "letter.txt").write_text("A letter of great length. " * 2_000, encoding="utf-8")
    with opened(place / "kb") as stack:
        stack.ingest(place / "papers" / "lease.md", place / "papers" / "lighthouse.md")
        stack.ingest(place / "papers" / "sub", readers=["staff"])
        stack.ingest(place / "letter.txt", collection="letters")
    return place / "kb"


def opened(folder: Path) -> Stack:
    generator = ScriptedGenerator(say, scores=score)
    return Stack.open(folder, overrides={"embed": {"use": "hashing"}}, generator=generator)


@pytest.fixture
def stack(base: Path) -> Iterator[Stack]:
    with opened(base) as stack:
        yield stack


@pytest.fixture
def url(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a server that knows two people."""
    house = House.of(stack, Place(port=0, api_key="x"))
    monkeypatch.setattr(house.accounts, "caller", caller)
    server = Server(house)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.url
    finally:
        server.stop(5)
        thread.join()
        house.close()


@asynccontextmanager
async def over_http(url: str, key: str, **more: Any) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, **more) as client:
            yield client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_search_read_ask_over_http(url: str, mode: str) -> None:
    async with over_http(url, "anna's", mode=mode) as client:
        assert client.server_info is not None
        assert client.server_info.name == "ragstack"
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["search", "read", "ask"]
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)

        found = await client.call_tool("search", {"query": "Who built the lighthouse?", "k": 2})
        assert not found.is_error
        assert "Agnes Murray" in found.content[0].text
        best = found.structured_content["passages"][0]
        assert "Agnes Murray" in best["text"]
        assert "readers" not in best

        span = {key: best[key] for key in ("document_id", "start", "end")}
        read = await client.call_tool("read", span)
        assert read.structured_content["text"] == best["text"]

        answer = await client.call_tool("ask", {"question": "Who built the lighthouse?"})
        assert "Agnes Murray" in answer.content[0].text
        (citation,) = answer.structured_content["citations"]
        resource = (await client.read_resource(citation["uri"])).contents[0].text
        assert resource[citation["start"] : citation["end"]] == citation["quote"]


async def test_rights_hold(url: str) -> None:
    async with over_http(url, "bob's") as bob, over_http(url, "anna's") as anna:
        question = {"query": "How much honey did the hive give?"}
        hers = (await anna.call_tool("search", question)).structured_content["passages"]
        his = (await bob.call_tool("search", question)).structured_content["passages"]
        (bees,) = (row for row in hers if "honey" in row["text"])
        assert all("honey" not in row["text"] for row in his)

        refused = await bob.call_tool("read", {"document_id": bees["document_id"]})
        assert refused.is_error
        assert "there is no document" in refused.content[0].text
        with pytest.raises(MCPError, match="there is no document"):
            await bob.read_resource(bees["uri"])
        assert (await anna.read_resource(bees["uri"])).contents[0].text == TEXTS["sub/bees.txt"]

        asked = await bob.call_tool("ask", {"question": "Who built the lighthouse?"})
        assert asked.is_error
        assert "the right 'ask'" in asked.content[0].text

        letters = await bob.call_tool("search", {"query": "letter", "collection": "letters"})
        assert letters.is_error
        assert "there is no collection 'letters'" in letters.content[0].text
        names = [row.name for row in (await bob.list_resources()).resources]
        assert sorted(Path(name).name for name in names) == ["lease.md", "lighthouse.md"]
        assert len((await anna.list_resources()).resources) == 4


async def test_without_a_key_nothing_is_answered(url: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{url}/mcp", json=body)
        assert answer.status_code == 401
        wrong = await http.post(f"{url}/mcp", json=body, headers={"Authorization": "Bearer anna"})
        assert wrong.status_code == 401


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("search", {}, "the argument 'query' is missing"),
        ("search", {"query": " "}, "blank"),
        ("search", {"query": "x", "k": 0}, "k is 0, expected 1 to 50"),
        ("search", {"query": "x", "where": {"year": {"around": 3}}}, "unknown operator"),
        ("search", {"query": 3}, "must be of type string"),
        ("read", {"document_id": "nowhere"}, "there is no document 'nowhere'"),
        ("ask", {"question": "Why?", "style": "loud"}, "must be one of"),
        ("ask", {"question": "Why?", "stile": "brief"}, "did you mean 'style'"),
        ("rm", {}, "there is no tool 'rm'"),
    ],
)
async def test_what_a_model_gets_wrong_it_is_told(
    stack: Stack, tool: str, arguments: dict[str, Any], told: str
) -> None:
    async with Client(mcp_server(stack, lambda _context: LOCAL())) as client:
        answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    assert told in answer.content[0].text


async def test_a_long_document_comes_in_parts(stack: Stack) -> None:
    (info,) = stack.documents(collection="letters")
    async with Client(mcp_server(stack, lambda _context: LOCAL())) as client:
        told: dict[str, Any] = {"document_id": info.id, "collection": "letters"}
        text, start = "", 0
        while start < info.length:
            part = await client.call_tool("read", {**told, "start": start})
            text += part.structured_content["text"]
            start = part.structured_content["end"]
            more = f"(it goes on: read with start={start})" in part.content[0].text
            assert more == (start < info.length)
        document = stack.document(info.id, collection="letters")
        assert document is not None
        assert text == document.text
        wrong = await client.call_tool("read", {**told, "start": 9, "end": 3})
        assert "is none of" in wrong.content[0].text


async def test_resources_are_listed_in_pages(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragstack_apps.mcp.server._PAGE", 2)
    async with Client(mcp_server(stack, lambda _context: LOCAL(("staff",)))) as client:
        first = await client.list_resources()
        second = await client.list_resources(cursor=first.next_cursor)
        assert [len(page.resources) for page in (first, second)] == [2, 2]
        assert second.next_cursor is None
        assert len({row.uri for row in [*first.resources, *second.resources]}) == 4
        with pytest.raises(MCPError, match="no list goes on at 'x'"):
            await client.list_resources(cursor="x")
        with pytest.raises(MCPError, match="is no address of a document"):
            await client.read_resource("file:///etc/passwd")
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "ragstack:///{collection}/{document_id}"


class Slow(ScriptedGenerator):
    """Says words until its work is cancelled, as an engine does."""

    def __init__(self) -> None:
        super().__init__(say, scores=score)
        self.began, self.ended, self.cancel = (threading.Event() for _ in range(3))

    def stream(self, *_: Any, **__: Any) -> Iterator[Delta]:
        for _ in range(1_000):  # an end, where nobody cancels it
            if self.cancel.wait(0.02):
                break
            self.began.set()
            yield Delta("word ")
        self.ended.set()
        yield Delta(finish="cancelled")

    @contextmanager
    def serving(self, _caller: Rights, gone: threading.Event) -> Iterator[None]:
        self.cancel = gone
        yield


async def test_an_answer_nobody_waits_for_is_given_up(base: Path) -> None:
    generator = Slow()
    overrides = {"embed": {"use": "hashing"}}
    with Stack.open(base, overrides=overrides, generator=generator) as stack, anyio.fail_after(20):
        server = mcp_server(stack, lambda _context: LOCAL(), generator.serving)
        async with Client(server) as client, anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "ask", {"question": "Who built it?"})
            while not generator.began.is_set():
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        while not generator.ended.is_set():
            await anyio.sleep(0.01)


async def test_over_stdio(base: Path, repository: Path) -> None:
    """The command as an assistant starts it, with a base of its own and no model."""
    paths = [repository, repository / "apps", repository / "connectors", repository / "evals"]
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PATH": os.environ["PATH"],
    }
    (base / "ragstack.toml").write_text('[embed]\nuse = "hashing"\n', encoding="utf-8")
    run = "from ragstack.cli import main; main()"
    start = StdioServerParameters(
        command=sys.executable,
        args=["-c", run, "mcp", "--base", str(base), "--as", "staff", "-c", "default"],
        env=environment,
    )
    async with Client(start, read_timeout_seconds=60) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == [
            "search",
            "read",
            "ask",
        ]
        found = await client.call_tool("search", {"query": "honey of the hive", "k": 1})
        (bees,) = found.structured_content["passages"]
        assert "honey" in bees["text"]
        text = (await client.read_resource(bees["uri"])).contents[0].text
        assert text == TEXTS["sub/bees.txt"]
        with pytest.raises(MCPError, match="there is no document"):
            await client.read_resource(address_of("x", "letters"))


def test_the_sdk_is_loaded_when_somebody_asks_for_it() -> None:
    code = "import sys, ragstack_apps.mcp.route; print('mcp' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert found.stdout.strip() == "False"


def test_without_the_sdk_the_extra_is_named(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House.of(stack, Place(port=0))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    try:
        with pytest.raises(MissingExtra, match="mcp"):
            router(house)
    finally:
        house.close()
