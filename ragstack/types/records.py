"""What is kept beside documents: runs, feedback, assistants, accounts, the state of a sync."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["Record"]


@dataclass(frozen=True, slots=True)
class Record:
    """A small thing with a name, kept as JSON. ``(kind, id)`` names it.

    Attributes:
        kind: What sort of thing: ``run``, ``feedback``, ``assistant``.
        body: What ``json.dumps`` takes.
        at: When it was last changed, with a time zone; lists are ordered by it.
        owner: Whose it is; empty is nobody's in particular.
    """

    kind: str
    id: str
    body: Mapping[str, Any]
    at: datetime
    owner: str = ""
