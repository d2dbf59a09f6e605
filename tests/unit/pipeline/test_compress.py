"""Fewer sentences for the generator, each where it was."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ragstack.pipeline.compress import compressed
from ragstack.pipeline.neighbours import NEIGHBOUR, begins_mid_thought, with_neighbours
from ragstack.pipeline.pack import Block
from ragstack.types import Chunk, Passage

TEXT = (
    "The lease began in 1998. It was signed in the town hall. Bread was cheap then. "
    "The tenant pays for the roof of the boathouse. The roof was mended twice. "
    "Ferries leave every hour. A bicycle costs 3 euros. The procession starts at nine."
)


def block(text: str = TEXT, *, start: int = 100) -> Block:
    chunk = Chunk("d", "v", start, start + len(text), text)
    found = Passage(chunk, 1.0, "/d.txt")
    return Block("d", "/d.txt", start, chunk.end, text, "Harbour", (found,), count(text))


def count(text: str) -> int:
    return len(text.split())


def short(
    blocks: list[Block], keep: float, question: str = "Who pays for the roof?"
) -> list[Block]:
    return compressed(blocks, question, keep=keep, language="en", count=count)


def test_what_answers_stays_and_keeps_its_place() -> None:
    whole = block()
    (found,) = short([whole], 0.4)
    assert "The tenant pays for the roof of the boathouse." in found.text
    assert found.text == TEXT[found.start - 100 : found.end - 100]
    assert found.tokens == count(f"Harbour\n{found.text}") < whole.tokens
    assert found.passages == whole.passages


def test_what_is_kept_may_be_in_pieces() -> None:
    found = short([block()], 0.5, "When did the lease begin, and when does the procession start?")
    assert len(found) > 1
    assert found[0].text.startswith("The lease began") and "procession" in found[-1].text
    assert all(piece.text == TEXT[piece.start - 100 : piece.end - 100] for piece in found)


def test_all_is_kept_where_asked_or_where_nothing_speaks_of_it() -> None:
    assert short([block()], 1.0) == [block()]
    assert short([block()], 0.1, "Quid?") == [block()]
    few = block("The roof. It leaks. We pay.")
    assert short([few], 0.1) == [few]


def test_a_passage_that_no_run_touches_is_no_source() -> None:
    whole = block()
    first = Chunk("d", "v", 100, 124, TEXT[:24])
    other = Passage(first, 0.5, "/d.txt")
    (found,) = short([replace(whole, passages=(*whole.passages, other))], 0.2)
    assert found.passages == whole.passages


@given(
    words=st.lists(
        st.sampled_from(["Roof.", "pays", "Bread", "the", "No!", "\n\n", "é"]), max_size=40
    ),
    keep=st.floats(0.01, 1.0),
)
def test_whatever_the_text_nothing_is_made_up(words: list[str], keep: float) -> None:
    text = " ".join(words)
    whole = block(text)
    found = short([whole], keep)
    assert found
    assert all(piece.text in text and piece.passages for piece in found)
    assert all(
        piece.text == text[piece.start - 100 : piece.end - 100] and piece.text == piece.text.strip()
        for piece in found
        if piece != whole
    )
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_the_beginning_of_a_thought() -> None:
    for text in ("It leaks.", "however, the", "and pays", "« Cependant, il", "Elle part.", "C’est"):
        assert begins_mid_thought(text), text
    for text in ("The roof leaks.", "Bread costs 2.", "Le bail", "", "— …", "1998 was"):
        assert not begins_mid_thought(text), text


def test_neighbours_come_behind_what_needs_them_and_once() -> None:
    def passage(number: int, text: str) -> Passage:
        return Passage(Chunk("d", "v", 100 * number, 100 * number + len(text), text), 1.0, "/d.txt")

    chunks = [passage(0, "The roof."), passage(1, "It leaks."), passage(2, "They pay.")]

    def before(found: Passage) -> Passage | None:
        number = found.chunk.start // 100
        return replace(chunks[number - 1], trail={NEIGHBOUR: 1.0}) if number else None

    assert with_neighbours([chunks[0]], before) == [chunks[0]]
    found = with_neighbours([chunks[2], chunks[0]], before)
    assert [p.chunk.start for p in found] == [200, 100, 0]
    assert found[1].trail == {NEIGHBOUR: 1.0}
    assert with_neighbours([chunks[1], chunks[0]], before) == [chunks[1], chunks[0]]
