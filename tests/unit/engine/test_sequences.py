"""What was read is found again: whatever is taken and given back, the cache holds what it says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragstack.engine.sequences import Sequences, common_prefix
from ragstack.engine.shelf import State
from ragstack.errors import GenerationError


class Cells:
    """A cache that holds tokens themselves, as the model's does keys and values."""

    def __init__(self, *, can_cut: bool = True, room: int = 10_000) -> None:
        self.can_cut = can_cut
        self.held: dict[int, list[int]] = {}
        self._room = room
        self.restored = 0

    def state(self, sequence: int, into: State | None = None) -> State:
        """As the model does, write over the memory of a state that nobody needs any more."""
        room = into.obj if isinstance(into, memoryview) else None
        size = len(self.held[sequence])
        if not isinstance(room, bytearray) or len(room) < size:
            room = bytearray(size)
        room[:size] = bytes(self.held[sequence])
        return memoryview(room)[:size]

    def restore(self, sequence: int, state: State, count: int) -> bool:
        assert not self.held.get(sequence), "the sequence is not empty"
        if sum(map(len, self.held.values())) + count > self._room:
            return False
        self.held[sequence] = list(state)
        assert len(state) == count
        self.restored += 1
        return True

    def copy(self, source: int, target: int, upto: int) -> None:
        assert not self.held.get(target), "the target is not empty"
        whole = self.held[source]
        self.held[target] = whole[:upto] if self.can_cut else list(whole)

    def cut(self, sequence: int, keep: int) -> bool:
        if keep > 0 and not self.can_cut:
            return False
        self.held[sequence] = self.held.get(sequence, [])[:keep]
        return True


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=8), st.integers(0, 9)),
        max_size=30,
    ),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from([None, 0, 5]),
    st.sampled_from([20, 10_000]),
    st.booleans(),
)
def test_a_sequence_holds_the_beginning_of_its_prompt(
    prompts: list[tuple[list[int], int]],
    can_cut: bool,
    streams: int,
    near: int | None,
    room: int,
    at_leisure: bool,
) -> None:
    """The model of the cache is a dictionary of lists; four sequences serve up to three jobs.

    A job may drop the end of what it has read, and others come before it goes on.
    """
    cells = Cells(can_cut=can_cut, room=room)
    sequences = Sequences(cells, streams + 1, near=near, shelf=16, at_leisure=at_leisure)
    busy: list[tuple[int, list[int]]] = []
    for prompt, keep in prompts:
        if len(busy) == streams:
            sequence, whole = busy.pop(0)
            sequences.give_back(sequence, whole)
        sequence, cached = sequences.take(prompt)
        assert cached < len(prompt)
        assert cells.held.get(sequence, []) == prompt[:cached]
        assert sequence not in [number for number, _ in busy]
        cells.held[sequence] = list(prompt)
        sequences.read(sequence, prompt[cached:], cached)
        left = sequences.cut(sequence, keep) if keep < len(prompt) else len(prompt)
        busy.append((sequence, prompt[:left]))
        assert sequences.busy == len(busy)
        if at_leisure and sequences.too_many and len(prompt) % 2:
            sequences.evict()
        assert at_leisure or not sequences.too_many
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


def _run(sequences: Sequences, cells: Cells, prompt: list[int]) -> int:
    sequence, cached = sequences.take(prompt)
    assert cells.held.get(sequence, []) == prompt[:cached]
    cells.held[sequence] = list(prompt)
    sequences.give_back(sequence, prompt)
    return cached


def test_what_is_too_much_is_put_away_and_comes_back() -> None:
    cells = Cells()
    sequences = Sequences(cells, 4, near=3, shelf=100)
    assert _run(sequences, cells, [1, 1, 1]) == 0
    assert _run(sequences, cells, [2, 2, 2, 2]) == 0
    assert _run(sequences, cells, [3]) == 0
    assert sum(map(len, cells.held.values())) <= 5  # four are on the shelf, or three
    assert sequences.kept == 3
    assert _run(sequences, cells, [1, 1, 1, 5]) == 3
    assert _run(sequences, cells, [2, 2, 2, 6]) == 3
    assert cells.restored == 2


def test_little_is_read_anew_rather_than_fetched() -> None:
    cells = Cells()
    sequences = Sequences(cells, 4, near=0, shelf=1000)
    _run(sequences, cells, [1] * 200)
    _run(sequences, cells, [7])  # it goes to the shelf
    assert _run(sequences, cells, [1] * 5 + [2] * 9) == 0  # reading five is quicker
    assert cells.restored == 0
    assert _run(sequences, cells, [1] * 20 + [3]) == 20
    assert cells.restored == 1


def test_what_makes_room_is_not_written_over_what_comes_back() -> None:
    cells = Cells(room=7)
    sequences = Sequences(cells, 4, near=0, shelf=6, at_leisure=True)
    _run(sequences, cells, [1] * 4)
    assert sequences.evict()
    _run(sequences, cells, [2] * 3)
    _run(sequences, cells, [3] * 4)
    # Both leave the cache for it; with the first of them the shelf holds more than it may.
    assert _run(sequences, cells, [1, 1, 1, 1, 9]) == 4  # _run looks at what is held
    assert cells.restored == 1


def test_nobody_begins_with_what_was_cut_off() -> None:
    cells = Cells()
    sequences = Sequences(cells, 4)
    first, _ = sequences.take([1, 1, 1, 2, 2, 2])
    cells.held[first] = [1, 1, 1, 2, 2, 2]
    sequences.read(first, [1, 1, 1, 2, 2, 2], 0)
    assert sequences.cut(first, 3) == 3
    assert _run(sequences, cells, [1, 1, 1, 2, 2, 2, 3]) == 3


def test_a_state_that_cannot_be_had_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Cells()
    sequences = Sequences(cells, 4, near=0, shelf=100)
    _run(sequences, cells, [1, 1, 1])
    _run(sequences, cells, [2])

    def fails(*_: object) -> bool:
        raise GenerationError("damaged")

    monkeypatch.setattr(cells, "restore", fails)
    assert _run(sequences, cells, [1, 1, 1, 5]) == 0
    monkeypatch.setattr(cells, "state", fails)
    assert _run(sequences, cells, [7]) == 0
    assert _run(sequences, cells, [1, 1, 1, 5, 6]) in (0, 4)
