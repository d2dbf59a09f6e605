"""Single sign-on against a provider that signs with a key of its own, and lies where told to."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.utils import base64url_encode

from ragstack.catalog.sqlite import SqliteCatalog
from ragstack.errors import InputError, NotAllowed, NotSignedIn, RemoteError
from ragstack_apps.accounts import provider as provider_module
from ragstack_apps.accounts.accounts import Accounts
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.accounts.oidc import Oidc, Returned
from ragstack_apps.accounts.settings import OidcSettings

REDIRECT = "http://127.0.0.1:8000/api/login/oidc/callback"
NEXT = "http://127.0.0.1:8501/"


@pytest.fixture(scope="module")
def shared(openid: Any) -> Iterator[Any]:
    with openid.serving_provider() as provider:
        yield provider


@pytest.fixture
def provider(shared: Any) -> Any:
    """The provider as it was when it was new; making a key takes a while."""
    shared.user()
    shared.userinfo, shared.forge, shared.token_status = None, None, 200
    shared.kid, shared.description = "one", {}
    shared.asked.clear()
    return shared


@pytest.fixture
def oidc(
    openid: Any,
    provider: Any,
    accounts: Accounts,
    catalog: SqliteCatalog,
    clock: Any,
    monkeypatch: Any,
) -> Iterator[Oidc]:
    monkeypatch.setenv("CLIENT_SECRET", openid.SECRET)
    settings = OidcSettings(
        issuer=provider.url,
        client_id="rag",
        client_secret={"env": "CLIENT_SECRET"},
        group_rights={"admins": ["admin"]},
        next=(NEXT,),
    )
    oidc = Oidc(settings, accounts.users, catalog, clock=clock)
    yield oidc
    oidc.close()


def sign_on(oidc: Oidc, provider: Any, **more: Any) -> Any:
    begun = oidc.begin(REDIRECT)
    back = provider.authorize(begun.url)
    given = {"state": back["state"], "code": back["code"], "cookie": begun.cookie} | more
    return oidc.finish(Returned(**given))[0]


def test_a_user_signs_on(oidc: Oidc, provider: Any, accounts: Accounts) -> None:
    provider.user(groups=["hr", "admins", " bad", "key:1", 7])
    user = sign_on(oidc, provider, issuer=provider.url)
    assert user.name == "anna@example.org"
    assert user.groups == ("hr", "admins")
    assert user.rights == ("read", "ask", "admin")
    session = accounts.begin(user, how="login.oidc")
    assert accounts.identify(session.token).asker == ("anna@example.org", "hr", "admins")
    with pytest.raises(NotSignedIn):
        accounts.login("anna@example.org", "")
    with pytest.raises(InputError, match="signs in at"):
        accounts.set_password(Caller(), "anna@example.org", "correct horse")


def test_the_next_sign_on_brings_other_groups(
    oidc: Oidc, provider: Any, accounts: Accounts
) -> None:
    provider.user(groups=["hr", "admins"])
    session = accounts.begin(sign_on(oidc, provider))
    provider.user(groups=["sales"])
    sign_on(oidc, provider)
    caller = accounts.identify(session.token)
    assert (caller.groups, caller.rights) == (("sales",), frozenset({"read", "ask"}))
    assert provider.asked.count("/keys") == 1
    assert provider.asked.count("/.well-known/openid-configuration") == 1


def test_a_name_of_somebody_else_cannot_be_taken(
    oidc: Oidc, provider: Any, accounts: Accounts
) -> None:
    accounts.add_user(Caller(), "anna@example.org", "correct horse")
    with pytest.raises(NotSignedIn, match="somebody else's"):
        sign_on(oidc, provider)
    accounts.remove_user(Caller(), "anna@example.org")
    sign_on(oidc, provider)
    provider.user(sub="43")
    with pytest.raises(NotSignedIn, match="somebody else's"):
        sign_on(oidc, provider)


def test_a_group_with_a_users_name_opens_nothing(
    oidc: Oidc, provider: Any, accounts: Accounts
) -> None:
    accounts.add_user(Caller(), "boss", "correct horse", groups=("board",))
    provider.user(groups=["boss", "anna@example.org", "hr"])
    assert sign_on(oidc, provider).groups == ("hr",)
    provider.user(email="board", email_verified=True)
    with pytest.raises(NotSignedIn, match="name of a group"):
        sign_on(oidc, provider)


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email": None},
        {"email": 7},
        {"email": "a b"},
        {"email": "анна@example.org"},
        {"email": "a\r\nSet-Cookie: x"},
    ],
)
def test_a_name_the_provider_does_not_vouch_for(
    oidc: Oidc, provider: Any, claims: dict[str, Any]
) -> None:
    provider.user(**claims)
    with pytest.raises((NotSignedIn, InputError)):
        sign_on(oidc, provider)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": ["rag", "another"]},
        {"aud": ["rag", "another"], "azp": "another"},
        {"azp": "another"},
        {"iss": "https://evil.example"},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"exp": None},
        {"aud": None},
        {"iss": None},
        {"iat": None},
    ],
    ids=str,
)
def test_a_token_that_does_not_hold(oidc: Oidc, provider: Any, claims: dict[str, Any]) -> None:
    provider.user(**claims)
    with pytest.raises(NotSignedIn):
        sign_on(oidc, provider)


@pytest.mark.parametrize(("claim", "after_s"), [("exp", -120), ("iat", 600), ("nbf", 600)])
def test_a_token_of_another_time(oidc: Oidc, provider: Any, claim: str, after_s: int) -> None:
    provider.user(**{claim: int(time.time()) + after_s})
    with pytest.raises(NotSignedIn):
        sign_on(oidc, provider)


def test_two_audiences_with_the_right_party(oidc: Oidc, provider: Any) -> None:
    provider.user(aud=["rag", "another"], azp="rag")
    assert sign_on(oidc, provider).name == "anna@example.org"


def test_a_token_that_is_signed_by_nobody_or_by_another(oidc: Oidc, provider: Any) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    head = {"kid": "one"}
    forgeries = [
        lambda c: jwt.encode(c, None, algorithm="none"),
        lambda c: jwt.encode(c, None, algorithm="none", headers=head),
        lambda c: jwt.encode(c, other, algorithm="RS256", headers=head),
        lambda c: jwt.encode(c, other, algorithm="RS256", headers={"kid": "two"}),
        lambda c: jwt.encode(c, "0" * 32, algorithm="HS256", headers=head),
        lambda c: jwt.encode(c, provider.key, algorithm="RS512", headers=head),
        lambda c: provider_token(provider, c)[:-8] + "AAAAAAAA",
        lambda c: provider_token(provider, c).rpartition(".")[0] + ".",
        lambda c: "",
        lambda c: "rubbish",
        lambda c: hmac_by_public_key(provider, c),
    ]
    for forge in forgeries:
        provider.forge = forge
        with pytest.raises(NotSignedIn):
            sign_on(oidc, provider)
    provider.forge = None
    sign_on(oidc, provider)


def provider_token(provider: Any, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, provider.key, algorithm="RS256", headers={"kid": "one"})


def hmac_by_public_key(provider: Any, claims: dict[str, Any]) -> str:
    """Return the classic forgery, which pyjwt itself refuses to make."""
    head = base64url_encode(json.dumps({"alg": "HS256", "kid": "one", "typ": "JWT"}).encode())
    body = head + b"." + base64url_encode(json.dumps(claims).encode())
    signature = hmac.new(provider.pem(), body, hashlib.sha256).digest()
    return (body + b"." + base64url_encode(signature)).decode()


def test_a_state_is_used_once_and_in_its_own_browser(oidc: Oidc, provider: Any, clock: Any) -> None:
    begun, other = oidc.begin(REDIRECT), oidc.begin(REDIRECT)
    back = provider.authorize(begun.url)
    with pytest.raises(NotSignedIn, match="not begun in this browser"):
        oidc.finish(Returned("never begun", back["code"], begun.cookie))
    with pytest.raises(NotSignedIn, match="not begun in this browser"):
        oidc.finish(Returned(back["state"], back["code"], other.cookie))
    with pytest.raises(NotSignedIn, match="not begun in this browser"):  # it was used up by that
        oidc.finish(Returned(back["state"], back["code"], begun.cookie))
    late = provider.authorize(other.url)
    clock.move(minutes=10)
    with pytest.raises(NotSignedIn, match="took too long"):
        oidc.finish(Returned(late["state"], late["code"], other.cookie))


def test_of_two_with_one_state_one_alone_signs_on(oidc: Oidc, provider: Any) -> None:
    begun = oidc.begin(REDIRECT)
    back = provider.authorize(begun.url)
    got: list[str] = []

    def finish() -> None:
        try:
            got.append(oidc.finish(Returned(back["state"], back["code"], begun.cookie))[0].name)
        except NotSignedIn:
            got.append("refused")

    threads = [threading.Thread(target=finish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["anna@example.org", "refused", "refused", "refused"]


def test_an_answer_of_another_provider_is_refused(oidc: Oidc, provider: Any) -> None:
    with pytest.raises(NotSignedIn, match="another provider"):
        sign_on(oidc, provider, issuer="https://evil.example")


def test_a_code_of_nobody_is_refused(oidc: Oidc, provider: Any) -> None:
    with pytest.raises(NotSignedIn, match="invalid_grant"):
        sign_on(oidc, provider, code="stolen")


def test_groups_may_stand_on_the_page_about_the_user(oidc: Oidc, provider: Any) -> None:
    provider.userinfo = {"sub": "42", "groups": ["hr"], "email": "mallory@example.org"}
    user = sign_on(oidc, provider)
    assert (user.name, user.groups) == ("anna@example.org", ("hr",))
    provider.userinfo = {"sub": "43", "groups": ["admins"]}
    with pytest.raises(NotSignedIn, match="another user's"):
        sign_on(oidc, provider)


def test_new_keys_are_fetched_but_not_for_ever(
    oidc: Oidc, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_on(oidc, provider)
    provider.kid = "two"
    with pytest.raises(NotSignedIn, match="not the provider's"):
        sign_on(oidc, provider)
    assert provider.asked.count("/keys") == 1
    monkeypatch.setattr(provider_module, "_KEYS_AGAIN_S", 0.0)
    sign_on(oidc, provider)
    assert provider.asked.count("/keys") == 2


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://evil.example"},
        {"authorization_endpoint": "http://evil.example/authorize"},
        {"authorization_endpoint": None},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
    ],
    ids=str,
)
def test_a_description_that_cannot_be_trusted(
    oidc: Oidc, provider: Any, description: dict[str, Any]
) -> None:
    provider.description = description
    with pytest.raises(RemoteError):
        sign_on(oidc, provider)


def test_a_provider_that_is_not_there(provider: Any, accounts: Accounts, catalog: Any) -> None:
    gone = Oidc(OidcSettings("http://127.0.0.1:9", "rag"), accounts.users, catalog)
    with pytest.raises(RemoteError, match="cannot be reached") as refused:
        gone.begin(REDIRECT)
    assert refused.value.retryable
    gone.close()


@pytest.mark.parametrize("status", [500, 302, 400])
def test_a_provider_that_fails(oidc: Oidc, provider: Any, status: int) -> None:
    provider.token_status = status
    with pytest.raises((RemoteError, NotSignedIn)):
        sign_on(oidc, provider)


def test_nobody_is_sent_on_to_where_they_like(oidc: Oidc, provider: Any) -> None:
    for onward in ("https://evil.example/", NEXT + "x", "//evil.example", "javascript:alert(1)"):
        with pytest.raises(NotAllowed):
            oidc.begin(REDIRECT, onward=onward)
    begun = oidc.begin(REDIRECT, onward=NEXT)
    back = provider.authorize(begun.url)
    user, onward = oidc.finish(Returned(back["state"], back["code"], begun.cookie))
    assert onward == NEXT
    code = oidc.code_for(user)
    assert oidc.user_of_code(code) == user
    with pytest.raises(NotSignedIn):
        oidc.user_of_code(code)


def test_a_code_for_a_page_lives_a_minute(
    oidc: Oidc, provider: Any, clock: Any, catalog: SqliteCatalog
) -> None:
    code = oidc.code_for(sign_on(oidc, provider))
    assert code not in repr(catalog.records("login"))
    clock.move(seconds=60)
    with pytest.raises(NotSignedIn):
        oidc.user_of_code(code)
