"""A token in, the Caller whose it is out; and every change of who may do what, with its log line.

Without any user, key or single sign-on everything is open, which is for loopback alone: the server
sees to that. The first one closes it for good: who removes the last key does not mean to open the
base, and says so (``open_again``) if they do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ragstack.errors import InputError, NotFound, NotSignedIn
from ragstack.protocols import Records
from ragstack.types import Record
from ragstack_apps.accounts.audit import Audit, Deed
from ragstack_apps.accounts.caller import EVERYTHING, KEY_PREFIX, OPERATOR, RIGHTS, Caller
from ragstack_apps.accounts.keys import Key, Keys, Wanted
from ragstack_apps.accounts.limits import Rate
from ragstack_apps.accounts.periods import Clock, now
from ragstack_apps.accounts.sessions import Sessions
from ragstack_apps.accounts.settings import ServeSettings
from ragstack_apps.accounts.tokens import same
from ragstack_apps.accounts.users import User, Users

__all__ = ["LOCKED", "Accounts", "Session", "Shown"]

LOCKED = (
    "no user and no key is left, and the base stays closed: `ragstack keys add` lets somebody in, "
    "`ragstack keys open` everybody on this machine"
)
"""What an operator is told of a base that nobody can get into."""

_CLOSED, _BASE = "closed", "base"  # kind and id of the record of a base that was closed
_WRONG_A_MINUTE = 600  # requests of a machine that show nobody: each is a line of the log


class Shown(Protocol):
    """What a request shows of who sent it."""

    @property
    def token(self) -> str:
        """Behind ``Authorization: Bearer``; empty where there is none."""
        ...

    @property
    def address(self) -> str:
        """Of the client's machine."""
        ...


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in, as its owner is shown it once."""

    token: str
    caller: Caller
    expires: datetime

    def shown(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "token": self.token,
            "user": self.caller.user,
            "groups": list(self.caller.groups),
            "rights": [right for right in RIGHTS if self.caller.may(right)],
            "expires": self.expires.isoformat(timespec="seconds"),
        }


class Accounts:
    """Users, keys, sessions and the audit log of a base. Safe to use from many threads.

    Args:
        api_key: One that may do everything, given by the environment; empty is none.
    """

    def __init__(
        self,
        records: Records,
        settings: ServeSettings | None = None,
        *,
        api_key: str = "",
        clock: Clock = now,
    ) -> None:
        settings = settings or ServeSettings()
        self._records = records
        self._clock = clock
        self._api_key = api_key
        self._single_sign_on = bool(settings.oidc.issuer)
        self._closed = bool(api_key) or self._single_sign_on
        self._tries = Rate(settings.logins_per_minute)
        self._requests = Rate(settings.requests_per_minute)
        self._wrong = Rate(_WRONG_A_MINUTE)
        self.users = Users(records, clock=clock)
        self.keys = Keys(records, clock=clock)
        self.sessions = Sessions(records, hours=settings.session_hours, clock=clock)
        self.audit = Audit(records, clock=clock)

    @property
    def open(self) -> bool:
        """Whether nobody has to say who they are: there is no user, no key, no single sign-on."""
        if not self._closed:
            self._closed = self._records.record(_CLOSED, _BASE) is not None
        if not self._closed and (self.users.any() or self.keys.any()):
            self._close()
        return not self._closed

    @property
    def closed(self) -> bool:
        """Whether a request has to show who sends it."""
        return not self.open

    @property
    def locked(self) -> bool:
        """Whether nobody can get in: it was closed, and no user and no key is left."""
        others = self._api_key or self._single_sign_on or self.users.any() or self.keys.any()
        return self.closed and not others

    def open_again(self, by: Caller) -> None:
        """Let everybody on this machine in, as before there was a user or a key.

        Raises:
            InputError: There are some.
        """
        if self.users.any() or self.keys.any():
            raise InputError(
                "there are users or keys: the base is open without any alone",
                hint="remove them first: ragstack users rm, ragstack keys rm",
            )
        self._records.remove_records(_CLOSED, [_BASE])
        self._closed = bool(self._api_key or self._single_sign_on)
        self.audit.write(Deed("base.open", by.name))

    def caller(self, shown: Shown) -> Caller:
        """Return who sent a request, and count it.

        Raises:
            NotSignedIn: It shows nobody who is known.
            RateLimited: More requests than they are allowed.
        """
        try:
            caller = self.identify(shown.token)
        except NotSignedIn:
            self._wrong.take(shown.address)
            raise
        self._requests.take(caller.limited_as)
        return caller

    def identify(self, token: str) -> Caller:
        """Return whose a key or a session's token is; while it is open, anything is everybody's.

        Raises:
            NotSignedIn: Nobody's, or nobody's any more; the message does not say which.
        """
        if not token:
            if self.open:
                return Caller()
            raise NotSignedIn("the API key is missing", hint="send Authorization: Bearer …")
        found = self._identified(token)
        if found is None:
            if self.open:  # OpenAI's clients always send something
                return Caller()
            raise NotSignedIn("the API key or session is not known here, or has ended")
        return found

    def login(self, name: str, password: str, *, address: str = "") -> Session:
        """Begin a session of a user with a password.

        Raises:
            NotSignedIn: Not this name with this password.
            RateLimited: Too many tries from this machine, or for this name.
        """
        known = name.lower()[:200]
        self.count_try(address)
        self._tries.take(f"as {known}")
        user = self.users.verified(name, password)
        if user is None:
            self.audit.write(Deed("login", known, "refused", address=address))
            raise NotSignedIn("not this name with this password")
        return self.begin(user, address=address)

    def count_try(self, address: str) -> None:
        """Count a try to sign in.

        Raises:
            RateLimited: Too many from this machine.
        """
        self._tries.take(f"from {address}")

    def change_password(self, caller: Caller, old: str, new: str, *, address: str = "") -> None:
        """Give a user who knows their password another one; their sessions end.

        Raises:
            NotSignedIn: It is not their password.
            RateLimited: Too many tries.
        """
        self.count_try(address)
        self._tries.take(f"as {caller.user}")
        if self.users.verified(caller.user, old) is None:
            self.audit.write(Deed("user.password", caller.user, "refused", address=address))
            raise NotSignedIn("not this name with this password")
        self.set_password(caller, caller.user, new)

    def begin(self, user: User, *, address: str = "", how: str = "login") -> Session:
        """Begin a session of a user who has shown who they are."""
        token, expires = self.sessions.begin(user.name)
        self.audit.write(Deed(how, user.name, address=address))
        return Session(token, _caller_of(user), expires)

    def logout(self, token: str, caller: Caller) -> None:
        """End a session. A key stays what it is."""
        if self.sessions.end(token):
            self.audit.write(Deed("logout", caller.user))

    def add_user(self, by: Caller, name: str, password: str, **more: Any) -> User:
        """Store a new user, as ``Users.add`` does."""
        user = self.users.add(name, password, **more)
        self._close()
        self.audit.write(Deed("user.add", by.name, target=user.name))
        return user

    def remove_user(self, by: Caller, name: str) -> None:
        """Forget a user; their sessions end and their keys are revoked.

        Raises:
            NotFound: There is none of that name.
        """
        self.users.remove(name)
        self.sessions.end_all(name.lower())
        self.keys.remove_of(name.lower())
        self.audit.write(Deed("user.remove", by.name, target=name))

    def set_password(self, by: Caller, name: str, password: str) -> None:
        """Give a user another password; their sessions end."""
        user = self.users.set_password(name, password)
        self.sessions.end_all(user.name)
        self.audit.write(Deed("user.password", by.name, target=user.name))

    def add_key(self, by: Caller, wanted: Wanted) -> tuple[Key, str]:
        """Store a new key; return it with its secret, which nobody can be shown again.

        Raises:
            NotFound: It is to be a user's who is not there.
            InputError: Something of it cannot be.
        """
        if wanted.user and self.users.get(wanted.user) is None:
            raise NotFound(f"there is no user {wanted.user!r}")
        key, secret = self.keys.add(wanted)
        self._close()
        self.audit.write(Deed("key.add", by.name, target=key.id))
        return key, secret

    def remove_key(self, by: Caller, key_id: str) -> None:
        """Revoke a key.

        Raises:
            NotFound: There is none with this id.
        """
        self.keys.remove(key_id)
        self.audit.write(Deed("key.remove", by.name, target=key_id))

    def close(self) -> None:
        """Write the last lines of the log."""
        self.audit.close()

    def _close(self) -> None:
        """Note that the base was closed, which outlives its users, its keys and this server."""
        self._records.add_record(Record(_CLOSED, _BASE, {}, self._clock()))
        self._closed = True

    def _identified(self, token: str) -> Caller | None:
        if self._api_key and same(token, self._api_key):
            return Caller(key_id=OPERATOR)
        if (key := self.keys.found(token)) is not None:
            return self._caller_of_key(key)
        name = self.sessions.user_of(token)
        user = self.users.get(name) if name else None
        return _caller_of(user) if user else None

    def _caller_of_key(self, key: Key) -> Caller | None:
        rights = _with_all(key.rights)
        if not key.user:
            return Caller(f"{KEY_PREFIX}{key.id}", (), rights, key.collections, key.id)
        user = self.users.get(key.user)
        if user is None:
            return None
        rights &= _with_all(user.rights)
        return Caller(user.name, user.groups, rights, key.collections, key.id)


def _caller_of(user: User) -> Caller:
    return Caller(user.name, user.groups, _with_all(user.rights))


def _with_all(rights: tuple[str, ...]) -> frozenset[str]:
    """Return rights with those that they hold: who administers may do everything."""
    return EVERYTHING if "admin" in rights else frozenset(rights)
