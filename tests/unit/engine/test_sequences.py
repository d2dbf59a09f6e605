"""What was read is found again: whatever is taken and given back, the cache holds what it says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragstack.engine.sequences import Sequences, common_prefix


class Cells:
    """A cache that holds tokens themselves, as the model's does keys and values."""

    def __init__(self, *, can_cut: bool = True) -> None:
        self.can_cut = can_cut
        self.held: dict[int, list[int]] = {}

    def copy(self, source: int, target: int, upto: int) -> None:
        assert not self.held.get(target), "the target is not empty"
        whole = self.held[source]
        self.held[target] = whole[:upto] if self.can_cut else list(whole)

    def cut(self, sequence: int, keep: int) -> bool:
        if keep > 0 and not self.can_cut:
            return False
        self.held[sequence] = self.held.get(sequence, [])[:keep]
        return True


@settings(max_examples=200)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=30),
    st.booleans(),
    st.integers(1, 3),
)
def test_a_sequence_holds_the_beginning_of_its_prompt(
    prompts: list[list[int]], can_cut: bool, streams: int
) -> None:
    """The model of the cache is a dictionary of lists; four sequences serve up to three jobs."""
    cells = Cells(can_cut=can_cut)
    sequences = Sequences(cells, streams + 1)
    busy: list[tuple[int, list[int]]] = []
    for prompt in prompts:
        if len(busy) == streams:
            sequence, whole = busy.pop(0)
            sequences.give_back(sequence, whole)
        sequence, cached = sequences.take(prompt)
        assert cached < len(prompt)
        assert cells.held.get(sequence, []) == prompt[:cached]
        assert sequence not in [number for number, _ in busy]
        cells.held[sequence] = list(prompt)
        sequences.read(sequence, prompt[cached:], cached)
        busy.append((sequence, prompt))
        assert sequences.busy == len(busy)
    for sequence, whole in busy:
        assert cells.held[sequence] == whole
        sequences.give_back(sequence, whole)
    while sequences.evict():
        pass
    assert not any(cells.held.values())


def test_the_longest_beginning_is_taken_and_the_oldest_goes_first() -> None:
    cells = Cells()
    sequences = Sequences(cells, 3)

    def run(prompt: list[int]) -> int:
        sequence, cached = sequences.take(prompt)
        cells.held[sequence] = prompt
        sequences.read(sequence, prompt[cached:], cached)
        sequences.give_back(sequence, prompt)
        return cached

    assert run([1, 2, 3, 4]) == 0
    assert run([1, 2, 9, 9]) == 2
    assert run([1, 2, 3, 4, 5]) == 4
    assert run([7, 7]) == 0
    assert run([8, 8]) == 0  # the oldest made room: 1 2 9 9
    assert run([1, 2, 9, 9, 9]) == 2
    assert run([1, 2, 9, 9, 9, 1]) == 5


def test_another_adapter_s_values_are_not_shared() -> None:
    cells = Cells()
    sequences = Sequences(cells, 3)
    sequence, _ = sequences.take([1, 2, 3], key="a")
    sequences.read(sequence, [1, 2, 3], 0)
    cells.held[sequence] = [1, 2, 3]
    assert sequences.take([1, 2, 3, 4], key="b")[1] == 0
    assert sequences.take([1, 2, 3, 4], key="a")[1] == 3


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [([], [], 0), ([1], [], 0), ([1, 2], [1, 2], 2), ([1, 2, 3], [1, 2, 4, 5], 2), ([2], [1], 0)],
)
def test_common_prefix(left: list[int], right: list[int], expected: int) -> None:
    assert common_prefix(left, right) == expected
