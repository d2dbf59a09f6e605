"""Single sign-on by OpenID Connect: the code flow with PKCE. A browser goes out, a User comes back.

Follows OpenID Connect Core 1.0 (3.1), RFC 7636 (PKCE, S256) and RFC 9207 (the issuer in answers).
What is under way is kept in records by the digest of its state, once and for ten minutes.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from ragstack.errors import InputError, NotAllowed, NotSignedIn
from ragstack.protocols import Records
from ragstack.types import Record
from ragstack_apps.accounts.caller import EVERYTHING, RIGHTS, checked_name, is_group
from ragstack_apps.accounts.periods import Clock, now, past
from ragstack_apps.accounts.provider import Provider
from ragstack_apps.accounts.retention import LOGIN
from ragstack_apps.accounts.settings import OidcSettings
from ragstack_apps.accounts.tokens import digest, drawn, same
from ragstack_apps.accounts.users import User, Users

__all__ = ["Begun", "Oidc", "Returned"]

_UNDER_WAY = timedelta(minutes=10)
_CODE = timedelta(seconds=60)
_MOST_GROUPS = 1_000


@dataclass(frozen=True, slots=True)
class Begun:
    """Where a browser is sent, and the cookie by which it is known when it comes back."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Returned:
    """What a browser brings back from the provider."""

    state: str
    code: str
    cookie: str
    issuer: str = ""


class Oidc:
    """Signs users on with one provider.

    Args:
        users: Where those who sign on are stored.
    """

    def __init__(
        self, settings: OidcSettings, users: Users, records: Records, *, clock: Clock = now
    ) -> None:
        self._settings = settings
        self._users = users
        self._records = records
        self._clock = clock
        self._provider = Provider(settings)

    def begin(self, redirect: str, *, onward: str = "") -> Begun:
        """Return where to send a browser that wants to sign on.

        Args:
            redirect: This server's own address to come back to.
            onward: Where the browser goes in the end; empty is nowhere.

        Raises:
            NotAllowed: It is not among those that the configuration names.
            RemoteError: The provider cannot be reached.
        """
        if onward and onward not in self._settings.next:
            raise NotAllowed(f"nobody is sent on to {onward!r}: serve.oidc.next does not name it")
        endpoint = self._provider.endpoint("authorization_endpoint")
        state, nonce, verifier, cookie = drawn(), drawn(), drawn(), drawn()
        redirect = self._settings.redirect or redirect
        body = {
            "nonce": nonce,
            "verifier": verifier,
            "cookie": digest(cookie),
            "redirect": redirect,
            "onward": onward,
        }
        self._keep(f"state:{state}", body, _UNDER_WAY)
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        sign = "&" if "?" in endpoint else "?"
        return Begun(f"{endpoint}{sign}{urlencode(asked)}", cookie)

    def finish(self, returned: Returned) -> tuple[User, str]:
        """Return who came back, stored as a user, and where they go on to.

        Raises:
            NotSignedIn: The answer is not to a question of ours, or its token does not hold.
            RemoteError: The provider cannot be reached, or answers with an error.
        """
        begun = self._take(f"state:{returned.state}")
        if begun is None or not same(digest(returned.cookie), str(begun["cookie"])):
            raise NotSignedIn("this sign-on was not begun in this browser, or it took too long")
        if returned.issuer and not same(returned.issuer, self._settings.issuer):
            raise NotSignedIn(f"the answer comes from {returned.issuer!r}, another provider")
        claims = self._provider.claims(
            returned.code,
            verifier=str(begun["verifier"]),
            nonce=str(begun["nonce"]),
            redirect=str(begun["redirect"]),
        )
        try:
            return self._users.signed_on(self._user_of(claims)), str(begun["onward"])
        except InputError as error:
            raise NotSignedIn(f"who signed on cannot be a user here: {error.message}") from error

    def code_for(self, user: User) -> str:
        """Return a code that can be changed for a session of a user, once, within a minute."""
        code = drawn()
        self._keep(f"code:{code}", {"user": user.name}, _CODE)
        return code

    def user_of_code(self, code: str) -> User:
        """Return the user whose code this is.

        Raises:
            NotSignedIn: It is none, or was used before, or is too old.
        """
        body = self._take(f"code:{code}")
        user = self._users.get(str(body["user"])) if body else None
        if user is None:
            raise NotSignedIn("this code is not known, was used before, or is too old")
        return user

    def close(self) -> None:
        """Close the connections to the provider."""
        self._provider.close()

    def _keep(self, name: str, body: dict[str, Any], period: timedelta) -> None:
        at = self._clock()
        self._records.put_record(
            Record(LOGIN, digest(name), body | {"expires": (at + period).isoformat()}, at)
        )

    def _take(self, name: str) -> dict[str, Any] | None:
        """Return what was kept, which is then gone: of two who come with it one alone gets it."""
        found = self._records.record(LOGIN, digest(name))
        if found is None or not self._records.remove_records(LOGIN, [digest(name)]):
            return None
        return None if past(found.body["expires"], self._clock) else dict(found.body)

    def _user_of(self, claims: dict[str, Any]) -> User:
        wanted = self._settings.user_claim
        name = claims.get(wanted)
        if not isinstance(name, str):
            raise NotSignedIn(f"the provider says nothing in the claim {wanted!r}")
        if wanted == "email" and claims.get("email_verified") not in (True, "true"):
            raise NotSignedIn("the provider has not verified the address of who signed on")
        name = checked_name(name)
        groups = self._groups_of(claims, name)
        rights = set(self._settings.rights)
        for group in groups:
            rights |= set(self._settings.group_rights.get(group, ()))
        return User(
            name,
            groups,
            tuple(right for right in RIGHTS if right in rights & EVERYTHING),
            self._clock().isoformat(timespec="seconds"),
            self._settings.issuer,
            str(claims["sub"]),
        )

    def _groups_of(self, claims: dict[str, Any], name: str) -> tuple[str, ...]:
        said = claims.get(self._settings.groups_claim, ())
        listed = said if isinstance(said, list) else [said] if isinstance(said, str) else []
        # A group there with the name of a user here must not open that user's documents.
        users = {each.name for each in self._users.every()} | {name}
        return tuple(
            dict.fromkeys(g for g in listed[:_MOST_GROUPS] if is_group(g) and g not in users)
        )


def _challenge(verifier: str) -> str:
    """Return the code challenge of a verifier (RFC 7636, 4.2, S256)."""
    hashed = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(hashed).rstrip(b"=").decode("ascii")
