"""Thinking and answer are told apart as they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.generate.reasoning import ReasoningSplitter


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
