"""Columns are read one after the other, whatever order they come in; footnotes stay."""

from __future__ import annotations

from itertools import chain

from ragstack.documents.pdf import PdfLoader
from ragstack.documents.pdflayout import Line
from ragstack.documents.pdforder import in_reading_order
from ragstack.testing.samples import PdfLine, pdf_bytes

COUNT = ("one", "two", "three", "four", "five", "six")
LEFT = [f"left {word} of the first column, which says" for word in COUNT]
RIGHT = [f"right {word} of the second column, it says" for word in COUNT]


def column(texts: list[str], x: float) -> list[PdfLine]:
    return [(x, 200.0 + 12 * i, 10.0, text) for i, text in enumerate(texts)]


def text_of(*pages: list[PdfLine]) -> str:
    return PdfLoader().load(pdf_bytes(pages), source="a.pdf").text


def order(text: str, *words: str) -> list[int]:
    return [text.index(word) for word in words]


def test_columns_that_come_row_by_row_are_read_one_after_the_other() -> None:
    rows = list(chain(*zip(column(LEFT, 50.0), column(RIGHT, 310.0), strict=True)))
    title = (150.0, 100.0, 16.0, "A title over both of the columns")
    text = text_of([title, *rows])
    places = order(text, "A title", "left one", "left six", "right one", "right six")
    assert places == sorted(places)
    assert "|" not in text


def test_columns_that_come_in_order_keep_it() -> None:
    text = text_of([*column(RIGHT, 310.0), *column(LEFT, 50.0)])
    # The page's own order reads column by column: it is believed.
    assert text.index("right six") < text.index("left one")


def test_what_spans_the_columns_stands_between_them() -> None:
    rows = list(chain(*zip(column(LEFT, 50.0), column(RIGHT, 310.0), strict=True)))
    lower = [(x, y + 150, size, text.replace("one", "lower")) for x, y, size, text in rows]
    between = (100.0, 300.0, 10.0, "Between: a sentence that runs over the whole width of the page")
    text = text_of([*rows, between, *lower])
    places = order(text, "right six", "Between", "left lower", "right lower")
    assert places == sorted(places)


def test_a_page_of_one_column_keeps_its_order() -> None:
    lines = [Line(f"line {i} of text", 50, 100 + 12 * i, 400, 110 + 12 * i, 10) for i in range(20)]
    assert in_reading_order(lines[::-1]) == lines[::-1]
    assert in_reading_order([]) == []


def test_footnotes_are_kept_and_run_into_nothing() -> None:
    first = [*column(["The keeper walked to the hives, which stood at the end"], 50.0),
             (50.0, 760.0, 7.0, "1 A hive is a house for bees")]  # fmt: skip
    second = column(["of the garden, and looked at the bees."], 50.0)
    assert text_of(first, second).split("\n\n") == [
        "The keeper walked to the hives, which stood at the end",
        "1 A hive is a house for bees",
        "of the garden, and looked at the bees.",
    ]
