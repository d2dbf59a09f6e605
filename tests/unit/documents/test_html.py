from __future__ import annotations

import pytest

from ragstack.documents.html import HtmlLoader
from ragstack.documents.limits import Limits
from ragstack.errors import DocumentTooLarge, EmptyDocument
from ragstack.types import Document


def load(body: str, **head: str) -> Document:
    page = f"<!doctype html><html><head>{head.get('head', '')}</head><body>{body}</body></html>"
    return HtmlLoader().load(page.encode(), source="a.html")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<h2>A <i>b</i></h2><p>one\n two<br>three</p>", "## A b\n\none two\nthree"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "- a\n  - b\n- c"),
        ("<ol start=3><li>a<li>b</ol><p>c", "3. a\n4. b\n\nc"),
        ("<ul><li><p>a</p><p>b</p></li></ul>", "- a\n  b"),
        ("<blockquote><p>a<br>b</p></blockquote>", "> a\n> b"),
        ("<pre>x\n  y</pre>z", "```\nx\n  y\n```\n\nz"),
        ("<dl><dt>a<dd>b</dl>", "a\n\nb"),
        ("<p>a&nbsp;&eacute;&shy;t\u00e9 \ufb01n</p>", "a été fin"),
        ("<p>H<sub>2</sub>O<span> and </span><b>more</b></p>", "H2O and more"),
        ("<p>a</p><!-- no --><script>no</script><style>no</style><p hidden>no</p>", "a"),
        ("<p>a</p><p style='display: none'>no</p><p aria-hidden=true>no</p>", "a"),
        ("<nav>no</nav><p>a</p><div role=navigation>no</div><div class='x sidebar'>no</div>", "a"),
        ("<div>a</div><div>b</div>text<p>c", "a\n\nb\n\ntext\n\nc"),
        ("<nav>only this</nav>", "only this"),
    ],
)
def test_blocks_are_readable(body: str, text: str) -> None:
    assert load(body).text == text


def test_the_main_part_is_read_when_the_page_names_it() -> None:
    body = (
        "<header>Site</header><main><h1>T</h1><p>" + "word " * 30 + "</p></main><footer>F</footer>"
    )
    assert load(body).text.startswith("# T")
    assert "Site" not in load(body).text
    assert "Site" in load("<header>Site name is long</header><main>x</main>").text


def test_tables_repeat_what_spans_rows() -> None:
    document = load(
        "<table><caption>Kinds</caption><tr><th>K</th><th colspan=2>Size</th></tr>"
        "<tr><td rowspan=2>bee</td><td>1</td><td>2</td></tr><tr><td>3</td><td>a|b</td></tr></table>"
    )
    assert document.text == (
        "Kinds\n| K | Size |  |\n| --- | --- | --- |\n| bee | 1 | 2 |\n| bee | 3 | a\\|b |"
    )
    (mark,) = document.marks
    assert (mark.kind, mark.label) == ("table", "Kinds")
    assert document.text[mark.start : mark.end].startswith("| K")


def test_a_table_that_lays_out_a_page_is_none() -> None:
    page = (
        "<table><tr><td><h1>A</h1><p>x</p></td><td><h2>B</h2></td></tr><tr><td>c</td></tr></table>"
    )
    document = load(page)
    assert "|" not in document.text
    assert [mark.label for mark in document.marks] == ["A", "B"]


def test_headings_are_marked_where_they_stand() -> None:
    document = load("<p>Intro</p><h1>One</h1><p>Text</p><h3>Two  words</h3>")
    marks = [(document.text[m.start : m.end], m.label, m.level) for m in document.marks]
    assert marks == [("# One", "One", 1), ("### Two words", "Two words", 3)]


def test_the_page_says_what_it_is() -> None:
    head = (
        '<title>Bees &amp; wasps</title><meta name="author" content="Ada">'
        '<meta property="article:published_time" content="2024-05-06T07:08:09Z">'
        '<meta name="description" content="On bees">'
    )
    meta = load("<p>x</p>", head=head).meta
    assert meta == {
        "title": "Bees & wasps",
        "author": "Ada",
        "date": "2024-05-06T07:08:09+00:00",
        "description": "On bees",
        "type": "html",
    }
    page = b'<html lang="fr-CA"><title> </title><h1>Abeilles</h1></html>'
    document = HtmlLoader().load(page, source="a")
    assert (document.meta["language"], document.meta["title"]) == ("fr", "Abeilles")


def test_the_declared_encoding_is_followed() -> None:
    page = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251"><p>Привет'
    assert HtmlLoader().load(page.encode("cp1251"), source="a").text == "Привет"
    wrong = '<meta charset="utf-16"><p>été'
    assert HtmlLoader().load(wrong.encode(), source="a").text == "été"
    latin = '<meta charset="iso-8859-1"><p>3 €'
    assert HtmlLoader().load(latin.encode("cp1252"), source="a").text == "3 €"


def test_a_page_without_text_is_empty() -> None:
    with pytest.raises(EmptyDocument):
        load("<img src=x>")


@pytest.mark.parametrize("count", [60, 100_000])
def test_nesting_has_a_limit(count: int) -> None:
    with pytest.raises(DocumentTooLarge, match="50 deep"):
        HtmlLoader(limits=Limits(max_depth=50)).load(b"<div>" * count + b"x", source="a")


def test_paragraphs_that_are_never_closed_are_no_depth() -> None:
    page = b"<p>x<li>y" * 5_000
    assert HtmlLoader(limits=Limits(max_depth=50)).load(page, source="a").text.startswith("x")
