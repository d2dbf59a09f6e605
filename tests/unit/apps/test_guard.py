"""Who may do what over a real server: sign-in, keys, rights, scopes, limits, headers, log."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import argon2
import httpx
import pytest

from ragstack import Stack
from ragstack.generate.scripted import ScriptedGenerator
from ragstack_apps.accounts import accounts as accounts_module
from ragstack_apps.accounts import passwords
from ragstack_apps.accounts.caller import RIGHTS, Caller
from ragstack_apps.accounts.keys import Wanted
from ragstack_apps.server.running import Server

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]

ADMIN = Caller(key_id="test")
PASSWORD = "correct horse battery"
SECRET = "Zanzibar"
QUESTION = "Where does the treasure lie?"


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", cheap)
    passwords._nobodys.cache_clear()


SENTENCES = (
    f"The treasure lies on {SECRET} under a palm.",
    "The treasure of Madagascar is another one.",
    "The treasure is talked of by everybody.",
)


def telling(messages: Any) -> str:
    """Answer with the most telling sentence that the prompt holds."""
    prompt = " ".join(message.text for message in messages)
    return next((each for each in SENTENCES if each in prompt), "Nothing is known.")


def script() -> ScriptedGenerator:
    return ScriptedGenerator(telling)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A document for all, one for a group, and one in another collection."""
    folder, docs = tmp_path / "kb", tmp_path / "docs"
    docs.mkdir()
    for name, text in zip(("hidden", "other", "open"), SENTENCES, strict=True):
        (docs / f"{name}.txt").write_text(text, "utf-8")
    with Stack.open(folder, overrides={"embed": {"use": "hashing"}}, generator=script()) as stack:
        stack.ingest(docs / "open.txt")
        stack.ingest(docs / "hidden.txt", readers=["hr"])
        stack.ingest(docs / "other.txt", collection="island")
    return folder


def key(server: Server, *rights: str, **more: Any) -> dict[str, str]:
    wanted = Wanted("test", rights or ("read", "ask"), **more)
    _, secret = server.house.accounts.add_key(ADMIN, wanted)
    return {"Authorization": f"Bearer {secret}"}


def signed_in(server: Server, name: str, *groups: str, rights: Any = RIGHTS) -> dict[str, str]:
    accounts = server.house.accounts
    accounts.add_user(ADMIN, name, PASSWORD, groups=groups, rights=rights)
    return {"Authorization": f"Bearer {accounts.login(name, PASSWORD).token}"}


def code_of(response: httpx.Response) -> Any:
    return response.status_code, response.json()["error"]["code"]


def test_open_on_loopback_until_the_first_key(serve: Serve, client: Clients) -> None:
    server = serve(script())
    web = client(server)
    assert web.get("/api/me").json()["open"]
    assert web.get("/v1/models").status_code == 200
    made = web.post("/api/keys", json={"name": "first", "rights": ["admin"]})
    assert made.status_code == 201
    assert code_of(web.get("/v1/models")) == (401, "invalid_api_key")
    assert web.get("/v1/models").headers["www-authenticate"] == "Bearer"
    head = {"Authorization": f"Bearer {made.json()['key']}"}
    assert web.get("/v1/models", headers=head).status_code == 200
    web.delete(f"/api/keys/{made.json()['id']}", headers=head).raise_for_status()
    assert web.get("/v1/models", headers=head).status_code == 401
    assert web.get("/v1/models").status_code == 401  # it does not open again by that


def test_sign_in_over_http(serve: Serve, client: Clients) -> None:
    server = serve(script())
    web = client(server)
    made = web.post(
        "/api/users",
        json={"user": "Root", "password": PASSWORD, "groups": ["hr"], "rights": ["admin"]},
    )
    assert (made.status_code, made.json()["user"]) == (201, "root")
    wrong = web.post("/api/login", json={"user": "root", "password": "wrong horse"})
    assert code_of(wrong) == (401, "invalid_api_key")
    session = web.post("/api/login", json={"user": "root", "password": PASSWORD}).json()
    assert (session["user"], session["groups"], session["rights"]) == ("root", ["hr"], list(RIGHTS))
    head = {"Authorization": f"bearer {session['token']}"}
    me = web.get("/api/me", headers=head).json()
    assert me["rights"] == list(RIGHTS)
    assert (me["user"], me["open"], me["oidc"]) == ("root", False, False)
    listed = web.get("/api/users", headers=head)
    assert [user["user"] for user in listed.json()["users"]] == ["root"]
    assert "argon2" not in listed.text
    change = {"old": "wrong horse", "new": "another horse"}
    assert web.post("/api/me/password", json=change, headers=head).status_code == 401
    change["old"] = PASSWORD
    assert web.post("/api/me/password", json=change, headers=head).json() == {"changed": True}
    assert web.get("/api/me", headers=head).status_code == 401
    again = web.post("/api/login", json={"user": "root", "password": "another horse"}).json()
    head = {"Authorization": f"Bearer {again['token']}"}
    assert web.post("/api/logout", json={}, headers=head).json() == {"ended": True}
    assert web.get("/api/me", headers=head).status_code == 401
    assert code_of(web.post("/api/login", json={"code": "x"}))[0] == 401


