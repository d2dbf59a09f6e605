"""API keys in records: each shown once, and from then on known by its digest alone."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ragstack.errors import InputError, NotFound
from ragstack.protocols import Records
from ragstack.types import Record
from ragstack_apps.accounts.caller import checked_rights
from ragstack_apps.accounts.periods import Clock, moment_of, now, past
from ragstack_apps.accounts.tokens import digest, drawn, same
from ragstack_apps.accounts.users import MOST

__all__ = ["KIND", "Key", "Keys", "Wanted"]

KIND = "api_key"
_PREFIX = "rsk_"  # so that scanners for secrets, and people, know one when they see it
_FORM = re.compile(rf"{_PREFIX}([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a new key is to be.

    Attributes:
        name: What it is for, in words.
        collections: None is all.
        expires: ``90d``, a date, or empty for never.
        user: Whose it is: it may what they may at most, and goes when they go. Empty is nobody's.
    """

    name: str
    rights: Sequence[str] = ("read", "ask")
    collections: Sequence[str] | None = None
    expires: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without what makes it one."""

    id: str
    name: str
    rights: tuple[str, ...]
    collections: tuple[str, ...] | None
    user: str
    created: str
    expires: str | None
    expired: bool

    def shown(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "id": self.id,
            "name": self.name,
            "rights": list(self.rights),
            "collections": None if self.collections is None else list(self.collections),
            "user": self.user,
            "created": self.created,
            "expires": self.expires,
            "expired": self.expired,
        }


class Keys:
    """The API keys of a base. Safe to use from many threads."""

    def __init__(self, records: Records, *, clock: Clock = now) -> None:
        self._records = records
        self._clock = clock

    def add(self, wanted: Wanted) -> tuple[Key, str]:
        """Store a new key; return it with its secret, which nobody can be shown again.

        Raises:
            InputError: Something of it cannot be.
        """
        name = wanted.name.strip()
        if not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise InputError(
                f"a key's name says what it is for, in 1 to {_LONGEST_NAME} printable characters, "
                f"got {wanted.name!r}"
            )
        rights = checked_rights(wanted.rights)
        collections = _checked_collections(wanted.collections)
        if collections is not None and "admin" in rights:
            raise InputError(
                "a key of some collections cannot have the right 'admin', which is of the base",
                hint="give it read, ask and write",
            )
        expires = moment_of(wanted.expires, clock=self._clock)
        secret, at = drawn(), self._clock()
        body = {
            "name": name,
            "digest": digest(secret),
            "rights": list(rights),
            "collections": None if collections is None else list(collections),
            "user": wanted.user,
            "created": at.isoformat(timespec="seconds"),
            "expires": expires.isoformat(timespec="seconds") if expires else None,
        }
        record = Record(KIND, secrets.token_hex(6), body, at, wanted.user)
        while not self._records.add_record(record):
            record = Record(KIND, secrets.token_hex(6), body, at, wanted.user)
        return self._key_of(record), f"{_PREFIX}{record.id}_{secret}"

    def found(self, token: str) -> Key | None:
        """Return the key that a token is, unless it has expired or is none."""
        form = _FORM.fullmatch(token)
        record = self._records.record(KIND, form[1]) if form else None
        kept = str(record.body["digest"]) if record else digest("")
        if form is None or not same(digest(form[2]), kept) or record is None:
            return None
        key = self._key_of(record)
        return None if key.expired else key

    def every(self) -> list[Key]:
        """Return every key, the newest first, those that have expired too."""
        return [self._key_of(each) for each in self._records.records(KIND, limit=MOST)]

    def remove(self, key_id: str) -> None:
        """Revoke a key: the next request with it is refused.

        Raises:
            NotFound: There is none with this id.
        """
        if not self._records.remove_records(KIND, [key_id]):
            raise NotFound(f"there is no key {key_id!r}")

    def remove_of(self, user: str) -> int:
        """Revoke every key of a user; return how many there were."""
        ids = [each.id for each in self._records.records(KIND, owner=user, limit=MOST)]
        return self._records.remove_records(KIND, ids) if user and ids else 0

    def any(self) -> bool:
        """Return whether there is a key at all, if only an expired one."""
        return bool(self._records.records(KIND, limit=1))

    def _key_of(self, record: Record) -> Key:
        body = record.body
        collections = body["collections"]
        return Key(
            record.id,
            str(body["name"]),
            tuple(body["rights"]),
            None if collections is None else tuple(collections),
            str(body["user"]),
            str(body["created"]),
            body["expires"],
            past(body["expires"], self._clock),
        )


def _checked_collections(collections: Sequence[str] | None) -> tuple[str, ...] | None:
    if collections is None:
        return None
    names = tuple(dict.fromkeys(collections)) if not isinstance(collections, str) else ()
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError(f"collections is a list of names, or not given, got {collections!r}")
    return names
