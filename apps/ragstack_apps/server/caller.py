"""What a request shows in, who asks and what they may out. Knows no socket and no route.

``Accounts`` is the seam: whoever keeps users and keys stands in for ``OneKey``.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request

from ragstack import Stack
from ragstack.pipeline.find import DEFAULT
from ragstack_apps.server.errors import HttpError

__all__ = [
    "RIGHTS",
    "Accounts",
    "Administers",
    "Asks",
    "Caller",
    "OneKey",
    "Reads",
    "Shown",
    "Writes",
    "allowed_collection",
    "caller_of",
    "known_collection",
    "needs",
]

RIGHTS = frozenset({"read", "ask", "write", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        user: Their name; empty where there are no accounts.
        rights: Some of ``RIGHTS``.
        collections: The only ones they may know of; None is all.
        key_id: The key or session they showed; empty where none was needed.
    """

    user: str = ""
    groups: tuple[str, ...] = ()
    rights: frozenset[str] = RIGHTS
    collections: tuple[str, ...] | None = None
    key_id: str = ""

    @property
    def asker(self) -> tuple[str, ...]:
        """The user and their groups, as searches want them; nobody's name is left out."""
        return tuple(name for name in (self.user, *self.groups) if name)

    def may(self, right: str) -> bool:
        """Return whether they have a right."""
        return right in self.rights

    def sees(self, collection: str) -> bool:
        """Return whether they may know of a collection."""
        return self.collections is None or collection in self.collections


@dataclass(frozen=True, slots=True)
class Shown:
    """What a request shows of who sent it.

    Attributes:
        token: Behind ``Authorization: Bearer``; empty where there is none.
        address: Of the client's machine.
    """

    token: str
    address: str
    method: str
    path: str


class Accounts(Protocol):
    """Who may do what."""

    @property
    def closed(self) -> bool:
        """Whether a request has to show who sends it."""
        ...

    def caller(self, shown: Shown) -> Caller:
        """Return who asks.

        Raises:
            HttpError: 401, it shows nobody who is known.
        """
        ...


@dataclass(frozen=True, slots=True)
class OneKey:
    """Accounts of a server that has one key for all, or none on loopback."""

    key: str = ""

    @property
    def closed(self) -> bool:
        """Whether there is a key."""
        return bool(self.key)

    def caller(self, shown: Shown) -> Caller:
        """Return the one caller there is.

        Raises:
            HttpError: 401, the key is missing or wrong.
        """
        given = shown.token.encode("utf-8", "replace")
        if self.key and not hmac.compare_digest(given, self.key.encode()):
            raise HttpError(401, "the API key is missing or wrong", code="invalid_api_key")
        return Caller(key_id="server" if self.key else "")


def caller_of(request: Request) -> Caller:
    """Return who sent a request, as the door found out."""
    found: Caller = request.state.caller
    return found


def needs(right: str) -> Callable[[Request], Caller]:
    """Return a dependency that lets in who has a right."""

    async def checked(request: Request) -> Caller:
        caller = caller_of(request)
        if not caller.may(right):
            raise HttpError(403, f"this takes the right {right!r}", code="forbidden")
        return caller

    return checked  # type: ignore[return-value]


def allowed_collection(caller: Caller, collection: str) -> str:
    """Return a collection that the caller may know of.

    Raises:
        HttpError: 404; nobody is told whether it is there.
    """
    if not caller.sees(collection):
        raise HttpError(404, f"there is no collection {collection!r}", code="not_found")
    return collection


def known_collection(stack: Stack, caller: Caller, collection: str) -> str:
    """Return a collection that is there, and that the caller may know of.

    Raises:
        HttpError: 404; who may not know of it is told the same as where there is none.
    """
    allowed_collection(caller, collection)
    # Opening one makes files, and keeps them open: nobody shall do so by asking.
    if collection != DEFAULT and collection not in stack.parts.catalog.collections():
        raise HttpError(404, f"there is no collection {collection!r}", code="not_found")
    return collection


Reads = Annotated[Caller, Depends(needs("read"))]
Asks = Annotated[Caller, Depends(needs("ask"))]
Writes = Annotated[Caller, Depends(needs("write"))]
Administers = Annotated[Caller, Depends(needs("admin"))]
