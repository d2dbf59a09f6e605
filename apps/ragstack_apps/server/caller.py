"""What a request shows of who sent it, and the dependencies by which routes ask for rights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from ragstack import Stack
from ragstack.pipeline.find import DEFAULT
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.server.errors import HttpError

__all__ = [
    "Administers",
    "Asks",
    "Caller",
    "Reads",
    "Shown",
    "Somebody",
    "Writes",
    "allowed_collection",
    "caller_of",
    "known_collection",
    "needs",
    "token_of",
]


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


def caller_of(request: Request) -> Caller:
    """Return who sent a request, as the door found out."""
    found: Caller = request.state.caller
    return found


def token_of(request: Request) -> str:
    """Return what stands behind ``Authorization: Bearer``; empty where there is nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


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
Somebody = Annotated[Caller, Depends(caller_of)]
"""Who asks, with whatever rights."""
