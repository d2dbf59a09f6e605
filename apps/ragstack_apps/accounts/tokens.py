"""Random tokens out, and what is kept of them. Only digests are ever kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets

__all__ = ["digest", "drawn", "same"]

_BYTES = 32


def drawn() -> str:
    """Return 256 random bits as 43 characters that fit into a URL."""
    return secrets.token_urlsafe(_BYTES)


def digest(token: str) -> str:
    """Return what is kept of a token: its SHA-256.

    No salt and no slow hash is needed where the token itself is random and long.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def same(left: str, right: str) -> bool:
    """Return whether two texts are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(
        left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    )
