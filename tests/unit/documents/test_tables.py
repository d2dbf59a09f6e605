"""Tables of every format become Markdown tables that keep their captions, pages and places."""

from __future__ import annotations

import pytest

from ragstack.documents.docxtables import word_tables
from ragstack.documents.html import HtmlLoader
from ragstack.documents.office import OfficeLoader
from ragstack.documents.pdf import PdfLoader
from ragstack.documents.sheets import sheet_tables
from ragstack.testing.samples import PdfLine, docx_bytes, pdf_bytes, xlsx_bytes
from ragstack.types import Document

Rule = tuple[float, float, float, float]

COLUMNS = (60.0, 200.0, 330.0, 460.0)


def pdf(*lines: PdfLine, rules: tuple[Rule, ...] = ()) -> Document:
    return PdfLoader().load(pdf_bytes([lines], rules=rules), source="a.pdf")


def cells(*rows: tuple[str, ...], top: float = 200.0, pitch: float = 16.0) -> list[PdfLine]:
    return [
        (COLUMNS[c] + 4, top + 4 + pitch * r, 10.0, text)
        for r, row in enumerate(rows)
        for c, text in enumerate(row)
        if text
    ]


def grid(rows: int, columns: int, top: float = 200.0, pitch: float = 16.0) -> tuple[Rule, ...]:
    right, bottom = COLUMNS[columns], top + pitch * rows
    across = [(COLUMNS[0], top + pitch * r, right, top + pitch * r) for r in range(rows + 1)]
    down = [(COLUMNS[c], top, COLUMNS[c], bottom) for c in range(columns + 1)]
    return (*across, *down)


def word(*rows: str) -> str:
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"


def tc(text: str = "", properties: str = "", more: str = "") -> str:
    return (
        f"<w:tc><w:tcPr>{properties}</w:tcPr><w:p><w:r><w:t>{text}</w:t></w:r></w:p>{more}</w:tc>"
    )


def docx(body: str) -> Document:
    return OfficeLoader().load(docx_bytes([("", "Before.")], body=body), source="a.docx")


def test_a_ruled_table_of_a_pdf() -> None:
    lines = cells(("Kind", "Size"), ("Queen", "20"), ("Worker", "12"))
    before = (60.0, 100.0, 10.0, "Sizes are in millimetres.")
    document = pdf(before, *lines, rules=grid(3, 2))
    assert document.text == (
        "Sizes are in millimetres.\n\n"
        "| Kind | Size |\n| --- | --- |\n| Queen | 20 |\n| Worker | 12 |"
    )
    mark = next(mark for mark in document.marks if mark.kind == "table")
    assert (mark.label, mark.page) == ("Kind | Size", 1)
    assert mark.box == pytest.approx((60.0, 200.0, 330.0, 248.0), abs=1.5)


def test_cells_that_span_rows_are_repeated_and_those_that_span_columns_are_not() -> None:
    lines = cells(("Year", "Sales", ""), ("2020", "North", "1"), ("", "South", "2"))
    rules = list(grid(3, 3))
    # No rule between the two cells of the first row, none below 2020.
    rules.remove((COLUMNS[2], 200.0, COLUMNS[2], 248.0))
    rules.append((COLUMNS[2], 216.0, COLUMNS[2], 248.0))
    rules.remove((COLUMNS[0], 232.0, COLUMNS[3], 232.0))
    rules.append((COLUMNS[1], 232.0, COLUMNS[3], 232.0))
    document = pdf(*lines, rules=tuple(rules))
    assert document.text == (
        "| Year | Sales |  |\n| --- | --- | --- |\n| 2020 | North | 1 |\n| 2020 | South | 2 |"
    )


def test_a_cell_of_several_lines_is_one_and_its_words_are_whole() -> None:
    lines = [
        *cells(("Kind", "What it does")),
        (64.0, 220.0, 10.0, "Queen"),
        (204.0, 220.0, 10.0, "lays eggs for the popu-"),
        (204.0, 232.0, 10.0, "lation"),
        (64.0, 252.0, 10.0, "Drone"),
        (204.0, 252.0, 10.0, "mates"),
    ]
    across = [(60.0, y, 330.0, y) for y in (200.0, 216.0, 248.0, 264.0)]
    down = [(x, 200.0, x, 264.0) for x in (60.0, 200.0, 330.0)]
    document = pdf(*lines, rules=(*across, *down))
    assert "| Queen | lays eggs for the population |" in document.text


def test_columns_without_rules_are_a_table_with_its_caption() -> None:
    lines = cells(("Kind", "Size", "Count"), ("Queen", "20", "1"), ("Worker", "12", "50,000"))
    caption = (60.0, 180.0, 10.0, "Table 2: The bees of a hive")
    after = (60.0, 300.0, 10.0, "A hive has one queen.")
    document = pdf(caption, *lines, after)
    assert document.text == (
        "Table 2: The bees of a hive\n"
        "| Kind | Size | Count |\n| --- | --- | --- |\n| Queen | 20 | 1 |\n| Worker | 12 | 50,000 |"
        "\n\nA hive has one queen."
    )
    assert [m.label for m in document.marks if m.kind == "table"] == ["Table 2: The bees of a hive"]


def test_a_caption_below_is_written_above() -> None:
    lines = cells(("Kind", "Size"), ("Queen", "20"), ("Worker", "12"))
    document = pdf(*lines, (60.0, 270.0, 10.0, "Tableau 1. Les abeilles"), rules=grid(3, 2))
    assert document.text.startswith("Tableau 1. Les abeilles\n| Kind | Size |")
    assert document.text.count("Tableau") == 1


