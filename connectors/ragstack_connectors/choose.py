"""Patterns in, a yes or no for each path out: which sources of a place are wanted."""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import UTC, datetime

import pathspec

from ragstack.errors import InputError

__all__ = ["Chosen", "Known", "is_older"]

Known = Container[str] | None
"""Addresses that the caller has; None where it does not say, which is taken for all."""


class Chosen:
    """Paths that a place's options want, by patterns in the syntax of ``.gitignore``.

    Args:
        include: Only what one of these names; all where there is none.
        exclude: Not what one of these names.

    Raises:
        InputError: One text in place of a list, or a pattern that cannot be read.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = _spec("include", include)
        self._exclude = _spec("exclude", exclude)
        self._all = not include

    def wants(self, path: str) -> bool:
        """Return whether a path, with ``/`` between its parts, is wanted."""
        name = path.lstrip("/")
        wanted = self._all or self._include.match_file(name)
        return wanted and not self._exclude.match_file(name)


def is_older(
    uri: str, modified: datetime | None, since: datetime | None, known: Known = None
) -> bool:
    """Return whether a source may be left out: the caller has it, as it was at a moment.

    What has no date may not, and neither may what the caller has not: an old file can be new in a
    folder.
    """
    if modified is None or since is None or (known is not None and uri not in known):
        return False
    return modified <= (since if since.tzinfo else since.replace(tzinfo=UTC))


def _spec(option: str, patterns: Sequence[str]) -> pathspec.GitIgnoreSpec:
    if isinstance(patterns, str):
        raise InputError(f"{option} is {patterns!r}; a list was expected", hint=f"[{patterns!r}]")
    try:
        return pathspec.GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise InputError(f"{option} has a pattern that cannot be read: {error}") from error
