"""Signing in and out, and who may: users, keys and the audit log, for those who administer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from ragstack.errors import InputError, NotSignedIn
from ragstack_apps.accounts.accounts import Session
from ragstack_apps.accounts.caller import RIGHTS
from ragstack_apps.accounts.keys import Wanted
from ragstack_apps.accounts.oidc import Oidc, Returned
from ragstack_apps.server.caller import Administers, Somebody, token_of
from ragstack_apps.server.house import House

__all__ = ["router"]

_COOKIE = "ragstack_login"
_UNDER_WAY_S = 600
_MOST = 1000  # lines of the log at once


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class LoginBody(_Body):
    """A user's name and password, or the code that single sign-on ended with."""

    user: str = Field("", max_length=200, examples=["anna"])
    password: str = Field("", max_length=1024, examples=["correct horse battery staple"])
    code: str = Field("", max_length=200)


class PasswordBody(_Body):
    """A user's own password, and the one it is to be."""

    old: str = Field(max_length=1024)
    new: str = Field(max_length=1024)


class UserBody(_Body):
    """A new user."""

    user: str = Field(max_length=200, examples=["anna"])
    password: str = Field(max_length=1024, examples=["correct horse battery staple"])
    groups: list[str] = Field([], examples=[["hr"]])
    rights: list[str] = Field(["read", "ask"])


class KeyBody(_Body):
    """A new API key."""

    name: str = Field(max_length=200, examples=["nightly report"])
    rights: list[str] = Field(["read", "ask"])
    collections: list[str] | None = Field(None, description="Only these; else all.")
    expires: str = Field("", max_length=40, examples=["90d"], description="90d, a date, or never.")
    user: str = Field("", max_length=200, description="Whose it is; else nobody's.")


def router(house: House) -> APIRouter:
    """Return ``/api/login`` and what belongs to it, ``/api/me``, users, keys and audit."""
    routes = APIRouter(prefix="/api", tags=["accounts"])
    _add_sessions(routes, house)
    _add_users(routes, house)
    _add_keys(routes, house)
    if house.guard.oidc is not None:
        _add_oidc(routes, house, house.guard.oidc)
    return routes


def _add_sessions(routes: APIRouter, house: House) -> None:
    accounts = house.accounts
    house.open_paths.add("/api/login")

    @routes.post("/login", summary="Begin a session")
    def login(body: LoginBody, request: Request) -> dict[str, Any]:
        if not body.code:
            return accounts.login(body.user, body.password, address=_address(request)).shown()
        accounts.count_try(_address(request))
        if house.guard.oidc is None:
            raise NotSignedIn("there is no single sign-on here")
        user = house.guard.oidc.user_of_code(body.code)
        return accounts.begin(user, address=_address(request), how="login.oidc").shown()

    @routes.post("/logout", summary="End the session that this is sent with")
    def logout(request: Request, caller: Somebody) -> dict[str, bool]:
        accounts.logout(token_of(request), caller)
        return {"ended": True}

    @routes.get("/me", summary="Who one is here, and what one may")
    def me(caller: Somebody) -> dict[str, Any]:
        collections = caller.collections
        return {
            "user": caller.user,
            "groups": list(caller.groups),
            "rights": [right for right in RIGHTS if caller.may(right)],
            "collections": None if collections is None else list(collections),
            "open": accounts.open,
            "oidc": house.guard.oidc is not None,
        }

    @routes.post("/me/password", summary="Change one's own password; every session of one's ends")
    def password(body: PasswordBody, request: Request, caller: Somebody) -> dict[str, bool]:
        if caller.key_id or not caller.user:
            raise InputError("a key has no password: sign in with a name and a password")
        accounts.change_password(caller, body.old, body.new, address=_address(request))
        return {"changed": True}


def _add_users(routes: APIRouter, house: House) -> None:
    accounts = house.accounts

    @routes.get("/users", summary="Who may sign in")
    def users(_: Administers) -> dict[str, Any]:
        return {"users": [user.shown() for user in accounts.users.every()]}

    @routes.post("/users", status_code=201, summary="Add a user")
    def add_user(body: UserBody, caller: Administers) -> dict[str, Any]:
        user = accounts.add_user(
            caller, body.user, body.password, groups=body.groups, rights=body.rights
        )
        return user.shown()

    @routes.delete("/users/{name}", summary="Remove a user, their sessions and their keys")
    def remove_user(name: str, caller: Administers) -> dict[str, int]:
        accounts.remove_user(caller, name)
        return {"removed": 1}

    @routes.get("/audit", summary="Who did what, the latest first")
    def audit(
        _: Administers, who: str | None = None, before: str | None = None, limit: int = 100
    ) -> dict[str, Any]:
        if not 1 <= limit <= _MOST:
            raise InputError(f"limit is {limit}, expected 1 to {_MOST}")
        accounts.audit.flush()
        lines = accounts.audit.lines(who=who, before=_moment(before), limit=limit)
        return {"audit": lines}


def _add_keys(routes: APIRouter, house: House) -> None:
    accounts = house.accounts

    @routes.get("/keys", summary="Which API keys there are; never the keys themselves")
    def keys(_: Administers) -> dict[str, Any]:
        return {"keys": [key.shown() for key in accounts.keys.every()]}

    @routes.post("/keys", status_code=201, summary="Make an API key, which is shown this once")
    def add_key(body: KeyBody, caller: Administers) -> dict[str, Any]:
        wanted = Wanted(body.name, body.rights, body.collections, body.expires, body.user.lower())
        key, secret = accounts.add_key(caller, wanted)
        return {**key.shown(), "key": secret}

    @routes.delete("/keys/{key_id}", summary="Revoke an API key")
    def remove_key(key_id: str, caller: Administers) -> dict[str, int]:
        accounts.remove_key(caller, key_id)
        return {"removed": 1}


def _add_oidc(routes: APIRouter, house: House, oidc: Oidc) -> None:
    accounts = house.accounts
    house.open_paths.update({"/api/login/oidc", "/api/login/oidc/callback"})

    @routes.get("/login/oidc", response_class=Response, summary="Sign on at the provider")
    def begin(request: Request, next: str = "") -> Response:
        accounts.count_try(_address(request))
        begun = oidc.begin(f"{request.base_url}api/login/oidc/callback", onward=next)
        answer = RedirectResponse(begun.url, 302)
        answer.set_cookie(
            _COOKIE,
            begun.cookie,
            max_age=_UNDER_WAY_S,
            path="/api/login",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return answer

    @routes.get(
        "/login/oidc/callback", response_class=Response, summary="Where the provider sends back to"
    )
    def back(
        request: Request, state: str = "", code: str = "", iss: str = "", error: str = ""
    ) -> Response:
        accounts.count_try(_address(request))
        if error or not code:
            raise NotSignedIn(f"the sign-on provider refused: {error[:100]!r}")
        cookie = request.cookies.get(_COOKIE, "")
        user, onward = oidc.finish(Returned(state, code, cookie, iss))
        if onward:
            sign = "&" if "?" in onward else "?"
            answer: Response = RedirectResponse(f"{onward}{sign}code={oidc.code_for(user)}", 303)
        else:
            session: Session = accounts.begin(user, address=_address(request), how="login.oidc")
            answer = JSONResponse(session.shown())
        answer.delete_cookie(_COOKIE, path="/api/login")
        return answer


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"before is {text!r}, expected a time such as 2027-01-31T08:00Z") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC)
