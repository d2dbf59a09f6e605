"""Text to tokens and back: exact, and no text becomes a control token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.engine.vocabulary import Detokenizer, Vocabulary
from ragstack.errors import InputError
from ragstack.testing.tiny_model import CONTROL_TOKENS, USER_DEFINED_TOKENS

_MARKS = (*CONTROL_TOKENS, *USER_DEFINED_TOKENS)
_TEXTS = st.one_of(
    st.text(),
    st.lists(st.one_of(st.text(max_size=5), st.sampled_from(_MARKS))).map("".join),
)


@given(_TEXTS)
def test_a_text_comes_back(tiny_vocabulary: Vocabulary, text: str) -> None:
    assert tiny_vocabulary.detokenize(tiny_vocabulary.tokenize(text)) == text


@given(_TEXTS)
def test_a_text_comes_back_from_sentencepiece(
    sentencepiece_vocabulary: Vocabulary, text: str
) -> None:
    vocabulary = sentencepiece_vocabulary
    plain = text.replace("\u2581", " ")  # its own sign for a space
    assert vocabulary.detokenize(vocabulary.tokenize(plain)) == plain


@given(_TEXTS)
def test_no_text_becomes_a_mark(tiny_vocabulary: Vocabulary, text: str) -> None:
    assert not any(tiny_vocabulary.is_mark(token) for token in tiny_vocabulary.tokenize(text))


@pytest.mark.parametrize("mark", _MARKS)
def test_our_own_text_is_read_for_marks(tiny_vocabulary: Vocabulary, mark: str) -> None:
    (token,) = tiny_vocabulary.tokenize(mark, special=True)
    assert tiny_vocabulary.is_mark(token)
    assert tiny_vocabulary.piece(token, special=True) == mark.encode()
    assert tiny_vocabulary.special_token(mark) == token
    assert len(tiny_vocabulary.tokenize(mark)) > 1


def test_what_is_no_mark_has_no_special_token(tiny_vocabulary: Vocabulary) -> None:
    assert tiny_vocabulary.special_token("t") is None
    assert tiny_vocabulary.special_token("<|other|>") is None


def test_a_first_text_gets_its_space_and_a_following_one_does_not(
    sentencepiece_vocabulary: Vocabulary,
) -> None:
    vocabulary = sentencepiece_vocabulary
    assert vocabulary.detokenize(vocabulary.tokenize("the", begins=True)) == " the"
    assert vocabulary.detokenize(vocabulary.tokenize("the")) == "the"


def test_lone_surrogates_do_not_reach_llama(tiny_vocabulary: Vocabulary) -> None:
    assert tiny_vocabulary.detokenize(tiny_vocabulary.tokenize("a\ud800b\x00c")) == "a?b\x00c"


@pytest.mark.parametrize("text", ["a" * 200_000, " " * 50_000, "\n" * 50_000, "é日🎉" * 20_000])
def test_long_runs_are_tokenised(tiny_vocabulary: Vocabulary, text: str) -> None:
    assert tiny_vocabulary.detokenize(tiny_vocabulary.tokenize(text)) == text


@pytest.mark.parametrize("token", [-1, 273, 2**31 - 1, -(2**31)])
def test_ids_out_of_range_are_refused(tiny_vocabulary: Vocabulary, token: int) -> None:
    with pytest.raises(InputError, match="no token has the id"):
        tiny_vocabulary.piece(token)
    with pytest.raises(InputError):
        tiny_vocabulary.is_control(token)


def test_all_pieces_at_once_are_the_pieces(tiny_vocabulary: Vocabulary) -> None:
    pieces = tiny_vocabulary.pieces()
    assert pieces == [tiny_vocabulary.piece(i, special=True) for i in range(tiny_vocabulary.size)]
    assert len(set(pieces)) > 256


def test_ends_are_the_marks_that_end(tiny_vocabulary: Vocabulary) -> None:
    ends = {tiny_vocabulary.piece(token, special=True) for token in tiny_vocabulary.ends}
    assert ends == {b"<|endoftext|>", b"<|im_end|>"}


def test_a_stream_never_cuts_a_character(tiny_vocabulary: Vocabulary) -> None:
    text = "é🎉日, the end"
    stream = Detokenizer(tiny_vocabulary)
    shown = [stream.push(token) for token in tiny_vocabulary.tokenize(text)]
    assert "".join(shown) == text
    assert "\ufffd" not in "".join(shown)
    assert stream.flush() == ""


def test_half_a_character_at_the_end_is_shown_as_such(tiny_vocabulary: Vocabulary) -> None:
    stream = Detokenizer(tiny_vocabulary)
    tokens = tiny_vocabulary.tokenize("🎉")
    assert [stream.push(token) for token in tokens[:-1]] == [""] * (len(tokens) - 1)
    assert stream.flush() == "\ufffd"


def test_marks_are_shown_where_asked(tiny_vocabulary: Vocabulary) -> None:
    (token,) = tiny_vocabulary.tokenize("<|im_end|>", special=True)
    assert Detokenizer(tiny_vocabulary).push(token) == ""
    assert Detokenizer(tiny_vocabulary, shown={token}).push(token) == "<|im_end|>"