def operations(server: Server) -> list[tuple[str, str]]:
    """Return every method and path there is, parameters filled in."""
    paths = server.app.openapi()["paths"]
    return [
        (method.upper(), re.sub(r"{.*?}", "x", path))
        for path, methods in paths.items()
        for method in methods
    ]


def test_nothing_answers_without_a_key(serve: Serve, client: Clients) -> None:
    """Of every route there is, and of those to come."""
    server = serve(script())
    key(server)
    web = client(server)
    opened = {path for method, path in operations(server) if path in server.house.open_paths}
    assert opened == {"/health", "/ready", "/metrics", "/api/login"}
    for method, path in [*operations(server), ("GET", "/nothing"), ("GET", "/openapi.json")]:
        if path not in opened:
            for head in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp4"}):
                body = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
                answer = web.request(method, path, headers=head, **body)  # type: ignore[arg-type]
                assert answer.status_code == 401, (method, path)


def test_every_route_asks_for_a_right(serve: Serve, client: Clients) -> None:
    """A key without any right of use, as one whose user lost theirs, gets nothing at all."""
    server = serve(script())
    server.house.accounts.add_user(ADMIN, "anna", PASSWORD, rights=("write",))
    head = key(server, "read", user="anna")  # nothing is left: read, of which the user has none
    web = client(server)
    free = {"/health", "/ready", "/metrics", "/api/login", "/api/logout", "/api/me"}
    for method, path in operations(server):
        if path not in free and path != "/api/me/password":
            body = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
            answer = web.request(method, path, headers=head, **body)  # type: ignore[arg-type]
            assert answer.status_code == 403, (method, path, answer.text)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/users"),
        ("POST", "/api/users"),
        ("DELETE", "/api/users/x"),
        ("GET", "/api/keys"),
        ("POST", "/api/keys"),
        ("DELETE", "/api/keys/x"),
        ("GET", "/api/audit"),
    ],
)
def test_only_who_administers_keeps_accounts(
    serve: Serve, client: Clients, method: str, path: str
) -> None:
    server = serve(script())
    web, head = client(server), key(server, "read", "ask", "write")
    body = {"json": {"name": "x"}} if method == "POST" else {}
    answer = web.request(method, path, headers=head, **body)  # type: ignore[arg-type]
    assert code_of(answer) == (403, "forbidden")


ASKS = [
    ("/api/search", {"question": QUESTION}),
    ("/api/search_many", {"questions": [QUESTION]}),
    ("/api/find", {"question": QUESTION}),
    ("/api/ask", {"question": QUESTION}),
    ("/api/ask", {"question": QUESTION, "stream": False, "style": "detailed"}),
    ("/api/ask", {"question": QUESTION, "chat": "talk"}),
]
CHAT = {"model": "ragstack/default", "messages": [{"role": "user", "content": QUESTION}]}


@pytest.mark.parametrize(("path", "body"), [*ASKS, ("/v1/chat/completions", CHAT)])
def test_documents_show_to_their_readers_alone(
    serve: Serve, client: Clients, filled: Path, path: str, body: dict[str, Any]
) -> None:
    server = serve(script())
    web = client(server)
    anna, eve = signed_in(server, "anna", "hr"), signed_in(server, "eve", "sales")
    admin_key, of_anna = key(server, "admin"), key(server, user="anna")
    for head in (anna, of_anna):
        answer = web.post(path, json=body, headers=head)
        assert answer.status_code == 200
        assert SECRET in answer.text, answer.text
    for talk, head in (("hers", eve), ("its", admin_key)):
        own = {"chat": talk} if "chat" in body else {}
        answer = web.post(path, json=body | own, headers=head)
        assert answer.status_code == 200
        assert SECRET not in answer.text
        assert "treasure" in answer.text


