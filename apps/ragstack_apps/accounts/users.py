"""Accounts of people in records: names, groups, rights, and how each of them signs in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ragstack.errors import InputError, NotFound
from ragstack.protocols import Records
from ragstack.types import Record
from ragstack_apps.accounts import passwords
from ragstack_apps.accounts.caller import checked_groups, checked_name, checked_rights
from ragstack_apps.accounts.periods import Clock, now

__all__ = ["KIND", "MOST", "User", "Users"]

KIND = "account"
MOST = 1_000_000  # records read at once: all there are


@dataclass(frozen=True, slots=True)
class User:
    """A person, without their password.

    Attributes:
        issuer: Of the single sign-on they come from; empty where they have a password here.
        subject: Their name there, which never changes.
    """

    name: str
    groups: tuple[str, ...]
    rights: tuple[str, ...]
    created: str
    issuer: str = ""
    subject: str = ""

    def shown(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "user": self.name,
            "groups": list(self.groups),
            "rights": list(self.rights),
            "created": self.created,
            "issuer": self.issuer,
        }


class Users:
    """The accounts of a base. Safe to use from many threads."""

    def __init__(self, records: Records, *, clock: Clock = now) -> None:
        self._records = records
        self._clock = clock

    def add(
        self,
        name: str,
        password: str,
        *,
        groups: Sequence[str] = (),
        rights: Sequence[str] = ("read", "ask"),
    ) -> User:
        """Store a new user who signs in with a password.

        Raises:
            InputError: A name, group, right or password that cannot be; or the name is taken.
        """
        user = User(
            checked_name(name),
            checked_groups(groups),
            checked_rights(rights),
            self._clock().isoformat(timespec="seconds"),
        )
        self._check_names(user)
        if not self._records.add_record(self._record(user, passwords.hashed(password))):
            raise InputError(f"there is a user {user.name!r} already")
        return user

    def signed_on(self, user: User) -> User:
        """Store what a single sign-on says of a user, who has no password here.

        Raises:
            InputError: The name is a local user's, another subject's, or a group's.
        """
        self._check_names(user)
        there = self.get(user.name)
        if there is None:
            if self._records.add_record(self._record(user, None)):
                return user
            there = self.get(user.name)
        if there is None or (there.issuer, there.subject) != (user.issuer, user.subject):
            # Whoever may choose a name at the provider must not become someone else by it.
            raise InputError(f"the name {user.name!r} is somebody else's here")
        self._records.put_record(self._record(user, None))
        return user

    def get(self, name: str) -> User | None:
        """Return a user, or None."""
        found = self._records.record(KIND, name) if name else None
        return _user_of(found) if found else None

    def every(self) -> list[User]:
        """Return every user, by name."""
        found = self._records.records(KIND, limit=MOST)
        return sorted((_user_of(each) for each in found), key=lambda user: user.name)

    def remove(self, name: str) -> None:
        """Forget a user.

        Raises:
            NotFound: There is none of that name.
        """
        if not self._records.remove_records(KIND, [name.lower()]):
            raise NotFound(f"there is no user {name!r}")

    def set_password(self, name: str, password: str) -> User:
        """Give a user another password.

        Raises:
            NotFound: There is none of that name.
            InputError: The password is too short, or the user signs in elsewhere.
        """
        user = self.get(name.lower())
        if user is None:
            raise NotFound(f"there is no user {name!r}")
        if user.issuer:
            raise InputError(f"{user.name!r} signs in at {user.issuer}, and has no password here")
        self._records.put_record(self._record(user, passwords.hashed(password)))
        return user

    def verified(self, name: str, password: str) -> User | None:
        """Return the user whose name and password these are; None takes as long to find out."""
        lowered = name.lower()
        found = self._records.record(KIND, lowered) if lowered else None
        kept = found.body.get("hash") if found else None
        if not passwords.fits(password, kept) or found is None:
            return None
        user = _user_of(found)
        if passwords.stale(str(kept)):
            self._records.put_record(self._record(user, passwords.hashed(password)))
        return user

    def any(self) -> bool:
        """Return whether there is a user at all."""
        return bool(self._records.records(KIND, limit=1))

    def _check_names(self, user: User) -> None:
        """Refuse a user and a group of one name: readers of documents are told by names alone."""
        others = [each for each in self.every() if each.name != user.name]
        groups = {group for each in others for group in each.groups} | set(user.groups)
        if user.name in groups:
            raise InputError(f"{user.name!r} is the name of a group")
        taken = sorted({each.name for each in others} & set(user.groups))
        if taken:
            raise InputError(f"{taken[0]!r} is the name of a user, and cannot be a group")

    def _record(self, user: User, kept: str | None) -> Record:
        body = user.shown() | {"subject": user.subject, "hash": kept}
        return Record(KIND, user.name, body, self._clock(), user.name)


def _user_of(record: Record) -> User:
    body = record.body
    return User(
        record.id,
        tuple(body["groups"]),
        tuple(body["rights"]),
        str(body["created"]),
        str(body["issuer"]),
        str(body["subject"]),
    )
