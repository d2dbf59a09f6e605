"""Thinking and answer are told apart as they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.errors import InputError
from ragstack.generate.reasoning import ReasoningBudget, ReasoningSplitter, Thought


def _split(pieces: list[str], *, thinking: bool = False) -> tuple[str, str]:
    splitter = ReasoningSplitter(thinking=thinking)
    found = [splitter.push(piece) for piece in pieces] + [splitter.flush()]
    return "".join(thought for thought, _ in found), "".join(answer for _, answer in found)


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("Just this.", "", "Just this."),
        ("<think>hm</think>\n\nYes.", "hm", "Yes."),
        ("\n<think>\nhm\n</think>Yes.", "\nhm\n", "Yes."),
        ("<think></think>Yes. <think>no</think>", "", "Yes. <think>no</think>"),
        ("The tag <think> is text.", "", "The tag <think> is text."),
        ("<think>never closed", "never closed", ""),
        ("<thin", "", "<thin"),
        ("< think>", "", "< think>"),
        ("", "", ""),
        ("\n\n", "", "\n\n"),
    ],
)
@given(data=st.data())
def test_however_it_is_cut(text: str, thought: str, answer: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert _split(pieces) == (thought, answer)


def test_a_prompt_that_opened_the_mark() -> None:
    assert _split(["so", " be it</th", "ink>\n", "\nYes."], thinking=True) == ("so be it", "Yes.")


def test_an_answer_is_shown_at_once() -> None:
    splitter = ReasoningSplitter()
    assert splitter.push("Yes") == ("", "Yes")
    assert splitter.push(", <") == ("", ", <")


# A vocabulary in which the marks are written with several tokens, and with one.
_PIECES = ["<think>", "</think>", "<", "think>", "</", "hm ", "Yes", "\n", "think>\n", "é"]
_ONE_CLOSE = [5, 1, 7]  # a word, the mark and a line feed


def _piece(token: int) -> bytes:
    return _PIECES[token].encode()


def _budget(limit: int | None, close: list[int] | None = None) -> ReasoningBudget:
    return ReasoningBudget(_piece, _ONE_CLOSE if close is None else close, limit)


def _run(budget: ReasoningBudget, wished: list[int], *, thinking: bool = False) -> list[Thought]:
    """Return every state of a reply whose model wishes for these tokens."""
    thoughts = [budget.begin(thinking=thinking)]
    wishes = iter(wished)
    while True:
        forced = budget.forced(thoughts[-1])
        token = next(wishes, None) if forced is None else forced
        if token is None:
            return thoughts
        thoughts.append(budget.step(thoughts[-1], token))


def _forced(budget: ReasoningBudget, thoughts: list[Thought]) -> list[int | None]:
    return [budget.forced(thought) for thought in thoughts]


def test_a_budget_closes_the_thinking() -> None:
    budget = _budget(2)
    thoughts = _run(budget, [0, 5, 5, 6])
    assert _forced(budget, thoughts) == [None, None, None, 5, 1, 7, None, None]
    assert [thought.answering for thought in thoughts] == [False] * 6 + [True, True]
    assert thoughts[-1].tokens == 2


def test_thinking_that_ends_in_time_is_left_alone() -> None:
    budget = _budget(5)
    thoughts = _run(budget, [7, 0, 5, 5, 1, 6, 0, 5, 5, 5, 5, 5, 5])
    assert set(_forced(budget, thoughts)) == {None}
    assert [thought.answering for thought in thoughts].index(True) == 5
    assert thoughts[-1].tokens == 2


def test_no_limit_still_says_where_the_answer_begins() -> None:
    budget = _budget(None, [])
    thoughts = _run(budget, [0] + [5] * 50 + [1, 6])
    assert set(_forced(budget, thoughts)) == {None}
    assert [thought.answering for thought in thoughts].index(True) == 52


def test_no_thinking_at_all() -> None:
    budget = _budget(0)
    assert _forced(budget, _run(budget, [], thinking=True)) == [5, 1, 7, None]
    assert _forced(budget, _run(budget, [0, 6])) == [None, 5, 1, 7, None, None]


def test_a_reply_that_does_not_think_is_all_answer() -> None:
    budget = _budget(0)
    assert [thought.answering for thought in _run(budget, [6, 0, 5])] == [False, True, True, True]
    assert [thought.answering for thought in _run(budget, [7, 2, 6])] == [False] * 3 + [True]


def test_marks_of_several_tokens_are_seen() -> None:
    budget = _budget(9)
    thoughts = _run(budget, [2, 3, 5, 9, 4, 8, 6])
    assert [thought.phase for thought in thoughts][2:6] == ["thinking"] * 4
    assert [thought.answering for thought in thoughts] == [False] * 6 + [True, True]


def test_an_older_state_can_be_gone_back_to() -> None:
    budget = _budget(2)
    thought = budget.step(budget.begin(), 0)
    first, second = budget.step(thought, 5), budget.step(thought, 1)
    assert not first.answering and second.answering
    assert budget.step(thought, 5) == first


def test_a_budget_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(InputError, match="reasoning_tokens is -1"):
        _budget(-1)
    with pytest.raises(InputError, match="the closing tokens say 'hm '"):
        _budget(3, [5])
    budget = _budget(0)
    with pytest.raises(InputError, match="the token 6 came where 5 was forced"):
        budget.step(budget.begin(thinking=True), 6)


@given(
    st.lists(st.integers(0, len(_PIECES) - 1), max_size=30),
    st.sampled_from([None, 0, 1, 4]),
    st.booleans(),
)
def test_a_budget_agrees_with_the_splitter(
    wished: list[int], limit: int | None, thinking: bool
) -> None:
    budget, splitter = _budget(limit), ReasoningSplitter(thinking=thinking)
    thought, wishes = budget.begin(thinking=thinking), iter(wished)
    while (token := budget.forced(thought)) is not None or (
        token := next(wishes, None)
    ) is not None:
        _, answer = splitter.push(_PIECES[token])
        if answer.strip():
            assert budget.step(thought, token).answering
        thought = budget.step(thought, token)
        assert limit is None or thought.tokens <= limit
