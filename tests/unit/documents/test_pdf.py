from __future__ import annotations

import pytest

from ragstack.documents.limits import Limits
from ragstack.documents.pdf import PdfLoader
from ragstack.errors import (
    BrokenDocument,
    DocumentTooLarge,
    EmptyDocument,
    EncryptedDocument,
)
from ragstack.testing.samples import PdfLine, pdf_bytes
from ragstack.types import Document

LEFT = 60.0


def paragraph(*lines: str, top: float = 300.0) -> list[PdfLine]:
    return [(LEFT, top + 12 * i, 10.0, line) for i, line in enumerate(lines)]


def load(*pages: list[PdfLine], outline: tuple[tuple[str, int], ...] = (), **info: str) -> Document:
    return PdfLoader().load(pdf_bytes(pages, info=info, outline=outline), source="a.pdf")


def test_lines_become_paragraphs_and_words_are_joined() -> None:
    document = load(
        paragraph(
            "The bees of this valley are known for their honey, which peo-",
            "ple sell on the market. Their well-known queen is old, and the",
            "keeper looks after her.",
        )
        + paragraph("A second paragraph begins here.", top=370)
    )
    assert document.text == (
        "The bees of this valley are known for their honey, which people sell on the market. "
        "Their well-known queen is old, and the keeper looks after her.\n\n"
        "A second paragraph begins here."
    )


def test_each_page_is_marked_with_its_number() -> None:
    document = load(paragraph("First page."), [], paragraph("Third page."))
    marks = [mark for mark in document.marks if mark.kind == "page"]
    pages = [(m.page, document.text[m.start : m.end]) for m in marks]
    assert pages == [(1, "First page."), (3, "Third page.")]


def test_a_paragraph_runs_on_over_a_page_break() -> None:
    document = load(
        paragraph("The keeper walked to the hives, which stood at the end of the"),
        paragraph("garden, and listened to the bees, who were glad of the sun-"),
        paragraph("shine that day."),
    )
    assert document.text.endswith("of the garden, and listened to the bees, who were glad of the "
                                  "sunshine that day.")  # fmt: skip
    starts = [document.text[m.start : m.start + 6] for m in document.marks]
    assert starts == ["The ke", "garden", "shine "]


def test_repeated_lines_at_the_edges_and_page_numbers_are_dropped() -> None:
    pages = [
        [
            (LEFT, 20.0, 9.0, f"Annual report {2020 + i}"),
            *paragraph(f"Text of page {'abcd'[i]}."),
            (300.0, 770.0, 9.0, f"- {i + 1} -"),
        ]
        for i in range(4)
    ]
    document = load(*pages)
    assert document.text == "\n\n".join(f"Text of page {letter}." for letter in "abcd")


def test_what_is_repeated_in_the_middle_stays() -> None:
    document = load(*[paragraph("Notes:", f"Number {i}.") for i in range(4)])
    assert document.text.count("Notes:") == 4


def test_the_outline_gives_the_headings() -> None:
    document = load(
        [(LEFT, 100.0, 10.0, "1. The bees"), *paragraph("Bees make honey.", top=140)],
        [(LEFT, 100.0, 10.0, "A long title that goes"), (LEFT, 114.0, 10.0, "over two lines"),
         *paragraph("More text.", top=160)],
        outline=(("The Bees", 1), ("A long title that goes over two lines", 2), ("Not there", 2)),
    )  # fmt: skip
    found = [(m.label, m.level, m.page) for m in document.marks if m.kind == "heading"]
    assert found == [("1. The bees", 1, 1), ("A long title that goes over two lines", 1, 2)]
    assert document.text.startswith("# 1. The bees\n\nBees make honey.")


def test_without_an_outline_larger_letters_are_headings() -> None:
    document = load(
        [(LEFT, 100.0, 20.0, "Bees"), (LEFT, 150.0, 14.0, "Kinds of bees"),
         *paragraph("There are many kinds of bees, and more are found each year.", top=200)],
    )  # fmt: skip
    found = [(m.label, m.level) for m in document.marks if m.kind == "heading"]
    assert found == [("Bees", 1), ("Kinds of bees", 2)]
    assert document.meta["title"] == "Bees"


def test_two_columns_are_read_one_after_the_other() -> None:
    left = [(50.0, 300 + 12.0 * i, 10.0, line) for i, line in enumerate(["One bee flew", "to the"])]
    right = [(320.0, 300 + 12.0 * i, 10.0, line) for i, line in enumerate(["garden", "and back."])]
    assert load(left + right).text == "One bee flew to the garden and back."


def test_the_information_becomes_metadata() -> None:
    document = load(
        paragraph("Text."), Title="On bees", Author="Ada", CreationDate="D:20240506070809+02'00'"
    )
    assert document.meta == {
        "title": "On bees",
        "author": "Ada",
        "date": "2024-05-06T07:08:09+02:00",
        "type": "pdf",
    }


@pytest.mark.parametrize("title", ["Microsoft Word - bees.doc", "untitled", "bees.pdf", "-", ""])
def test_a_title_that_a_program_made_up_is_none(title: str) -> None:
    assert "title" not in load(paragraph("Text."), Title=title).meta


def test_a_pdf_of_empty_pages_is_empty() -> None:
    with pytest.raises(EmptyDocument, match=r"the 2 pages of 'blank\.pdf' have no text$"):
        PdfLoader().load(pdf_bytes([[], []]), source="blank.pdf")


def test_a_password_is_asked_for() -> None:
    with pytest.raises(EncryptedDocument, match="password"):
        PdfLoader().load(pdf_bytes([paragraph("x")], encrypted=True), source="a.pdf")


def test_what_is_no_pdf_is_broken() -> None:
    with pytest.raises(BrokenDocument, match=r"a\.pdf"):
        PdfLoader().load(b"%PDF-1.7\nnothing", source="a.pdf")


def test_pages_have_a_limit() -> None:
    data = pdf_bytes([paragraph("x")] * 3)
    with pytest.raises(DocumentTooLarge, match="3 pages; the limit is 2"):
        PdfLoader(limits=Limits(max_pages=2)).load(data, source="a.pdf")