@pytest.mark.parametrize(
    "rows",
    [
        [("1", "Bees", "3"), ("2", "Honey", "7"), ("3", "Wax", "12")],
        [("3", "Bees"), ("7", "Honey and where it comes from"), ("12", "Wax")],
        [("Bees ........", "3"), ("Honey ........", "7"), ("Wax ........", "9")],
        [("1.", "Open the hive slowly"), ("2.", "Lift a frame"), ("3.", "Look for the queen")],
        [("Only", "two"), ("rows", "here")],
    ],
    ids=["contents", "pages first", "leaders", "list", "short"],
)
def test_what_is_no_table(rows: list[tuple[str, ...]]) -> None:
    document = pdf(*cells(*rows))
    assert not [mark for mark in document.marks if mark.kind == "table"]


def test_a_frame_around_text_is_no_table() -> None:
    lines = [(64.0, 204.0 + 12 * i, 10.0, f"A line of a note, number {i}.") for i in range(3)]
    frame = ((60.0, 200.0, 330.0, 200.0), (60.0, 248.0, 330.0, 248.0),
             (60.0, 200.0, 60.0, 248.0), (330.0, 200.0, 330.0, 248.0))  # fmt: skip
    assert "|" not in pdf(*lines, rules=frame).text


def test_merged_and_late_cells_of_word() -> None:
    restart, go_on = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    document = docx(
        word(
            tc("Year") + tc("Sales", '<w:gridSpan w:val="2"/>'),
            tc("2020", restart) + tc("North") + tc("1"),
            tc("", go_on) + tc("South") + tc("2"),
            '<w:trPr><w:gridBefore w:val="2"/></w:trPr>' + tc("3"),
        )
    )
    assert document.text == (
        "Before.\n\n| Year | Sales |  |\n| --- | --- | --- |\n| 2020 | North | 1 |\n"
        "| 2020 | South | 2 |\n|  |  | 3 |"
    )


def test_tables_in_cells_of_word() -> None:
    small = word(tc("a") + tc("b"), tc("c") + tc("d"))
    large = word(tc("head " * 20) + tc("e"), tc("body " * 20) + tc("f"))
    document = docx(word(tc("x") + tc("y", more=small), tc("z") + tc("big", more=large)))
    assert "| x | y a, b; c, d |" in document.text
    assert "| z | big |\n\n| head head" in document.text
    assert [m.kind for m in document.marks].count("table") == 2


def test_a_table_of_one_cell_only_frames() -> None:
    inner = word(tc("a") + tc("b"), tc("c") + tc("d"))
    document = docx(word(tc("A note.", more=inner)))
    assert document.text == "Before.\n\nA note.\n\n| a | b |\n| --- | --- |\n| c | d |"


def test_the_caption_of_a_table_of_word() -> None:
    said = "<w:p><w:r><w:t>Table 1: Kinds</w:t></w:r></w:p>"
    document = docx(said + word(tc("a") + tc("b"), tc("c") + tc("d")))
    assert document.text == "Before.\n\nTable 1: Kinds\n| a | b |\n| --- | --- |\n| c | d |"
    assert [m.label for m in document.marks] == ["Table 1: Kinds"]


def test_formulas_in_cells_keep_their_signs() -> None:
    space = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    formula = (
        f"<w:p><m:oMath {space}><m:sSup><m:e><m:r><m:t>r</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t>"
        "</m:r></m:sup></m:sSup></m:oMath></w:p>"
    )
    document = docx(word(tc("area") + tc(more=formula), tc("c") + tc("d")))
    assert "r^" in document.text


@pytest.mark.parametrize("xml", [b"", b"<a", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"])
def test_a_body_that_cannot_be_read_has_no_tables(xml: bytes) -> None:
    assert word_tables(xml) is None


def test_several_tables_on_a_sheet() -> None:
    rows = [
        ["Sales", "", "", "", "", ""],
        ["Year", "Sum", "", "", "", ""],
        ["2020", "10", "", "Kind", "Size", "Count"],
        ["2021", "11", "", "Queen", "20", "1"],
        ["2022", "12", "", "Worker", "12", "9"],
        ["", "", "", "", "", ""],
        ["Name", "Town", "", "", "", ""],
        ["Ada", "Rome", "", "", "", ""],
    ]
    found = sheet_tables(rows)
    assert [(table.title, table.rows[0], len(table.rows)) for table in found] == [
        ("Sales", ("Year", "Sum"), 4),
        ("", ("Kind", "Size", "Count"), 3),
        ("", ("Name", "Town"), 2),
    ]


def test_a_gap_within_a_table_divides_nothing() -> None:
    rows = [["Year", "Sum", ""], ["2020", "10", ""], ["", "", ""], ["2021", "11", ""]]
    assert [table.rows for table in sheet_tables(rows)] == [
        (("Year", "Sum"), ("2020", "10"), ("2021", "11"))
    ]
    assert sheet_tables([]) == sheet_tables([["", ""]]) == []


def test_a_workbook_is_read_table_by_table() -> None:
    sheet = [["Year", "Sum"], ["2020", "10"], [], ["Name", "Town"], ["Ada", "Rome"]]
    document = OfficeLoader().load(xlsx_bytes({"Both": sheet}), source="a.xlsx")
    assert [m.label for m in document.marks if m.kind == "table"] == ["Year | Sum", "Name | Town"]


def test_a_table_of_html_keeps_its_caption_and_what_is_in_its_cells() -> None:
    page = (
        "<table><caption>Kinds</caption><tr><th>a</th><th>b</th></tr><tr><td>c</td>"
        "<td><table><tr><td>d</td><td>e</td></tr></table></td></tr></table>"
    )
    document = HtmlLoader().load(page.encode(), source="a.html")
    assert document.text == "Kinds\n| a | b |\n| --- | --- |\n| c | d e |"
