"""What sequences held, in plain memory: out of the model's cache, where all that lies slows a step.

Knows no model: the state of a sequence is bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Shelf", "Shelved", "State", "begins", "common_prefix"]

State: TypeAlias = bytes | memoryview


@dataclass(eq=False, slots=True)
class Shelved:
    """What one sequence held.

    Attributes:
        key: What else its values depend on.
        used: Rises with each use.
    """

    tokens: list[int]
    key: str
    used: int
    state: State


class Shelf:
    """States of sequences, up to a number of them; those not used for longest go first."""

    def __init__(self, most: int, *, tokens: int) -> None:
        """Begin empty.

        Args:
            most: States.
            tokens: Of all states together.
        """
        self._most, self._tokens = most, tokens
        self._states: list[Shelved] = []
        self._spare: State | None = None

    def __len__(self) -> int:
        return len(self._states)

    def put(self, one: Shelved) -> None:
        """Keep a state, in place of those it begins like and goes on from."""
        self.forget_beginnings(one.tokens, one.key)
        self._states.append(one)
        while len(self._states) > self._most or self._held() > self._tokens:
            self._give_up(min(self._states, key=lambda each: each.used))

    def _held(self) -> int:
        return sum(len(each.tokens) for each in self._states)

    def take(self, one: Shelved) -> None:
        """Take a state off the shelf; its memory is the caller's until it is returned."""
        self._states.remove(one)

    def reuse(self, state: State) -> None:
        """Take note that nobody needs this state any more: its memory is for the next one."""
        if self._spare is None or len(self._spare) < len(state):
            self._spare = state

    def spare(self) -> State | None:
        """Return a state that nobody needs any more, for its memory; the shelf forgets it."""
        spare, self._spare = self._spare, None
        return spare

    def _give_up(self, one: Shelved) -> None:
        self._states.remove(one)
        self.reuse(one.state)

    def nearest(self, tokens: list[int], key: str) -> tuple[Shelved | None, int]:
        """Return the state that begins most like a prompt, and how many tokens they share.

        Never all of the prompt's: the last is read for its logits.
        """
        best, common = None, 0
        for each in self._states:
            if each.key == key:
                shared = min(common_prefix(each.tokens, tokens), len(tokens) - 1)
                if shared > common:
                    best, common = each, shared
        return best, common

    def holding(self, tokens: list[int], key: str) -> Shelved | None:
        """Return the state of exactly these tokens."""
        return next((e for e in self._states if e.key == key and e.tokens == tokens), None)

    def forget_beginnings(self, tokens: Sequence[int], key: str) -> None:
        """Forget the states of what these tokens begin with: nobody could gain by them."""
        self._states = [
            each for each in self._states if each.key != key or not begins(tokens, each.tokens)
        ]


def common_prefix(left: list[int], right: list[int]) -> int:
    """Return how many tokens two sequences begin with alike."""
    low, high = 0, min(len(left), len(right))
    # By halves: comparing slices runs in C, a loop over tokens does not.
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def begins(whole: Sequence[int], part: Sequence[int]) -> bool:
    """Return whether a sequence begins with another."""
    return len(part) <= len(whole) and list(whole[: len(part)]) == list(part)
