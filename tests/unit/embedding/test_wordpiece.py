from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.embedding.wordpiece import WordPiece
from ragstack.errors import ModelError
from ragstack.testing.embedders import TokenCounterSuite


@pytest.fixture(params=[True, False], ids=["remembered", "by the tokenizer"])
def pieces(tiny_folder: Path, request: pytest.FixtureRequest) -> WordPiece:
    made = WordPiece(tiny_folder / "tokenizer.json")
    assert made._memo is not None
    if not request.param:  # as with a tokenizer that does not go by words
        made._memo = None
    return made


class TestSuite(TokenCounterSuite):
    folder: Path

    @pytest.fixture(autouse=True)
    def _in_folder(self, tiny_folder: Path) -> None:
        self.folder = tiny_folder

    def make(self) -> WordPiece:
        return WordPiece(self.folder / "tokenizer.json")


def test_offsets_are_characters_of_the_text_itself(pieces: WordPiece) -> None:
    text = "Qui  paie r\u00e9parations, e\u0301t ?"
    assert [text[start:end] for start, end in pieces.offsets(text)] == [
        *("Qui", "paie", "r", "\u00e9", "paration", "s", ","),
        *("e", "t", "?"),
    ]


def test_long_texts_are_cut_at_white_space_without_a_trace(pieces: WordPiece) -> None:
    text = "who pays, tenant-roof\tthe x12\n" * 4_000
    whole = pieces.pieces(text)
    assert pieces.offsets(text) == whole[1]
    assert pieces.count(text) == len(whole[0])


def test_ids_are_enclosed_and_truncated_and_never_padded(pieces: WordPiece) -> None:
    short, long = pieces.ids(["the roof", "a " * 100], length=10)
    opening, closing = short[0], short[-1]
    assert len(short) == 4
    assert len(long) == 10
    assert (long[0], long[-1]) == (opening, closing)
    assert pieces.ids([""], length=10) == [[opening, closing]]
    assert pieces.enclose([7]) == [opening, 7, closing]


def test_a_text_cannot_hold_a_special_token(pieces: WordPiece) -> None:
    (row,) = pieces.ids(["the [SEP] roof [CLS]"], length=50)
    assert row.count(row[-1]) == 1
    assert row.count(row[0]) == 1


def test_lone_surrogates_count_as_one_sign(pieces: WordPiece) -> None:
    assert pieces.offsets("a \ud800 b") == [(0, 1), (2, 3), (4, 5)]


@pytest.mark.parametrize("data", [b"", b"{}", b'{"version": "1.0", "model": {}}', b"\xff\xfe"])
def test_a_broken_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="is not a tokenizer"):
        WordPiece(path)


def test_a_vocabulary_without_special_tokens_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text((tiny_folder / "tokenizer.json").read_text().replace("[SEP]", "[END]"))
    with pytest.raises(ModelError, match=r"has no token '\[SEP\]'"):
        WordPiece(path)
