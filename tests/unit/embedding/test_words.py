from __future__ import annotations

from ragstack.embedding.words import WordCounter


def test_long_words_and_signs_count() -> None:
    text = "L’eau monta, évidemment !"
    spans = WordCounter().offsets(text)
    assert [text[start:end] for start, end in spans] == [
        *("L", "’", "eau", "monta", ",", "évide", "mment", "!")
    ]
