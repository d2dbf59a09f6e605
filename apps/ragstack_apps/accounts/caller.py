"""Who a request comes from, and what they may do. Knows not how that was found out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ragstack.errors import InputError

__all__ = [
    "EVERYTHING",
    "OPERATOR",
    "RIGHTS",
    "Caller",
    "checked_groups",
    "checked_name",
    "checked_rights",
    "is_group",
]

RIGHTS = ("read", "ask", "write", "admin")
"""See documents; have answers written; change documents; everything else. The last has the rest."""

EVERYTHING = frozenset(RIGHTS)
KEY_PREFIX = "key:"
"""Of the name that a key without a user goes by. No user and no group may have such a name."""

OPERATOR = "environment"
"""Id of the key that is given to the server itself; who starts a server is not limited by it."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,127}")
_LONGEST_GROUP = 256


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        user: Their name; empty where nobody has to say who they are.
        rights: Of ``RIGHTS``; who has ``admin`` has them all.
        collections: Those they may know of; None is all.
        key_id: Of the API key they came with, if any.
    """

    user: str = ""
    groups: tuple[str, ...] = ()
    rights: frozenset[str] = EVERYTHING
    collections: tuple[str, ...] | None = None
    key_id: str = ""

    @property
    def asker(self) -> tuple[str, ...]:
        """The user and their groups, as every search takes them."""
        return tuple(name for name in (self.user, *self.groups) if name)

    @property
    def name(self) -> str:
        """What limits and logs know them by."""
        return f"{KEY_PREFIX}{self.key_id}" if self.key_id else self.user

    @property
    def limited_as(self) -> str:
        """The name that limits count; empty where there are none: for whoever runs the server."""
        return "" if self.key_id == OPERATOR else self.name

    def may(self, right: str) -> bool:
        """Return whether they have a right."""
        return right in self.rights

    def sees(self, collection: str) -> bool:
        """Return whether they may know of a collection."""
        return self.collections is None or collection in self.collections


def checked_name(name: str) -> str:
    """Return a user's name in the one form it is kept in: small ASCII letters.

    So no two names look the same, and a document's ``readers`` name a user in this form.

    Raises:
        InputError: It is none.
    """
    name = name.lower() if name.isascii() else name
    if not _NAME.fullmatch(name):
        raise InputError(
            f"a user's name has 1 to 128 letters, digits and . _ @ + -, not {name!r}",
            hint="names such as anna or anna@example.org",
        )
    return name


def checked_groups(groups: Sequence[str]) -> tuple[str, ...]:
    """Return the names of groups, each once.

    Raises:
        InputError: One that is none.
    """
    if isinstance(groups, str):
        raise InputError(f"groups is a list of names, got {groups!r}")
    for name in groups:
        if not is_group(name):
            raise InputError(
                f"a group's name has 1 to {_LONGEST_GROUP} printable characters, got {name!r}"
            )
    return tuple(dict.fromkeys(groups))


def is_group(name: object) -> bool:
    """Return whether something can be the name of a group."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= _LONGEST_GROUP
        and name.isprintable()
        and name == name.strip()
        and not name.startswith(KEY_PREFIX)
    )


def checked_rights(rights: Iterable[str]) -> tuple[str, ...]:
    """Return rights in their order, each once.

    Raises:
        InputError: None at all, or one that is none.
    """
    if isinstance(rights, str):
        raise InputError(f"rights is a list of names, got {rights!r}")
    wanted = set(rights)
    unknown = sorted(str(name) for name in wanted - EVERYTHING)
    if unknown or not wanted:
        said = repr(unknown[0]) if unknown else "none"
        raise InputError(f"rights are some of {', '.join(RIGHTS)}, got {said}")
    return tuple(right for right in RIGHTS if right in wanted)