def test_nobody_sees_what_others_asked(serve: Serve, client: Clients, filled: Path) -> None:
    """Every GET route there is, by ids of another one's things, through administrators too."""
    server = serve(script())
    web = client(server)
    anna, eve = signed_in(server, "anna", "hr"), signed_in(server, "eve", "sales")
    answer = web.post(
        "/api/ask", json={"question": QUESTION, "stream": False, "chat": "talk"}, headers=anna
    )
    assert SECRET in answer.text
    catalog = server.house.stack.parts.catalog
    hidden = next(d for d in catalog.documents(collection="default") if "hidden" in d.source)
    ids = [answer.json()["run"], "talk", hidden.id]
    for head in (eve, key(server, "admin")):
        for path, methods in server.app.openapi()["paths"].items():
            if "get" not in methods:
                continue
            for each in ids if "{" in path else [""]:
                url = re.sub(r"{n}", "1", path)
                got = web.get(re.sub(r"{.*?}", each, url), headers=head)
                assert SECRET not in got.text, url
                assert got.status_code < 500, (url, got.text)
                if "/events" in path or "/runs/{" in path or "/chats/{" in path:
                    assert got.status_code in (403, 404), (url, each)
        mine = {"question": "And now?", "stream": False, "chat": "talk"}
        assert web.post("/api/ask", json=mine, headers=head).status_code == 404


def test_a_key_of_some_collections_knows_no_other(
    serve: Serve, client: Clients, filled: Path
) -> None:
    server = serve(script())
    web, head = client(server), key(server, "read", "ask", "write", collections=["island"])
    for path, body in ASKS:
        inside = body | {"collection": "island"} | ({"chat": "isle"} if "chat" in body else {})
        answer = web.post(path, json=inside, headers=head)
        assert (answer.status_code, "Madagascar" in answer.text) == (200, True)
        for outside in (body, body | {"collection": "default"}, body | {"collection": "nowhere"}):
            assert web.post(path, json=outside, headers=head).status_code in (403, 404)
    models = web.get("/v1/models", headers=head).json()["data"]
    assert [m["id"] for m in models if m["id"].startswith("ragstack/")] == ["ragstack/island"]
    refused = web.post("/v1/chat/completions", json=CHAT, headers=head)
    assert code_of(refused) == (404, "model_not_found")
    assert "default" not in refused.json()["error"]["message"].partition("known")[2]
    for path, methods in server.app.openapi()["paths"].items():
        if "get" in methods and path not in ("/health", "/ready", "/metrics"):
            url = re.sub(r"{.*?}", "default", path)
            for query in ({}, {"collection": "default"}):
                got = web.get(url, params=query, headers=head)
                assert "everybody" not in got.text and "open.txt" not in got.text, url


def test_too_many_requests_wait(
    serve: Serve, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts_module, "_WRONG_A_MINUTE", 3)
    server = serve(script(), settings={"requests_per_minute": 3})
    web, head, other = client(server), key(server), key(server)
    for _ in range(3):
        assert web.get("/api/me", headers=head).status_code == 200
    refused = web.get("/api/me", headers=head)
    assert code_of(refused) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert web.get("/api/me", headers=other).status_code == 200
    for _ in range(3):
        assert web.get("/api/me", headers={"Authorization": "Bearer x"}).status_code == 401
    assert web.get("/api/me", headers={"Authorization": "Bearer x"}).status_code == 429


def test_one_who_runs_the_server_is_not_limited(serve: Serve, client: Clients) -> None:
    server = serve(script(), settings={"requests_per_minute": 1}, api_key="s3cret")
    web = client(server)
    head = {"Authorization": "Bearer s3cret"}
    assert [web.get("/api/me", headers=head).status_code for _ in range(3)] == [200] * 3


def test_answers_at_once(serve: Serve, client: Clients, filled: Path) -> None:
    server = serve(script(), settings={"answers_at_once": 1})
    web, head = client(server), key(server)
    caller = server.house.accounts.identify(head["Authorization"].removeprefix("Bearer "))
    answering = server.house.guard.answering
    for path, body in [ASKS[3], ("/v1/chat/completions", CHAT)]:
        with answering.one(caller.limited_as):  # who heard an answer's end may ask again at once
            assert code_of(web.post(path, json=body, headers=head)) == (429, "rate_limited")
        for _ in range(3):
            assert web.post(path, json=body, headers=head).status_code == 200


def test_tries_to_sign_in_are_counted(serve: Serve, client: Clients) -> None:
    web = client(serve(script(), settings={"logins_per_minute": 2}))
    body = {"user": "anna", "password": "wrong horse"}
    codes = [web.post("/api/login", json=body).status_code for _ in range(3)]
    assert codes == [401, 401, 429]


def test_headers_of_every_answer(serve: Serve, client: Clients) -> None:
    web = client(serve(script(), api_key="s3cret"))
    for path in ("/health", "/nothing", "/api/me"):
        headers = web.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "sandbox" in headers["content-security-policy"]
        assert "strict-transport-security" not in headers
        assert not {"server", "x-powered-by", "set-cookie"} & set(headers)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "http://["])
