"""What an engine is asked, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from ragstack.engine.draft_check import DraftReport
from ragstack.engine.entry import Totals
from ragstack.engine.jobs import Guide
from ragstack.engine.orders import Manner
from ragstack.types import Grammar, Sampling

__all__ = ["EngineStats", "Request"]

_PLAIN = Manner()


@dataclass(frozen=True, slots=True)
class Request:
    """What to continue, and how. ``sampling.stop`` is the caller's affair: strings are text.

    With ``sampling.deterministic`` the same request gives the same tokens, whatever else goes on.
    Where steps are not exact (`Context.exact`), it runs alone for that, from an empty sequence, in
    steps of a fixed size and without guesses: it waits until nobody is at work, and nobody else is
    while it is.

    Attributes:
        guide: Says when a token is forced, and from where on the grammar holds.
    """

    tokens: tuple[int, ...]
    sampling: Sampling
    grammar: Grammar | None = None
    manner: Manner = _PLAIN
    guide: Guide | None = None


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What an engine is doing, and did.

    Attributes:
        active: Requests at work; ``waiting`` for a place; ``kept`` sequences to begin from.
        totals: Since it was opened.
        draft: What the draft model did, where there is one.
    """

    active: int
    waiting: int
    kept: int
    totals: Totals
    draft: DraftReport | None = None
