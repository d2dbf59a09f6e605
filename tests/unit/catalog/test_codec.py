from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.catalog import codec
from ragstack.errors import InputError
from ragstack.types import Mark

ANY_TEXT = st.text(st.characters(), max_size=20)  # surrogates too
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT


@given(ANY_TEXT)
def test_any_text_survives(text: str) -> None:
    assert codec.decode(codec.encode(text)) == text


@given(ANY_TEXT, ANY_TEXT)
def test_bytes_are_in_the_order_of_the_text(left: str, right: str) -> None:
    assert (left < right) == (codec.encode(left) < codec.encode(right))


@given(st.dictionaries(ANY_TEXT, SCALARS, max_size=4))
def test_any_metadata_survive(meta: dict[str, str | int | float | bool | None]) -> None:
    back = codec.decode_meta(codec.encode_meta(meta))
    assert back == meta
    assert {key: type(value) for key, value in back.items()} == {
        key: type(value) for key, value in meta.items()
    }
    assert codec.encode_meta(dict(reversed(meta.items()))) == codec.encode_meta(meta)


@given(st.lists(ANY_TEXT, max_size=3))
def test_any_readers_survive(readers: list[str]) -> None:
    assert codec.decode_readers(codec.encode_readers(readers)) == tuple(readers)


def test_surrogates_apart_stay_apart() -> None:
    apart = "\ud83d" + "\ude00"
    assert codec.decode_meta(codec.encode_meta({"a": apart})) == {"a": apart}


def test_marks_survive() -> None:
    marks = (Mark("a\ud800", 0, 5, "x\x00", 2, 7, (0.0, 1.5, 2.0, 3.25), 0.125), Mark("b", 1, 2))
    assert codec.decode_marks(codec.encode_marks(marks)) == marks
    assert codec.decode_marks(codec.encode_marks(())) == ()


@pytest.mark.parametrize("meta", [{"a": [1]}, {"a": b"x"}, {"a": {}}, {1: "a"}, {"a": 10**5_000}])
def test_what_is_no_scalar_is_refused(meta: dict[str, object]) -> None:
    with pytest.raises(InputError):
        codec.encode_meta(meta)  # type: ignore[arg-type]
