"""Bodies that no description foresees: whatever comes, it is taken or refused, and never a 5xx."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstack.generate.scripted import ScriptedGenerator
from ragstack_apps.server.running import Server

hypothesis: Any = pytest.importorskip("hypothesis", reason="install the extra dev")
st: Any = pytest.importorskip("hypothesis.strategies", reason="install the extra dev")

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]

_ODD = ["", "../a", "/etc/passwd", "a\0b", "é\u202e.md", '"', "a" * 500, "\\\\x\\y", ".", "a.pdf"]
_JSONS = ["{}", "[]", "null", "[" * 3000, '{"a": 1e999}', '{"a": "\\ud800"}', "9" * 5000, "NaN"]


def examples(count: int) -> Any:
    return hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )


@pytest.fixture
def web(serve: Serve, client: Clients) -> Iterator[httpx.Client]:
    yield client(serve(ScriptedGenerator(lambda _: "yes")))


def checked(response: httpx.Response, sent: object) -> None:
    assert response.status_code < 500, (sent, response.text)
    if response.status_code >= 400:
        assert response.json()["error"]["message"], sent


@st.composite
def forms(draw: Any, fields: list[str]) -> tuple[str, bytes]:
    """A Content-Type and a body: a form, or something that was one."""
    boundary = draw(st.sampled_from(["b", "-" * 70, "a b", "x'y"]))
    names = st.one_of(st.sampled_from(fields), st.text(max_size=8))
    texts = st.one_of(st.text(max_size=30), st.sampled_from([*_ODD, *_JSONS]))
    parts = b""
    for _ in range(draw(st.integers(0, 4))):
        name = draw(names).replace("\n", " ").replace("\r", " ")
        head = f'Content-Disposition: form-data; name="{name}"'
        if draw(st.booleans()):
            file = draw(texts).replace("\n", " ").replace("\r", " ")
            head += f'; filename="{file}"'
        if draw(st.booleans()):
            head += f"\r\nContent-Type: {draw(st.sampled_from(['text/plain', 'é', '', 'a/b;c']))}"
        data = draw(st.one_of(st.binary(max_size=60), texts.map(lambda t: t.encode("utf-8"))))
        encoded = head.encode("utf-8", "replace")
        parts += b"--" + boundary.encode() + b"\r\n" + encoded + b"\r\n\r\n" + data + b"\r\n"
    parts += b"--" + boundary.encode() + b"--\r\n"
    if draw(st.booleans()):
        at = draw(st.integers(0, len(parts)))
        parts = parts[:at] + draw(st.binary(max_size=8)) + parts[at + draw(st.integers(0, 8)) :]
    declared = draw(st.sampled_from([f"; boundary={boundary}", f'; boundary="{boundary}"', ""]))
    return f"multipart/form-data{declared}", parts


def test_forms_of_an_ingest(web: httpx.Client) -> None:
    @examples(60)
    @hypothesis.given(form=forms(["files", "files", "collection", "meta", "readers"]))
    def attempt(form: tuple[str, bytes]) -> None:
        kind, body = form
        sent = web.post("/api/ingest", content=body, headers={"Content-Type": kind})
        checked(sent, form)
        if sent.status_code == 202:
            job = sent.json()["job"]
            web.get(f"/api/ingest/{job}/events")
            state = web.get(f"/api/ingest/{job}").json()
            told = (state["error"] or {}).get("error", {}).get("code")
            assert told != "internal_error", (form, state)

    attempt()


def test_fields_of_an_ingest(web: httpx.Client) -> None:
    texts = st.one_of(st.text(max_size=20), st.sampled_from([*_ODD, *_JSONS]))
    field = st.sampled_from(["collection", "meta", "readers"])

    @examples(40)
    @hypothesis.given(fields=st.dictionaries(field, texts, max_size=3))
    def attempt(fields: dict[str, str]) -> None:
        sent = web.post("/api/ingest", files=[("files", ("a.md", b"Words"))], data=fields)
        checked(sent, fields)
        if sent.status_code == 202:
            web.get(f"/api/ingest/{sent.json()['job']}/events")
            state = web.get(f"/api/ingest/{sent.json()['job']}").json()
            told = (state["error"] or {}).get("error", {}).get("code")
            assert told != "internal_error", (fields, state)

    attempt()
    assert web.get("/api/documents").status_code == 200


def test_paths_and_connectors_of_an_ingest(web: httpx.Client, tmp_path: Path) -> None:
    paths = st.one_of(st.text(max_size=12), st.sampled_from(_ODD)).map(lambda t: f"{tmp_path}/x{t}")
    scalar = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9))
    options = st.dictionaries(st.sampled_from(["paths", "url", "x", "path"]), scalar, max_size=2)
    uses = st.sampled_from(["files", "git", "sql", "mail", "rest", "nothing", "", "feeds"])
    connector = st.builds(lambda use, more: {**more, "use": use}, uses, options)
    body = st.fixed_dictionaries(
        {},
        optional={
            "paths": st.one_of(scalar, st.lists(paths, max_size=2)),
            "connector": st.one_of(scalar, connector),
            "collection": st.one_of(scalar, st.sampled_from(_ODD)),
            "meta": st.one_of(scalar, st.dictionaries(st.text(max_size=4), scalar, max_size=2)),
            "readers": st.one_of(scalar, st.lists(st.text(max_size=5), max_size=2)),
        },
    )

    @examples(60)
    @hypothesis.given(body=body)
    def attempt(body: Any) -> None:
        content = json.dumps(body).encode()
        head = {"Content-Type": "application/json"}
        checked(web.post("/api/ingest", content=content, headers=head), body)

    attempt()


def test_settings(web: httpx.Client) -> None:
    known = web.get("/api/settings").json()["config"]
    keys = sorted(
        {*known, *(key for one in known.values() if isinstance(one, dict) for key in one)}
    )
    scalar = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(min_value=2**70),
        st.floats(),
        st.text(max_size=12),
        st.sampled_from(_ODD),
    )
    key = st.one_of(st.sampled_from(keys), st.sampled_from(["use", "env"]), st.text(max_size=6))
    value = st.recursive(
        scalar,
        lambda inner: st.one_of(
            st.lists(inner, max_size=2), st.dictionaries(key, inner, max_size=3)
        ),
        max_leaves=6,
    )
    section = st.sampled_from(sorted(known))
    config = st.dictionaries(st.one_of(section, key), st.dictionaries(key, value), max_size=2)

    @examples(150)
    @hypothesis.given(config=st.one_of(config, value))
    def attempt(config: Any) -> None:
        content = json.dumps({"config": config}).encode()
        sent = web.put(
            "/api/settings", content=content, headers={"Content-Type": "application/json"}
        )
        checked(sent, config)
        assert web.get("/api/settings").status_code == 200, config

    attempt()


def test_files_of_batches(web: httpx.Client) -> None:
    @examples(50)
    @hypothesis.given(form=forms(["file", "file", "purpose"]))
    def attempt(form: tuple[str, bytes]) -> None:
        kind, body = form
        sent = web.post("/v1/files", content=body, headers={"Content-Type": kind})
        checked(sent, form)
        if sent.status_code == 200:
            assert web.get(f"/v1/files/{sent.json()['id']}/content").status_code == 200

    attempt()
    assert web.get("/v1/files").status_code == 200


def test_what_comes_back_from_single_sign_on(serve: Serve, client: Clients, openid: Any) -> None:
    with openid.serving_provider() as provider:
        oidc = {"issuer": provider.url, "client_id": "rag"}
        settings = {"oidc": oidc, "logins_per_minute": 100_000}
        web = client(serve(ScriptedGenerator([]), settings=settings))
        begun = web.get("/api/login/oidc", follow_redirects=False)
        back = provider.authorize(begun.headers["location"])
        cookie = web.cookies.get("ragstack_login", "")
        text = st.one_of(st.text(max_size=20), st.sampled_from([*_ODD, *_JSONS, *back.values()]))
        names = st.sampled_from(["state", "code", "iss", "error", "x"])
        pairs = st.lists(st.tuples(names, text), max_size=5)
        cookies = st.one_of(st.just(cookie.encode()), st.binary(max_size=20))

        @examples(80)
        @hypothesis.given(pairs=pairs, sent=cookies)
        def attempt(pairs: list[tuple[str, str]], sent: bytes) -> None:
            header = b"ragstack_login=" + bytes(b for b in sent if b > 32 and b != 127)
            web.cookies.clear()
            answer = web.get("/api/login/oidc/callback", params=pairs, headers={b"Cookie": header})
            checked(answer, (pairs, header))

        attempt()
