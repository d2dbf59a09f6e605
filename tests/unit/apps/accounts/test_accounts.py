from __future__ import annotations

import hmac
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import argon2
import pytest

from ragstack.catalog.sqlite import SqliteCatalog
from ragstack.errors import InputError, NotFound, NotSignedIn, RateLimited
from ragstack_apps.accounts import passwords, tokens
from ragstack_apps.accounts.accounts import Accounts
from ragstack_apps.accounts.audit import Audit, Deed
from ragstack_apps.accounts.caller import EVERYTHING, Caller
from ragstack_apps.accounts.keys import Wanted
from ragstack_apps.accounts.settings import OidcSettings, ServeSettings

ADMIN = Caller(key_id="test")
PASSWORD = "correct horse battery"


def everything_kept(catalog: SqliteCatalog) -> str:
    kinds = ("account", "api_key", "session", "audit", "login")
    return repr([each for kind in kinds for each in catalog.records(kind, limit=1000)])


def test_open_until_the_first_user_and_closed_for_good(accounts: Accounts) -> None:
    assert accounts.open
    assert accounts.identify("") == Caller()
    accounts.add_user(ADMIN, "anna", PASSWORD)
    assert not accounts.open
    with pytest.raises(NotSignedIn):
        accounts.identify("")
    accounts.remove_user(ADMIN, "anna")
    assert not accounts.open


def test_the_first_key_closes_it_too_from_another_process(catalog: SqliteCatalog) -> None:
    serving, shell = Accounts(catalog), Accounts(catalog)
    assert serving.open
    key, _ = shell.add_key(ADMIN, Wanted("x"))
    assert not serving.open
    shell.remove_key(ADMIN, key.id)
    assert not serving.open
    # Nor does a start of the server open it: who wants that says so.
    later = Accounts(catalog)
    assert not later.open and later.locked
    with pytest.raises(NotSignedIn):
        later.identify("")
    shell.open_again(ADMIN)
    assert Accounts(catalog).open and not Accounts(catalog).locked
    shell.add_user(ADMIN, "anna", PASSWORD)
    with pytest.raises(InputError, match="users or keys"):
        shell.open_again(ADMIN)
    assert not Accounts(catalog).open and not Accounts(catalog).locked


def test_a_base_that_was_closed_before_this_was_noted_is_noted_now(catalog: SqliteCatalog) -> None:
    Accounts(catalog).users.add("anna", PASSWORD)
    assert not Accounts(catalog).open
    Accounts(catalog).users.remove("anna")
    assert Accounts(catalog).locked
    assert not Accounts(catalog, api_key="s3cret").locked


@pytest.mark.parametrize(
    "given",
    [{"api_key": "s3cret"}, {"settings": ServeSettings(oidc=OidcSettings(issuer="https://x"))}],
)
def test_a_key_of_the_environment_or_single_sign_on_closes_it(
    catalog: SqliteCatalog, given: dict[str, Any]
) -> None:
    assert not Accounts(catalog, **given).open


def test_any_token_will_do_while_it_is_open(accounts: Accounts) -> None:
    """OpenAI's clients send a key whether one is asked for or not."""
    assert accounts.identify("rubbish") == accounts.identify("")
    accounts.add_user(ADMIN, "anna", PASSWORD)
    with pytest.raises(NotSignedIn):
        accounts.identify("rubbish")


def test_the_key_of_the_environment(catalog: SqliteCatalog) -> None:
    accounts = Accounts(catalog, api_key="s3cret")
    assert accounts.identify("s3cret").rights == EVERYTHING
    for wrong in ("s3cre", "s3cret ", "", "\udcff"):
        with pytest.raises(NotSignedIn):
            accounts.identify(wrong)


def test_sign_in_and_out(accounts: Accounts, catalog: SqliteCatalog) -> None:
    accounts.add_user(ADMIN, "Anna", PASSWORD, groups=("hr", "hr", "Paris"), rights=("ask", "read"))
    session = accounts.login("ANNA", PASSWORD)
    caller = accounts.identify(session.token)
    assert caller == session.caller
    assert caller.asker == ("anna", "hr", "Paris")
    assert caller.may("read")
    assert not caller.may("write")
    kept = everything_kept(catalog)
    assert session.token not in kept
    assert PASSWORD not in kept
    assert "argon2id" in kept
    accounts.logout(session.token, caller)
    with pytest.raises(NotSignedIn):
        accounts.identify(session.token)


