from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragstack.pipeline.pack import near_best, pack
from ragstack.types import Chunk, Passage

TEXT = "".join(f"Word{i:03d} " for i in range(200))


def passage(start: int, end: int, *, document: str = "d", text: str = TEXT) -> Passage:
    chunk = Chunk(document, "v", start, end, text[start:end])
    return Passage(chunk, score=1.0, source=f"/{document}.txt")


def count(text: str) -> int:
    return len(text.split())


def between(_document: str, start: int, end: int) -> str:
    return TEXT[start:end]


def packed(passages: list[Passage], budget: int = 1000, per_document: int = 9):
    return pack(passages, budget=budget, count=count, per_document=per_document, between=between)


def test_overlapping_chunks_become_one_block() -> None:
    blocks = packed([passage(40, 120), passage(0, 80)])
    assert [(b.start, b.end) for b in blocks] == [(0, 120)]
    assert blocks[0].text == TEXT[0:120]
    assert len(blocks[0].passages) == 2


def test_chunks_with_white_space_between_them_touch() -> None:
    blocks = packed([passage(0, 7), passage(8, 15)])
    assert [b.text for b in blocks] == [TEXT[0:15]]


def test_chunks_with_a_word_between_them_do_not_touch() -> None:
    blocks = packed([passage(0, 7), passage(16, 23)])
    assert [b.text for b in blocks] == [TEXT[0:7], TEXT[16:23]]


def test_a_chunk_can_join_two_blocks() -> None:
    blocks = packed([passage(0, 15), passage(32, 47), passage(8, 40)])
    assert [(b.start, b.end) for b in blocks] == [(0, 47)]


def test_the_order_is_that_of_the_best_passage() -> None:
    blocks = packed([passage(800, 900), passage(0, 15, document="e"), passage(880, 950)])
    assert [(b.document_id, b.start) for b in blocks] == [("d", 800), ("e", 0)]


def test_repeats_are_dropped() -> None:
    blocks = packed([passage(0, 80), passage(0, 80, document="copy"), passage(8, 31, document="e")])
    assert [b.document_id for b in blocks] == ["d"]


def test_one_document_cannot_crowd_out_the_rest() -> None:
    many = [passage(i * 100, i * 100 + 39) for i in range(5)]
    blocks = packed([*many, passage(700, 780, document="e")], per_document=2)
    assert [b.document_id for b in blocks] == ["d", "d", "e"]


def test_the_budget_holds_and_smaller_blocks_still_fit() -> None:
    blocks = packed([passage(0, 80), passage(400, 800), passage(1000, 1040)], budget=20)
    assert [(b.start, b.end) for b in blocks] == [(0, 80), (1000, 1040)]
    assert sum(b.tokens for b in blocks) <= 20


def test_a_first_block_over_the_budget_is_cut_at_a_space() -> None:
    (block,) = packed([passage(0, 800)], budget=5)
    assert block.tokens <= 5
    assert block.text == TEXT[: block.end]
    assert TEXT[block.end] == " "


def test_nothing_in_nothing_out() -> None:
    assert packed([]) == []


spans = st.tuples(st.integers(0, 1500), st.integers(1, 99)).map(lambda t: (t[0], t[0] + t[1]))


@given(st.lists(spans, max_size=12), st.integers(0, 60))
def test_every_block_is_a_span_of_its_document_within_the_budget(
    found: list[tuple[int, int]], budget: int
) -> None:
    passages = [passage(a, b) for a, b in found if TEXT[a:b].strip()]
    blocks = packed(passages, budget=budget)
    assert sum(block.tokens for block in blocks) <= budget
    assert all(TEXT[block.start : block.end] == block.text for block in blocks)
    covered = [set(range(block.start, block.end)) for block in blocks]
    assert all(a.isdisjoint(b) for i, a in enumerate(covered) for b in covered[:i])


def scored(*scores: float | None) -> list[Passage]:
    return [
        Passage(Chunk("d", "v", i, i + 1, "x"), 1.0, "/d", {} if s is None else {"weighted": s})
        for i, s in enumerate(scores)
    ]


def test_passages_far_from_the_best_are_left_out() -> None:
    passages = scored(2.0, 1.2, 1.19, 0.3)
    assert near_best(passages, 0.6) == passages[:2]
    assert near_best(passages, 0.0) == passages


def test_without_a_comparable_score_every_passage_is_kept() -> None:
    for passages in (scored(2.0, None), scored(0.0, -1.0), scored()):
        assert near_best(passages, 0.6) == passages
