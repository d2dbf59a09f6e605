"""Logits in, whether another company of the step could have made another token the best.

The shape of a batch alone moves logits by 0.2 to 0.4, so two that lie within 0.5 may change places.
"""

from __future__ import annotations

import numpy as np

from ragstack.engine.candidates import Row

__all__ = ["WITHIN", "NearTies", "is_near_tie"]

WITHIN = 0.5
"""How near the two best logits must lie to each other."""


class NearTies:
    """Where in one text another token was nearly as good.

    Attributes:
        at: Tokens drawn so far.
        places: Of the tokens that were near ties, counted from 0; the one that ends a text too.
    """

    def __init__(self) -> None:
        self.at = 0
        self.places: list[int] = []

    def look(self, row: Row, best: int) -> None:
        """Take note of the token that is drawn next."""
        if is_near_tie(row, best):
            self.places.append(self.at)


def is_near_tie(row: Row, best: int) -> bool:
    """Return whether the second best logit lies within ``WITHIN`` of the best one.

    Takes one more look at the row, which ``argmax`` has just brought near: no sorting, no copy.

    Args:
        best: Where the best logit is.
    """
    least = float(row[best]) - WITHIN
    before = row[:best].max(initial=-np.inf)
    return bool(before >= least or row[best + 1 :].max(initial=-np.inf) >= least)
