from __future__ import annotations

import re

from ragstack.chunking.packing import Limits, pack
from ragstack.chunking.tokens import tabulate
from ragstack.embedding.words import WordCounter


def _packed(text: str, *patterns: str, size: int, overlap: int = 0) -> list[str]:
    levels = [[found.end() for found in re.finditer(pattern, text)] for pattern in patterns]
    table = tabulate(text, WordCounter())
    spans = pack((0, len(text)), levels, table, Limits(size, overlap))
    return [text[start:end].strip() for start, end in spans]


def test_what_fits_stays_whole() -> None:
    assert _packed("a b\n\nc d", r"\n\n", size=4) == ["a b\n\nc d"]


def test_chunks_are_filled() -> None:
    assert _packed("a b|c d|e f|g h|i", r"\|", size=6) == ["a b|c d|", "e f|g h|", "i"]


def test_a_strong_cut_is_preferred_to_a_fuller_chunk() -> None:
    text = "a. b. c.\n\nd. e. f. g. h. i. j. k."
    # By sentences alone five would fit; the paragraph ends after three, and that is over half.
    assert _packed(text, r"\n\n", r"\. ", size=10)[0] == "a. b. c."


def test_a_weak_cut_is_taken_when_the_strong_one_leaves_little() -> None:
    text = "a.\n\nb. c. d. e. f. g. h. i. j. k."
    assert _packed(text, r"\n\n", r"\. ", size=10)[0] == "a.\n\nb. c. d. e."


def test_only_what_is_too_long_is_opened() -> None:
    text = "a. b. c.\n\nd. e. f.\n\n" + "x. " * 12
    found = _packed(text, r"\n\n", r"\. ", size=8)
    assert found[:2] == ["a. b. c.", "d. e. f."]
    assert len(found) == 5


def test_overlap_is_of_whole_units() -> None:
    found = _packed("a b|c d|e f|g h|i j|", r"\|", size=9, overlap=4)
    assert found == ["a b|c d|e f|", "e f|g h|i j|"]


def test_overlap_gives_way_to_what_is_new() -> None:
    found = _packed("a|b|c d e f g h i|j", r"\|", size=8, overlap=4)
    assert found == ["a|b|", "c d e f g h i|", "j"]


def test_words_where_nothing_else_divides() -> None:
    text = " ".join("abcdefghijklmnopqrst")
    found = _packed(text, r"\n", size=8)
    assert " ".join(found) == text
    assert [len(chunk.split()) for chunk in found] == [8, 8, 4]


def test_a_tiny_size_still_moves_on() -> None:
    assert _packed("a b c.", r"\. ", size=1) == ["a", "b", "c", "."]
