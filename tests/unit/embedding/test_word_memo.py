"""What is remembered of words, beside the tokenizer itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.normalizers import NFKC
from tokenizers.pre_tokenizers import Whitespace

from ragstack.embedding import word_memo
from ragstack.embedding.word_memo import WordMemo

# What tokenizers take apart, drop, join or turn into several characters.
ODD = st.sampled_from(
    [
        *(
            " ",
            "\t",
            "\n",
            "\r",
            "\0",
            "\x0b",
            "\x1c",
            "\x85",
            "\xa0",
            "\u2003",
            "\u2028",
            "\u200b",
        ),
        *("\u200d", "\ufeff", "\ufffd", "\u00ad", "\u0301", "\u0327", "=\u0338", "e\u0301", "é"),
        *("İ", "Σ", "ς", "ß", "ﬁ", "ŉ", "Ǆ", "\u212b", "\u1e9b\u0323", "중", "\uac00\u11a8", "中"),
        *("。", "、", "—", "’", "«", "…", "٣", "\u0e01\u0e33", "😀", "👨\u200d👩", "\ue000"),
        *("[SEP]", "[CLS]", "##paration", "the", "tenant", "reparations", "x" * 120, ".", ",", "`"),
    ]
)


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Tokenizer:
    found = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    found.no_truncation()
    found.no_padding()
    found.encode_special_tokens = True
    return found


@settings(max_examples=400)
@given(parts=st.lists(ODD | st.text(min_size=1, max_size=4), max_size=30), most=st.integers(1, 20))
def test_tokens_are_those_of_the_tokenizer(
    tokenizer: Tokenizer, parts: list[str], most: int
) -> None:
    text = "".join(parts).encode("utf-8", "replace").decode()
    memo, whole = WordMemo(tokenizer), tokenizer.encode(text, add_special_tokens=False)
    for _ in range(2):  # of words that are new, and of words that are known
        assert memo.offsets(text) == whole.offsets
        assert memo.ids(text, most) == whole.ids[:most]
        assert memo.count(text) == len(whole.ids)


def test_it_stays_small(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_memo, "_MOST", 5)
    memo = WordMemo(tokenizer)
    for word in ("the roof", "who pays", "damage", "a" * 41, "for a tenant"):
        memo.count(word)
        assert len(memo) <= 5
    assert "tenant" in memo
    assert not any(len(word) > 40 for word in memo)


def test_only_a_tokenizer_that_goes_by_words_has_one(tiny_folder: Path) -> None:
    path = str(tiny_folder / "tokenizer.json")
    assert WordMemo.suits(Tokenizer.from_file(path))
    for part, other in (("normalizer", NFKC()), ("pre_tokenizer", Whitespace())):
        changed = Tokenizer.from_file(path)
        setattr(changed, part, other)
        assert not WordMemo.suits(changed)
    changed = Tokenizer.from_file(path)
    changed.add_tokens([AddedToken("the roof")])
    assert not WordMemo.suits(changed)
