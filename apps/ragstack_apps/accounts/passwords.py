"""Passwords in, argon2id hashes out, and whether one fits the other. Keeps nothing."""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ragstack.errors import InputError

__all__ = ["SHORTEST", "fits", "hashed", "stale"]

SHORTEST = 8  # characters: NIST SP 800-63B-4 where another factor or a limit of tries stands beside
_LONGEST = 1024  # bytes: hashing must not be a way to keep the server busy
_AT_ONCE = 2  # each takes 64 MiB and four lanes

_hasher = PasswordHasher()
_room = threading.BoundedSemaphore(_AT_ONCE)


def hashed(password: str) -> str:
    """Return what is kept of a password.

    Raises:
        InputError: It is too short, too long, or the same character throughout.
    """
    if len(password) < SHORTEST or len(set(password)) == 1:
        raise InputError(
            f"a password has at least {SHORTEST} characters that are not all the same",
            hint="four words that do not belong together are easy to keep in mind",
        )
    if len(_bytes(password)) > _LONGEST:
        raise InputError(f"a password has at most {_LONGEST} bytes")
    with _room:
        return _hasher.hash(_bytes(password))


def fits(password: str, kept: str | None) -> bool:
    """Return whether a password is the one that was hashed; None is nobody's, and takes as long."""
    if len(password) > _LONGEST:
        return False
    with _room:
        try:
            matched = _hasher.verify(_nobodys() if kept is None else kept, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False
    return matched and kept is not None


def stale(kept: str) -> bool:
    """Return whether a hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(kept)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


@cache
def _nobodys() -> str:
    return _hasher.hash(b"nobody has this password, and it fits nothing")
