from __future__ import annotations

from itertools import pairwise

import pytest

from ragstack.chunking.tokens import tabulate
from ragstack.embedding.words import WordCounter
from ragstack.types import Span

TEXT = "One two three, four five six seven."


class Sparse:
    """Shows only tokens of letters it knows: all else is dropped, as some tokenizers do."""

    def count(self, text: str) -> int:
        return len(self.offsets(text))

    def offsets(self, text: str) -> list[Span]:
        return [(place, place + 1) for place, sign in enumerate(text) if sign in "abc"]


class Greedy:
    """One token for each run of what is not a blank, however long."""

    def count(self, text: str) -> int:
        return len(self.offsets(text))

    def offsets(self, text: str) -> list[Span]:
        spans, start = [], 0
        for word in text.split(" "):
            if word:
                spans.append((start, start + len(word)))
            start += len(word) + 1
        return spans


def test_tokens_of_a_span() -> None:
    table = tabulate(TEXT, WordCounter())
    assert table.tokens((0, len(TEXT))) == WordCounter().count(TEXT) == 9
    assert table.tokens((4, 13)) == 2
    assert table.tokens((3, 4)) == 0
    assert table.tokens_before([0, 4, len(TEXT)]).tolist() == [0, 1, 9]


def test_cut_covers_and_keeps_to_the_size() -> None:
    table = tabulate(TEXT, WordCounter())
    spans = table.cut((0, len(TEXT)), size=4)
    assert [TEXT[start:end] for start, end in spans] == [
        "One two three, ",
        "four five six ",
        "seven.",
    ]


def test_cut_overlaps_by_whole_words() -> None:
    table = tabulate(TEXT, WordCounter())
    spans = table.cut((0, len(TEXT)), size=4, overlap=2)
    assert [TEXT[start:end].strip() for start, end in spans] == [
        "One two three,",
        "three, four five",
        "four five six",
        "five six seven.",
    ]


def test_a_word_is_cut_only_when_it_must_be() -> None:
    text = "ab " + "abcdefghij" * 4
    spans = tabulate(text, WordCounter()).cut((0, len(text)), size=4)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(tabulate(text, WordCounter()).tokens(span) <= 4 for span in spans)


def test_what_no_token_holds_is_weighed() -> None:
    text = "abc" + "\ufffd" * 1_000 + "abc"
    table = tabulate(text, Sparse())
    assert table.tokens((0, len(text))) == pytest.approx(256, abs=4)
    assert max(end - start for start, end in table.cut((0, len(text)), size=8)) <= 40


def test_text_without_any_token_is_weighed() -> None:
    table = tabulate("zzz", Sparse())
    assert table.tokens((0, 3)) == 1
    assert table.cut((0, 3), size=5) == [(0, 3)]


def test_a_token_longer_than_any_vocabulary_has_is_broken() -> None:
    text = "short " + "x" * 10_000 + " short"
    table = tabulate(text, Greedy())
    assert table.tokens((6, 10_006)) == 2_500
    assert max(end - start for start, end in table.cut((0, len(text)), size=10)) <= 46


def test_long_blanks_are_weighed() -> None:
    text = "a" + " " * 10_000 + "b"
    table = tabulate(text, WordCounter())
    assert table.tokens((0, len(text))) > 500
    assert len(table.cut((0, len(text)), size=100)) == 2
    indented = "a" + " " * 60 + "b"
    assert tabulate(indented, WordCounter()).tokens((0, len(indented))) == 2


def test_tokens_that_share_a_character_count_each() -> None:
    class Twice(Greedy):
        def offsets(self, text: str) -> list[Span]:
            return [span for span in super().offsets(text) for _ in range(2)]

    table = tabulate("one two", Twice())
    assert table.tokens((0, 7)) == 4
    assert table.cut((0, 7), size=2) == [(0, 4), (4, 7)]


def test_pieces_join_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "word, other\twords\n" * 200
    whole = tabulate(text, WordCounter())
    monkeypatch.setattr("ragstack.chunking.tokens._PIECE", 100)
    parts = tabulate(text, WordCounter())
    for span in pairwise(range(0, len(text), 7)):
        assert whole.tokens(span) == parts.tokens(span)


def test_the_empty_text() -> None:
    table = tabulate("", WordCounter())
    assert table.tokens((0, 0)) == 0
    assert table.cut((0, 0), size=3) == []
