"""An OpenID provider's pages in, checked claims out. Knows nothing of users and sessions.

Its description, its keys and its tokens are fetched over https, without redirects, and are held to
OpenID Connect Discovery 1.0 and Core 1.0, 3.1.3.7.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from typing import Any

import httpx
import jwt

from ragstack.config import secret
from ragstack.errors import ConfigError, NotSignedIn, RemoteError
from ragstack_apps.accounts.settings import OidcSettings, check_url
from ragstack_apps.accounts.tokens import same

__all__ = ["Provider"]

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Signatures by a key pair. Never ``none``, nor HS256, whose secret would be the public key."""

_FRESH_S = 3600.0
_KEYS_AGAIN_S = (
    30.0  # a token with a key of an unknown name is no way to have them fetched for ever
)
_LEEWAY = timedelta(seconds=60)  # between two clocks
_MOST_BYTES = 1 << 20
_TIMEOUT_S = 10.0


class Provider:
    """One provider. Safe to use from many threads."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        # Proxies of the environment are meant for the web; secrets go where the configuration says.
        self._http = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False)
        self._guard = threading.Lock()
        self._described: dict[str, Any] = {}
        self._described_at = 0.0
        self._keys: list[dict[str, Any]] = []
        self._keys_at = float("-inf")

    def endpoint(self, name: str) -> str:
        """Return an address that the provider's description names.

        Raises:
            RemoteError: It cannot be reached, or the description is another provider's.
        """
        url = self._description().get(name)
        if not isinstance(url, str):
            raise RemoteError(f"the sign-on provider names no {name}")
        return _sound(url)

    def claims(self, code: str, *, verifier: str, nonce: str, redirect: str) -> dict[str, Any]:
        """Change a code for tokens, and return what they say of the user.

        Raises:
            NotSignedIn: The code is refused, or the token does not hold.
            RemoteError: The provider cannot be reached.
        """
        tokens = self._tokens(code, verifier, redirect)
        claims = self._verified(str(tokens.get("id_token", "")), nonce)
        wanted = {self._settings.user_claim, self._settings.groups_claim}
        if wanted <= set(claims) or "userinfo_endpoint" not in self._description():
            return claims
        access = str(tokens.get("access_token", ""))
        more = self._fetch(
            "GET",
            self.endpoint("userinfo_endpoint"),
            headers={"Authorization": f"Bearer {access}"},
        )
        if not same(str(more.get("sub")), str(claims["sub"])):  # Core 1.0, 5.3.2
            raise NotSignedIn("the provider's page about the user is another user's")
        return more | claims

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _description(self) -> dict[str, Any]:
        with self._guard:
            if not self._described or time.monotonic() - self._described_at > _FRESH_S:
                issuer = self._settings.issuer
                url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
                found = self._fetch("GET", url)
                if found.get("issuer") != issuer:  # Discovery 1.0, 4.3: exactly the same
                    raise RemoteError(
                        f"the sign-on provider calls itself {found.get('issuer')!r}, "
                        f"not {issuer!r} as serve.oidc.issuer does"
                    )
                self._described, self._described_at = found, time.monotonic()
            return self._described

    def _tokens(self, code: str, verifier: str, redirect: str) -> dict[str, Any]:
        client_id = self._settings.client_id
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
            "client_id": client_id,
        }
        password = secret(self._settings.client_secret or None)
        known = self._description().get("token_endpoint_auth_methods_supported")
        auth = None
        if password is not None and "client_secret_basic" in (known or ["client_secret_basic"]):
            auth = httpx.BasicAuth(client_id, password)
        elif password is not None:
            form["client_secret"] = password
        return self._fetch("POST", self.endpoint("token_endpoint"), data=form, auth=auth)

    def _verified(self, token: str, nonce: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in _ALGORITHMS:
                raise NotSignedIn(
                    f"the token is signed by {header.get('alg')!r}, which is no proof"
                )
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(header),
                algorithms=[str(header["alg"])],
                audience=self._settings.client_id,
                issuer=self._settings.issuer,
                leeway=_LEEWAY,
                options={"require": ["exp", "iat", "aud", "iss", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise NotSignedIn(f"the provider's token does not hold: {error}") from error
        if not same(str(claims.get("nonce", "")), nonce):
            raise NotSignedIn("the provider's token answers another sign-on")
        audience, party = claims["aud"], claims.get("azp")
        several = isinstance(audience, list) and len(audience) > 1
        if (several or party is not None) and party != self._settings.client_id:
            raise NotSignedIn("the provider's token was made for another program")
        return claims

    def _key(self, header: dict[str, Any]) -> jwt.PyJWK:
        name, algorithm = header.get("kid"), str(header["alg"])
        with self._guard:
            known, asked = self._keys, self._keys_at
        found = _fitting(known, name, algorithm)
        if found is None and time.monotonic() - asked > _KEYS_AGAIN_S:
            listed = self._fetch("GET", self.endpoint("jwks_uri")).get("keys")
            known = [each for each in listed or () if isinstance(each, dict)]
            with self._guard:
                self._keys, self._keys_at = known, time.monotonic()
            found = _fitting(known, name, algorithm)
        if found is None:
            raise NotSignedIn("the token is signed with a key that is not the provider's")
        return jwt.PyJWK.from_dict(found, algorithm)

    def _fetch(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        """Return the JSON object at an address; the one place where httpx's errors are ours."""
        try:
            with self._http.stream(method, _sound(url), **more) as response:
                body = b""
                for part in response.iter_bytes():
                    body += part
                    if len(body) > _MOST_BYTES:
                        raise RemoteError(f"{url!r} answers with more than {_MOST_BYTES} bytes")
        except httpx.HTTPError as error:
            raise RemoteError(
                f"the sign-on provider cannot be reached at {url!r}: {error}", retryable=True
            ) from error
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if response.status_code >= 500 or not isinstance(found, dict):
            raise RemoteError(
                f"the sign-on provider answers {response.status_code} at {url!r}", retryable=True
            )
        if response.status_code != 200:
            raise NotSignedIn(f"the sign-on provider refused: {str(found.get('error'))[:100]!r}")
        return found


def _sound(url: str) -> str:
    try:
        check_url(url)
    except ConfigError as error:
        raise RemoteError(f"the sign-on provider sends to {url!r}: {error.message}") from error
    return url


def _fitting(keys: list[dict[str, Any]], name: object, algorithm: str) -> dict[str, Any] | None:
    """Return the key of a name, for this algorithm; one alone needs no name."""
    fit = [
        key
        for key in keys
        if key.get("use", "sig") == "sig"
        and key.get("kty") in ("RSA", "EC", "OKP")
        and key.get("alg", algorithm) == algorithm
    ]
    if name is None:
        return fit[0] if len(fit) == 1 else None
    return next((key for key in fit if key.get("kid") == name), None)