@pytest.mark.parametrize(
    ("name", "password"), [("anna", "wrong horse"), ("nobody", PASSWORD), ("", ""), ("anna", "")]
)
def test_a_wrong_name_and_a_wrong_password_are_told_the_same(
    accounts: Accounts, name: str, password: str
) -> None:
    accounts.add_user(ADMIN, "anna", PASSWORD)
    with pytest.raises(NotSignedIn, match="not this name with this password"):
        accounts.login(name, password)


def test_an_unknown_name_costs_as_much_as_a_wrong_password(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.add_user(ADMIN, "anna", PASSWORD)
    asked: list[str] = []
    real = passwords._hasher

    class Counting:
        def verify(self, kept: str, password: bytes) -> bool:
            asked.append(kept)
            return real.verify(kept, password)

        hash = staticmethod(real.hash)

    monkeypatch.setattr(passwords, "_hasher", Counting())
    for name in ("anna", "nobody"):
        with pytest.raises(NotSignedIn):
            accounts.login(name, "wrong horse")
    assert len(asked) == 2


def test_tokens_are_compared_in_constant_time(
    catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def watched(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return real(left, right)

    accounts = Accounts(catalog, api_key="s3cret")
    _, secret = accounts.add_key(ADMIN, Wanted("x"))
    monkeypatch.setattr(tokens.hmac, "compare_digest", watched)
    accounts.identify("s3cret")
    accounts.identify(secret)
    assert (b"s3cret", b"s3cret") in compared
    assert len(compared) == 3
    with pytest.raises(NotSignedIn):
        accounts.identify("rsk_" + "0" * 12 + "_" + "a" * 43)  # no such key: compared all the same
    assert len(compared) == 5


def test_a_password_hash_of_weaker_days_is_made_anew(
    accounts: Accounts, catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.add_user(ADMIN, "anna", PASSWORD)
    better = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", better)
    accounts.login("anna", PASSWORD)
    record = catalog.record("account", "anna")
    assert record is not None
    assert "m=16,t=2" in record.body["hash"]
    accounts.login("anna", PASSWORD)


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "x" * 600 + "y" * 600, ""])
def test_a_password_that_cannot_be(accounts: Accounts, password: str) -> None:
    with pytest.raises(InputError, match="password"):
        accounts.add_user(ADMIN, "anna", password)
    assert accounts.open


def test_a_password_of_any_characters(accounts: Accounts) -> None:
    accounts.add_user(ADMIN, "anna", "pässwörd\x00\udcff日本")
    accounts.login("anna", "pässwörd\x00\udcff日本")


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "анна", "a/b", "key:1", "-x", "a\n", "a" * 129, "a\r\nX: y", "a,b"]
)
def test_a_name_that_cannot_be(accounts: Accounts, name: str) -> None:
    with pytest.raises(InputError):
        accounts.add_user(ADMIN, name, PASSWORD)


@pytest.mark.parametrize("groups", [("",), (" a",), ("key:1",), ("a\n",), "hr", ("x" * 300,)])
def test_a_group_that_cannot_be(accounts: Accounts, groups: Sequence[str]) -> None:
    with pytest.raises(InputError):
        accounts.add_user(ADMIN, "anna", PASSWORD, groups=groups)


@pytest.mark.parametrize("rights", [(), ("read", "fly"), "read"])
def test_a_right_that_cannot_be(accounts: Accounts, rights: Sequence[str]) -> None:
    with pytest.raises(InputError, match="rights"):
        accounts.add_user(ADMIN, "anna", PASSWORD, rights=rights)


