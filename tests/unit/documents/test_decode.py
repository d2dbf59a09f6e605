from __future__ import annotations

import codecs

import pytest

from ragstack.documents.decode import decode, head, text_encoding
from ragstack.errors import UnsupportedDocument

FRENCH = "L’été, où les garçons mangent des œufs à la coque. «\u00a0Oui\u00a0!\u00a0» 3,50 €\r\n"
RUSSIAN = "Привет, мир. Это обычный русский текст, в котором достаточно много слов. " * 3
POLISH = "Zażółć gęślą jaźń. Chrząszcz brzmi w trzcinie w Szczebrzeszynie, źdźbło trawy. " * 3
ENGLISH = "Bees make honey. They dance, and the queen lives for five years.\n"


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "cp1252"],
)
@pytest.mark.parametrize("text", [FRENCH, ENGLISH])
def test_encodings_are_told(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), source="a") == text


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_a_byte_order_mark_is_no_text(mark: bytes) -> None:
    encoding = "utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be"
    assert decode(mark + "né".encode(encoding), source="a") == "né"


@pytest.mark.parametrize(("text", "encoding"), [(RUSSIAN, "cp1251"), (POLISH, "cp1250")])
def test_other_alphabets_are_left_to_statistics(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), source="a") == text


def test_a_rare_sign_does_not_make_french_polish() -> None:
    text = FRENCH * 40 + "3º édition, ¾ d’heure"
    assert decode(text.encode("cp1252"), source="a") == text


def test_valid_utf8_wins_over_a_wrong_declaration() -> None:
    assert decode("déjà".encode(), source="a", declared="iso-8859-1") == "déjà"


def test_a_right_declaration_is_followed() -> None:
    data = "שלום".encode("iso-8859-8")
    assert decode(data, source="a", declared="iso-8859-8") == "שלום"
    assert decode("日本".encode("iso-2022-jp"), source="a", declared="iso-2022-jp") == "日本"


def test_an_unknown_declaration_is_passed_over() -> None:
    assert decode(FRENCH.encode(), source="a", declared="no-such-code") == FRENCH


def test_one_bad_byte_does_not_lose_a_document() -> None:
    data = FRENCH.encode() * 50 + b"\xff" + ENGLISH.encode()
    assert decode(data, source="a") == FRENCH * 50 + "\ufffd" + ENGLISH


def test_a_bad_byte_beyond_the_sample_does_not_either() -> None:
    text = FRENCH * 1_000
    assert decode(text.encode() + b"\xff", source="a") == text + "\ufffd"


def test_an_accent_beyond_the_sample_is_told() -> None:
    text = ENGLISH * 2_000 + "Brontë"
    assert decode(text.encode("cp1252"), source="a") == text


@pytest.mark.parametrize(
    "data", [bytes(range(256)), b"\x00\x01\x02\x03" * 100, b"text\x00\x01" * 9]
)
def test_binary_is_refused(data: bytes) -> None:
    assert text_encoding(data) == ""
    with pytest.raises(UnsupportedDocument, match="binary"):
        decode(data, source="a")


def test_head_does_not_cut_a_character() -> None:
    data = "ééééé".encode()
    for size in range(len(data) + 2):
        assert head(data, size).decode("utf-8") == "ééééé"[: size // 2]
