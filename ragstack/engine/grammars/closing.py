"""A grammar's language and a budget in; which tokens still leave room for an end, out.

There always is a plan: tokens that end the text within what is left. A token that another plan
within the rest can follow is let through; where none is, the plan's own next token is. While there
is room for the bytes of a shortest text, there is room for its tokens, and none are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ragstack.engine.candidates import Indices, most_of
from ragstack.engine.grammars.language import FAIL, TOKEN, Language
from ragstack.errors import GrammarError

__all__ = ["CANDIDATES", "Closing"]

CANDIDATES = 64
"""Tokens that are looked at in each step, the likeliest of those that the grammar allows."""

Spelling = Callable[[int], "bytes | None"]


class Closing:
    """Where a text stands in its language, and how it can still end."""

    def __init__(
        self,
        language: Language,
        start: int,
        budget: int,
        *,
        spelling: Spelling,
        tokenize: Callable[[bytes], Sequence[int]],
    ) -> None:
        """Begin a text.

        Args:
            budget: Tokens it may take.
            spelling: Returns the bytes of a token, None for a special one.
            tokenize: Returns the tokens of bytes, special ones never.

        Raises:
            GrammarError: Its shortest text takes more.
        """
        self._language = language
        self._node = start
        self.left = budget
        self._spelling = spelling
        self._tokenize = tokenize
        self._plans: dict[int, list[int]] = {}
        self._after: dict[tuple[int, int], int] = {}
        self._plan: list[int] | None = None  # not made yet
        if len(self.plan) > budget:
            raise GrammarError(
                f"the shortest text of the grammar takes {len(self.plan)} tokens, and max_tokens "
                f"is {budget}",
                hint=f"raise max_tokens to {len(self.plan)} or more",
            )

    @property
    def plan(self) -> Sequence[int]:
        """Tokens that end the text, none where it may end here."""
        if self._plan is None:
            self._plan = self._planned(self._node)
        return self._plan

    def narrow(self, logits: NDArray[np.float32], allowed: Indices, ends: Sequence[int]) -> Indices:
        """Return the tokens that leave room for an end, the likeliest of those allowed.

        Args:
            allowed: The tokens that the grammar allows, in order.
            ends: Tokens that end the text; where the grammar allows them they stay.
        """
        values = logits[allowed]
        kept = [token for token in ends if _has(allowed, token) and np.isfinite(logits[token])]
        if len(allowed) > CANDIDATES:
            best = most_of(values, CANDIDATES)
            allowed, values = allowed[best], values[best]
        kept += [token for token in allowed[np.isfinite(values)].tolist() if self._fits(token)]
        return np.array(kept or self.plan[:1], np.intp)

    def _fits(self, token: int) -> bool:
        after = self._derived(self._node, token)
        least = self._language.least(after)
        # No token has fewer bytes than one, so the plan has not more tokens than bytes.
        if least <= self.left - 1:
            return True
        if self.plan and token == self.plan[0]:
            return True
        return least < np.inf and len(self._planned(after)) <= self.left - 1

    def _derived(self, node: int, token: int) -> int:
        found = self._after.get((node, token))
        if found is None:
            spelled = self._spelling(token)
            found = FAIL if spelled == b"" else node
            for symbol in (TOKEN + token,) if spelled is None else spelled:
                found = self._language.derive(found, symbol)
                if found == FAIL:
                    break
            self._after[node, token] = found
        return found

    def _planned(self, node: int) -> list[int]:
        found = self._plans.get(node)
        if found is None:
            found = []
            run = bytearray()
            for symbol in (*self._language.shortest(node), None):
                if symbol is not None and symbol < TOKEN:
                    run.append(symbol)
                    continue
                found += self._tokenize(bytes(run)) if run else ()
                run.clear()
                found += [] if symbol is None else [symbol - TOKEN]
            self._plans[node] = found
        return found

    def fitting(self, tokens: Sequence[int]) -> list[int]:
        """Return the beginning of a row of tokens that leaves room for an end."""
        kept: list[int] = []
        node = self._node
        for token in tokens:
            node = self._derived(node, token)
            if self._language.least(node) > self.left - 1 - len(kept):
                break
            kept.append(token)
        return kept

    def accept(self, token: int) -> None:
        """Take one step."""
        after = self._derived(self._node, token)
        rest = self._plan[1:] if self._plan and token == self._plan[0] else None
        self._node = after
        self.left -= 1
        if rest is not None and (self._language.ends(after) or len(rest) <= self.left):
            self._plan = [] if self._language.ends(after) else rest
        elif after != FAIL:
            self._plan = None  # made where the room gets short, for most steps never


def _has(allowed: Indices, token: int) -> bool:
    place = int(np.searchsorted(allowed, token))
    return place < len(allowed) and int(allowed[place]) == token
