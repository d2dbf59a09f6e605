"""What the server speaks to or by: a provider of sign-on, a collector of traces, TLS."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ragstack.errors import ConfigError
from ragstack.generate.scripted import ScriptedGenerator
from ragstack_apps.server.place import Place
from ragstack_apps.server.running import Server

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]

NEXT = "http://127.0.0.1:8501/?lang=fr"


def script() -> ScriptedGenerator:
    return ScriptedGenerator(lambda _: "a secret answer")


def test_single_sign_on_over_http(serve: Serve, client: Clients, openid: Any) -> None:
    with openid.serving_provider() as provider:
        oidc = {"issuer": provider.url, "client_id": "rag", "next": [NEXT]}
        web = client(serve(script(), settings={"oidc": oidc, "logins_per_minute": 100}))
        provider.user(groups=["hr"])
        assert web.get("/api/me").status_code == 401  # single sign-on closes the server

        begun = web.get("/api/login/oidc")
        assert begun.status_code == 302
        cookie = begun.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/api/login" in cookie
        back = provider.authorize(begun.headers["location"])
        stranger = httpx.get(f"{web.base_url}/api/login/oidc/callback", params=back)
        assert stranger.status_code == 401
        begun = web.get("/api/login/oidc")
        back = provider.authorize(begun.headers["location"])
        session = web.get("/api/login/oidc/callback", params=back).json()
        assert (session["user"], session["groups"]) == ("anna@example.org", ["hr"])
        head = {"Authorization": f"Bearer {session['token']}"}
        assert web.get("/api/me", headers=head).json()["oidc"]

        begun = web.get("/api/login/oidc", params={"next": NEXT})
        back = provider.authorize(begun.headers["location"])
        onward = web.get("/api/login/oidc/callback", params=back)
        assert onward.status_code == 303
        assert onward.headers["location"].startswith(NEXT + "&code=")
        code = parse_qs(urlsplit(onward.headers["location"]).query)["code"][0]
        assert session["token"] not in onward.text
        taken = web.post("/api/login", json={"code": code})
        assert taken.json()["user"] == "anna@example.org"
        assert web.post("/api/login", json={"code": code}).status_code == 401

        evil = web.get("/api/login/oidc", params={"next": "https://evil.example\r\nX: y"})
        assert evil.status_code == 403
        assert "x" not in evil.headers
        refused = web.get("/api/login/oidc/callback", params={"error": "access_denied\r\nX: y"})
        assert (refused.status_code, "x" in refused.headers) == (401, False)
        provider.token_status = 500
        begun = web.get("/api/login/oidc")
        back = provider.authorize(begun.headers["location"])
        assert web.get("/api/login/oidc/callback", params=back).status_code == 503


@contextmanager
def collector() -> Iterator[tuple[str, Callable[[], list[Any]]]]:
    """A collector of traces: gives its address, and the spans it was sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            zipped = self.headers.get("Content-Encoding") == "gzip"
            bodies.append(gzip.decompress(body) if zipped else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def spans() -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("contents", [False, True])
def test_traces_reach_a_collector(
    serve: Serve, client: Clients, tmp_path: Path, contents: bool
) -> None:
    question = "a secret question"
    (tmp_path / "a.txt").write_text("A secret question has a secret answer here.", "utf-8")
    with collector() as (url, spans):
        settings = {"telemetry": {"endpoint": url, "contents": contents}}
        server = serve(script(), settings=settings)
        server.house.stack.ingest(tmp_path / "a.txt")
        web = client(server)
        caller = "4bf92f3577b34da6a3ce929d0e0e4736"
        head = {"traceparent": f"00-{caller}-00f067aa0ba902b7-01"}
        answer = web.post("/api/ask", json={"question": question, "stream": False}, headers=head)
        assert answer.status_code == 200
        web.get("/secret")
        web.post("/api/ask", json={"question": question, "k": 7}, headers=head)
        server.stop(5)
        server.house.guard.close()
        found = {span.name: span for span in spans()}
        raw = str(spans())
    root = found["POST /api/ask"]
    chat, retrieval = found["chat scripted"], found["retrieval default"]
    assert root.trace_id.hex() == caller
    for span in (chat, retrieval):
        assert span.trace_id == root.trace_id
    said = {each.key: each.value for each in chat.attributes}
    assert said["gen_ai.operation.name"].string_value == "chat"
    assert said["gen_ai.request.model"].string_value == "scripted"
    assert "gen_ai.usage.output_tokens" in said
    assert "GET unknown" in found
    assert ("secret" in raw) is contents


def test_the_environment_may_name_the_collector(
    serve: Serve, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as (url, spans):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        server = serve(script())
        client(server).get("/health")
        server.stop(5)
        server.house.guard.close()
        assert [span.name for span in spans()] == ["GET /health"]
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
        assert serve(script()).house.guard._traces is None


def test_a_collector_that_is_not_there_disturbs_nobody(
    serve: Serve, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    server = serve(script(), settings={"telemetry": {"endpoint": "http://127.0.0.1:9"}})
    began = time.monotonic()
    assert client(server).get("/health").status_code == 200
    assert time.monotonic() - began < 5


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 that nobody but itself vouches for."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ragstack test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    for file, lock in (("key.pem", NoEncryption()), ("locked.pem", BestAvailableEncryption(b"x"))):
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
        (folder / file).write_bytes(text)
    return folder


def test_tls(serve: Serve, certificate: Path) -> None:
    cert, key = certificate / "cert.pem", certificate / "key.pem"
    server = serve(script(), certificate=str(cert), private_key=str(key))
    assert server.url.startswith("https://")
    trust = ssl.create_default_context(cafile=str(cert))
    with httpx.Client(base_url=server.url, verify=trust, trust_env=False) as web:
        answer = web.get("/health")
        assert answer.json()["status"] == "ok"
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health", trust_env=False)
    with pytest.raises(httpx.HTTPError):
        httpx.get(server.url.replace("https", "http") + "/health", trust_env=False)


def test_files_that_are_no_certificate(certificate: Path, tmp_path: Path) -> None:
    cert, locked = str(certificate / "cert.pem"), str(certificate / "locked.pem")
    (tmp_path / "rubbish").write_text("rubbish")
    for place in (
        Place(certificate=cert),
        Place(private_key=cert),
        Place(certificate=cert, private_key=locked),
        Place(certificate=cert, private_key=str(tmp_path / "rubbish")),
        Place(certificate=str(tmp_path / "nowhere")),
    ):
        with pytest.raises(ConfigError):
            place.check()