def test_no_user_is_named_like_a_group(accounts: Accounts) -> None:
    """Readers of a document are told by name alone, so one name must not be two things."""
    accounts.add_user(ADMIN, "anna", PASSWORD, groups=("hr",))
    with pytest.raises(InputError, match="name of a group"):
        accounts.add_user(ADMIN, "hr", PASSWORD)
    with pytest.raises(InputError, match="name of a user"):
        accounts.add_user(ADMIN, "bob", PASSWORD, groups=("anna",))
    with pytest.raises(InputError, match="there is a user 'anna'"):
        accounts.add_user(ADMIN, "ANNA", PASSWORD)
    with pytest.raises(InputError, match="name of a group"):
        accounts.add_user(ADMIN, "eve", PASSWORD, groups=("eve",))


def test_a_session_ends(accounts: Accounts, clock: Any) -> None:
    accounts.add_user(ADMIN, "anna", PASSWORD)
    session = accounts.login("anna", PASSWORD)
    clock.move(hours=11.9)
    accounts.identify(session.token)
    clock.move(hours=0.1)
    with pytest.raises(NotSignedIn):
        accounts.identify(session.token)


def test_another_password_ends_every_session(accounts: Accounts) -> None:
    accounts.add_user(ADMIN, "anna", PASSWORD)
    session = accounts.login("anna", PASSWORD)
    accounts.set_password(ADMIN, "anna", "other horse")
    with pytest.raises(NotSignedIn):
        accounts.identify(session.token)
    with pytest.raises(NotSignedIn):
        accounts.login("anna", PASSWORD)
    accounts.login("anna", "other horse")


def test_a_removed_user_has_nothing_left(accounts: Accounts) -> None:
    accounts.add_user(ADMIN, "anna", PASSWORD, rights=("admin",))
    session = accounts.login("anna", PASSWORD)
    _, secret = accounts.add_key(ADMIN, Wanted("hers", user="anna"))
    accounts.remove_user(ADMIN, "Anna")
    accounts.add_user(ADMIN, "anna", PASSWORD)
    for token in (session.token, secret):
        with pytest.raises(NotSignedIn):
            accounts.identify(token)


@pytest.mark.parametrize("what", ["remove_user", "remove_key"])
def test_what_is_not_there_cannot_be_removed(accounts: Accounts, what: str) -> None:
    with pytest.raises(NotFound):
        getattr(accounts, what)(ADMIN, "nobody")
    with pytest.raises(NotFound):
        accounts.set_password(ADMIN, "nobody", PASSWORD)
    with pytest.raises(NotFound):
        accounts.add_key(ADMIN, Wanted("x", user="nobody"))


def test_a_key_is_shown_once(accounts: Accounts, catalog: SqliteCatalog) -> None:
    key, secret = accounts.add_key(ADMIN, Wanted("ci", ("ask",), ("hr",)))
    caller = accounts.identify(secret)
    assert caller == Caller(f"key:{key.id}", (), frozenset({"ask"}), ("hr",), key.id)
    assert secret not in everything_kept(catalog)
    assert secret[-43:] not in everything_kept(catalog)  # what was drawn, its name aside
    assert "digest" not in key.shown()
    assert accounts.keys.every() == [key]


def test_a_key_of_anothers_id_is_no_key(accounts: Accounts) -> None:
    one, _ = accounts.add_key(ADMIN, Wanted("one", ("admin",)))
    _, other = accounts.add_key(ADMIN, Wanted("two", ("read",)))
    forged = f"rsk_{one.id}_{other[17:]}"
    for token in (forged, other[:-1], other + "x", other.upper(), f" {other}", one.id, "rsk_"):
        with pytest.raises(NotSignedIn):
            accounts.identify(token)


def test_a_key_expires_and_is_revoked(accounts: Accounts, clock: Any) -> None:
    _, short = accounts.add_key(ADMIN, Wanted("short", expires="2d"))
    lasting, secret = accounts.add_key(ADMIN, Wanted("lasting"))
    clock.move(days=1.9)
    accounts.identify(short)
    clock.move(days=0.1)
    with pytest.raises(NotSignedIn):
        accounts.identify(short)
    assert [key.expired for key in accounts.keys.every()] in ([True, False], [False, True])
    accounts.remove_key(ADMIN, lasting.id)
    with pytest.raises(NotSignedIn):
        accounts.identify(secret)


