"""What is drawn on a page, as straight lines: boxes, closed paths and thin fills, and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pypdfium2
import pytest

from ragstack.documents.pdfrules import page_rules
from ragstack.documents.pdftables import Rules

_HEIGHT = 800.0


def _drawn(content: str) -> bytes:
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
    )
    text, places = "%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        places.append(len(text))
        text += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    tail = f"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n{len(text)}\n%%EOF"
    return f"{text}xref\n0 5\n0000000000 65535 f \n{table}{tail}".encode("ascii")


@pytest.fixture
def rules_of() -> Iterator[object]:
    opened: list[pypdfium2.PdfDocument] = []

    def read(content: str) -> Rules:
        document = pypdfium2.PdfDocument(_drawn(content))
        opened.append(document)
        page = document[0]
        found = page_rules(page, _HEIGHT)
        page.close()
        return found

    yield read
    for document in opened:
        document.close()


@pytest.mark.parametrize(
    ("content", "across", "down"),
    [
        # A box: two of each, from the top of the page.
        (
            "60 500 200 100 re S",
            [(60, 260, 200), (60, 260, 300)],
            [(200, 300, 60), (200, 300, 260)],
        ),
        # A closed path: the line back to its beginning is drawn too, what slants is no rule.
        ("60 500 m 260 500 l 260 600 l 60 600 l h S", 2, 2),
        ("60 500 m 260 500 l 260 600 l h S", [(60, 260, 300)], [(200, 300, 260)]),
        # A grid drawn as one path; lines that go on where one ended are one.
        (
            "60 500 m 160 500 l 160 500 m 260 500 l 60 600 m 260 600 l S",
            [(60, 260, 200), (60, 260, 300)],
            [],
        ),
        # A thin rectangle that is filled is a line; a stroke too short is none.
        ("60 500 200 1 re f", [(60, 260, 299.5)], []),
        ("60 500 m 64 500 l S", [], []),
        # Round shapes, what only cuts out others, and the frame of the page.
        ("60 500 m 100 600 200 600 260 500 c S", [], []),
        ("60 500 200 100 re W n", [], []),
        ("5 5 590 790 re S", [], []),
        ("", [], []),
    ],
)
def test_lines_that_are_drawn(rules_of: object, content: str, across: object, down: object) -> None:
    rules = rules_of(content)  # type: ignore[operator]
    for found, wanted in ((rules.across, across), (rules.down, down)):
        if isinstance(wanted, int):
            assert len(found) == wanted
        else:
            assert [pytest.approx(each, abs=1.1) for each in found] == wanted
