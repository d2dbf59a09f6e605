"""A small OpenID provider on loopback: real HTTP, real RSA signatures, and faults on request."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

__all__ = ["Provider", "serving_provider"]

SECRET = "a secret of the client"


class Provider:
    """What the pages answer with; a test changes it to see what is refused.

    Attributes:
        claims: Laid over those of every token; None takes one away.
        forge: Makes the token itself in place of the provider.
    """

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = "one"
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.description: dict[str, Any] = {}
        self.forge: Any = None
        self.token_status = 200
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.url = ""

    def user(self, **claims: Any) -> None:
        """Say who signs on."""
        self.claims = {"sub": "42", "email": "anna@example.org", "email_verified": True} | claims

    def authorize(self, url: str) -> dict[str, str]:
        """Do what a browser and a person do: return the parameters of the way back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        return {"state": asked["state"], "code": code, "iss": self.url}

    def token(self, nonce: str, client_id: str) -> str:
        """Return an id token."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": client_id, "iat": now, "exp": now + 300, "nonce": nonce}
        claims = {k: v for k, v in (claims | self.claims).items() if v is not None}
        if self.forge is not None:
            forged: str = self.forge(claims)
            return forged
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.kid})

    def pem(self) -> bytes:
        """Return the public key as text, which a forger may use as a secret."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def answer(self, method: str, path: str, form: dict[str, str], auth: str) -> tuple[int, Any]:
        """Return what a page answers."""
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                **({"userinfo_endpoint": f"{self.url}/me"} if self.userinfo else {}),
                **self.description,
            }
        if path == "/keys":
            public = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
            return 200, {"keys": [public | {"kid": self.kid, "use": "sig", "alg": "RS256"}]}
        if path == "/me":
            return (200, self.userinfo) if auth == "Bearer access" else (401, {"error": "no"})
        return self._token(form, auth) if path == "/token" else (404, {"error": "not here"})

    def _token(self, form: dict[str, str], auth: str) -> tuple[int, Any]:
        if self.token_status != 200:
            return self.token_status, {"error": "server_error"}
        asked = self.codes.pop(form.get("code", ""), None)
        given = base64.b64decode(auth.removeprefix("Basic ")).decode() if auth else ""
        hashed = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
        if (
            asked is None
            or given not in ("", f"rag:{urlencode({'': SECRET})[1:]}", f"rag:{SECRET}")
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        return 200, {
            "access_token": "access",
            "token_type": "Bearer",
            "id_token": self.token(asked["nonce"], asked["client_id"]),
        }


@contextmanager
def serving_provider() -> Iterator[Provider]:
    """Run one in a thread."""
    provider = Provider()
    provider.user()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            form = {k: v[0] for k, v in parse_qs(self.rfile.read(length).decode()).items()}
            auth = self.headers.get("Authorization", "")
            status, answer = provider.answer(self.command, self.path, form, auth)
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{provider.url}/token")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
