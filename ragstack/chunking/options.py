"""What every chunker is given, checked once."""

from __future__ import annotations

from ragstack.chunking.packing import Limits
from ragstack.errors import ConfigError

__all__ = ["checked_limits"]


def checked_limits(size: int, overlap: int) -> Limits:
    """Return the two as limits.

    Raises:
        ConfigError: The size is no positive number, or the overlap is over half of it.
    """
    if size < 1:
        raise ConfigError(f"size is a number of tokens from 1, got {size!r}")
    if not 0 <= overlap <= size // 2:
        raise ConfigError(
            f"overlap is a number of tokens from 0 to half the size ({size // 2}), got {overlap!r}"
        )
    return Limits(size, overlap)
