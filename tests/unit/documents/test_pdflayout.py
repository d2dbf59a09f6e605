from __future__ import annotations

import pytest

from ragstack.documents.pdflayout import Line, PageLines, blocks_of, body_size, without_furniture


def page(*texts: str, number: int = 1, pitch: float = 12.0) -> PageLines:
    lines = (
        Line(text, 50, 200 + pitch * i, 50 + 5 * len(text), 210 + pitch * i, 10)
        for i, text in enumerate(texts)
    )
    return PageLines(number, 800, tuple(lines))


def text_of(*pages: PageLines) -> list[str]:
    return [block.text for block in blocks_of(pages, by_size=False)]


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("all of this is an exam-", "ple of a word", "all of this is an example of a word"),
        ("an example of a peut-", "être and of more", "an example of a peut-être and of more"),
        ("they came by Jean-", "Pierre and his", "they came by Jean-Pierre and his"),
        ("the state-of-the-", "art of all things", "the state-of-the-art of all things"),
        ("in the years 2020-", "21 there was none", "in the years 2020-21 there was none"),
        ("qui sait, dit-", "elle en souriant.", "qui sait, dit-elle en souriant."),
        ("the clause is left -", "as it was before", "the clause is left - as it was before"),
    ],
)
def test_hyphens_at_line_ends(first: str, second: str, joined: str) -> None:
    lines = [first, second, "peut and être are words of their own here"]
    assert " ".join(text_of(page(*lines))).startswith(joined)


def test_a_compound_that_stands_elsewhere_keeps_its_hyphen() -> None:
    lines = ["a cross-", "border train left, and a", "cross-border bus came then"]
    assert text_of(page(*lines))[0].startswith("a cross-border train")


def test_bullets_and_rows_keep_their_lines() -> None:
    lines = ["All of these are wanted:", "• honey, and as much of it as is", "• wax", "1) bees"]
    assert text_of(page(*lines)) == ["\n".join(lines)]
    entries = ["1 Foo and the rest 2", "2 Bar and the rest 3", "3 Baz and the rest 9"]
    assert text_of(page(*entries)) == ["\n".join(entries)]


def test_a_line_that_was_broken_on_purpose_stays_broken() -> None:
    lines = ["Roses are red", "Violets are blue and this one is long", "Sugar is sweet and so are"]
    assert text_of(page(*lines)) == ["Roses are red\n" + " ".join(lines[1:])]


def test_a_wider_gap_begins_a_paragraph() -> None:
    first, second = page("one line of text", "two lines of text"), page("three lines of it")
    lower = tuple(
        Line(ln.text, ln.x0, ln.top + 60, ln.x1, ln.bottom + 60, 10) for ln in second.lines
    )
    both = PageLines(1, 800, first.lines + lower)
    assert text_of(both) == ["one line of text two lines of text", "three lines of it"]


def test_page_numbers_of_a_single_page_stay() -> None:
    line = Line("7", 300, 780, 305, 790, 10)
    assert without_furniture([PageLines(1, 800, (line,))])[0].lines == (line,)
    several = [PageLines(i, 800, (*page("text").lines, line)) for i in (1, 2)]
    assert all(line not in kept.lines for kept in without_furniture(several))


@pytest.mark.parametrize("number", ["12", "- 3 -", "Page 4", "page 4 of 9", "4/9", "iv", "p. 7"])
def test_forms_of_page_numbers(number: str) -> None:
    line = Line(number, 300, 780, 330, 790, 10)
    pages = [PageLines(i, 800, (*page("text").lines, line)) for i in (1, 2)]
    assert all(line not in kept.lines for kept in without_furniture(pages))


def test_body_size_is_that_of_most_letters() -> None:
    big = Line("BIG", 50, 50, 90, 70, 20)
    assert body_size([PageLines(1, 800, (big, *page("many more letters").lines))]) == 10
    assert body_size([]) == 0