def test_pages_of_other_addresses_can_do_nothing(
    serve: Serve, client: Clients, origin: str
) -> None:
    web = client(serve(script()))
    head = {"Origin": origin}
    answer = web.post("/api/keys", json={"name": "theirs", "rights": ["admin"]}, headers=head)
    assert answer.status_code == 403
    files = {"files": ("a.txt", b"x")}
    assert web.post("/api/keys", files=files, headers=head).status_code == 403
    assert web.get("/api/me").json()["open"]
    read = web.get("/api/me", headers=head)
    assert "access-control-allow-origin" not in read.headers
    assert read.headers["cross-origin-resource-policy"] == "same-origin"
    ahead = head | {"Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in web.options("/api/ask", headers=ahead).headers


def test_a_page_of_its_own_address_may(serve: Serve, client: Clients) -> None:
    server = serve(script())
    answer = client(server).post("/api/keys", json={"name": "own"}, headers={"Origin": server.url})
    assert answer.status_code == 201
    site = {"Sec-Fetch-Site": "cross-site"}
    assert client(server).post("/api/keys", json={"name": "x"}, headers=site).status_code == 403


def test_origins_that_the_configuration_names(serve: Serve, client: Clients) -> None:
    origin = "https://intranet.example"
    server = serve(script(), settings={"origins": [origin]})
    web, head = client(server), key(server) | {"Origin": origin}
    ahead = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    allowed = web.options("/api/ask", headers=ahead)
    assert allowed.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in allowed.headers
    assert web.get("/api/me", headers=head).headers["access-control-allow-origin"] == origin
    evil = ahead | {"Origin": "https://evil.example"}
    assert "access-control-allow-origin" not in web.options("/api/ask", headers=evil).headers


def test_the_log_of_requests_holds_no_contents(serve: Serve, client: Clients, filled: Path) -> None:
    server = serve(script())
    web, head = client(server), signed_in(server, "anna", "hr")
    for path, body in ASKS:
        web.post(path, json=body, headers=head)
    web.get("/api/users/../%0d%0aX: y", headers=head)
    web.request("BREW", "/api/ask", headers=head)
    web.get("/api/users", headers={"Authorization": "Bearer wrong"})
    for quiet in ("/health", "/api/me", "/v1/models", "/metrics"):
        web.get(quiet, headers=head)
    root = key(server, "admin")
    lines = web.get("/api/audit", headers=root).json()["audit"]
    done = {(line["what"], line["who"], line["outcome"]) for line in lines}
    assert ("POST /api/ask", "anna", "200") in done
    assert ("POST /api/search", "anna", "200") in done
    assert ("login", "anna", "ok") in done
    assert any(line["outcome"] == "401" and not line["who"] for line in lines)
    assert not any("/health" in what or "/v1/models" in what for what, _, _ in done)
    text = json.dumps(lines)
    assert SECRET not in text and "treasure" not in text and "wrong" not in text
    assert "\\r" not in text and "BREW" not in text
    page = web.get("/api/audit", params={"limit": 1, "who": "anna"}, headers=root).json()["audit"]
    older = {"before": page[0]["at"], "who": "anna", "limit": 1}
    assert web.get("/api/audit", params=older, headers=root).json()["audit"][0] != page[0]
    for wrong in ({"limit": 0}, {"limit": 5000}, {"before": "yesterday"}):
        assert web.get("/api/audit", params=wrong, headers=root).status_code == 400


def test_metrics(serve: Serve, client: Clients, filled: Path) -> None:
    server = serve(script())
    web, head = client(server), key(server)
    web.post("/api/ask", json=ASKS[3][1], headers=head)
    web.get("/nothing/<script>", headers=head)
    web.get("/api/me")
    # A request is counted when its answer is out, which its client may hear first.
    until = time.monotonic() + 10
    while 'status="401"' not in web.get("/metrics").text and time.monotonic() < until:
        time.sleep(0.01)
    answer = web.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.text
    assert 'ragstack_requests_total{method="POST",route="/api/ask",status="200"} 1.0' in text
    assert 'ragstack_requests_total{method="GET",route="unknown",status="404"} 1.0' in text
    assert 'status="401"' in text
    assert 'ragstack_tokens_total{kind="answer"' in text
    assert "ragstack_generation_seconds_bucket" in text
    assert 'ragstack_first_byte_seconds_count{route="/api/ask"} 1.0' in text
    assert re.search(r'ragstack_answers_total{outcome="\w+"} 1.0', text)
    assert "<script" not in text and "treasure" not in text
    proxied = web.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
    assert proxied.status_code == 401
    assert web.get("/metrics", headers=head | {"Forwarded": "for=x"}).status_code == 200
    writes = key(server, "write") | {"X-Real-IP": "203.0.113.9"}
    assert web.get("/metrics", headers=writes).status_code == 403