def test_a_key_may_no_more_than_its_user(accounts: Accounts) -> None:
    accounts.add_user(ADMIN, "anna", PASSWORD, groups=("hr",), rights=("read",))
    _, secret = accounts.add_key(ADMIN, Wanted("hers", ("admin",), user="anna"))
    caller = accounts.identify(secret)
    assert caller.asker == ("anna", "hr")
    assert caller.rights == {"read"}
    accounts.add_user(ADMIN, "root", PASSWORD, rights=("admin",))
    _, ask = accounts.add_key(ADMIN, Wanted("his", ("ask",), user="root"))
    assert accounts.identify(ask).rights == {"ask"}
    _, every = accounts.add_key(ADMIN, Wanted("all", ("admin",)))
    assert accounts.identify(every).rights == EVERYTHING


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(" "), "name"),
        (Wanted("a\nb"), "name"),
        (Wanted("x", ()), "rights"),
        (Wanted("x", ("fly",)), "rights"),
        (Wanted("x", collections=()), "collections"),
        (Wanted("x", collections="hr"), "collections"),
        (Wanted("x", ("admin",), ("hr",)), "'admin', which is of the base"),
        (Wanted("x", expires="soon"), "no time"),
        (Wanted("x", expires="999999y"), "no time"),
        (Wanted("x", expires="2020-01-01"), "past already"),
    ],
)
def test_a_key_that_cannot_be(accounts: Accounts, wanted: Wanted, message: str) -> None:
    with pytest.raises(InputError, match=message):
        accounts.add_key(ADMIN, wanted)
    assert accounts.open


def test_what_a_caller_may() -> None:
    scoped = Caller("anna", (), frozenset({"read"}), ("hr",))
    assert scoped.may("read")
    assert scoped.sees("hr")
    assert not (scoped.may("ask") or scoped.may("admin") or scoped.sees("default"))
    assert Caller().sees("anything")
    assert Caller().asker == ()


def test_tries_are_counted_by_machine_and_by_name(catalog: SqliteCatalog) -> None:
    accounts = Accounts(catalog, ServeSettings(logins_per_minute=3))
    for _ in range(3):
        with pytest.raises(NotSignedIn):
            accounts.login("anna", "wrong horse", address="10.0.0.1")
    with pytest.raises(RateLimited):
        accounts.login("bob", "wrong horse", address="10.0.0.1")
    with pytest.raises(RateLimited):
        accounts.login("ANNA", "wrong horse", address="10.0.0.2")


def test_the_log_says_who_did_what_and_never_a_secret(
    accounts: Accounts, catalog: SqliteCatalog
) -> None:
    accounts.add_user(ADMIN, "anna", PASSWORD)
    with pytest.raises(NotSignedIn):
        accounts.login("anna\r\n\x1b[31mroot", "wrong horse", address="10.0.0.1")
    session = accounts.login("anna", PASSWORD, address="10.0.0.1")
    accounts.logout(session.token, session.caller)
    lines = accounts.audit.lines()
    assert sorted((line["what"], line["who"], line["outcome"]) for line in lines) == [
        ("login", "anna", "ok"),
        ("login", "anna\ufffd\ufffd\ufffd[31mroot", "refused"),
        ("logout", "anna", "ok"),
        ("user.add", "key:test", "ok"),
    ]
    assert "horse" not in repr(lines)


def test_the_log_is_written_behind_and_in_order(catalog: SqliteCatalog) -> None:
    audit = Audit(catalog)
    for number in range(50):
        audit.note(Deed(f"deed {number}", "anna"))
    audit.flush()
    assert [line["what"] for line in audit.lines(limit=50)] == [
        f"deed {number}" for number in reversed(range(50))
    ]
    audit.close()
    audit.close()
    audit.note(Deed("late"))
    assert audit.lines(limit=1)[0]["what"] == "late"
    assert not [t for t in threading.enumerate() if t.name == "ragstack-audit"]
    assert audit.lines(who="nobody") == []


def test_a_log_that_cannot_be_written_does_not_take_the_server_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SqliteCatalog(tmp_path / "c.db").close()
    catalog = SqliteCatalog(tmp_path / "c.db", read_only=True)
    audit = Audit(catalog)
    audit.note(Deed("lost"))
    audit.close()
    catalog.close()
    assert "'lost'" in caplog.text
