"""Nothing that a stranger wrote becomes an address on the page."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack_apps.chat.safe import marked, plain, shown

HOSTILE = (
    "![x](http://evil.test/a.png)",
    "[x](http://evil.test)",
    "[x]: http://evil.test\n\n![x]",
    "<http://evil.test>",
    "http://evil.test www.evil.test a@evil.test",
    "<img src=http://evil.test/a.png>",
    "<img/src='http://evil.test' onerror=alert(1)>",
    "<style>@import 'http://evil.test'</style>",
    "<script>fetch('http://evil.test')</script>",
    "&lt;img src=http://evil.test&gt;",
    "```html\n<img src=http://evil.test>\n```",
    '```x"><img src=http://evil.test>\ncode\n```',
    "`<img src=http://evil.test>`",
    "| a |\n|---|\n| ![x](http://evil.test) |",
    "# ![x](http://evil.test)",
    "<a href=javascript:alert(1)>x</a>",
    "[1]<iframe src=http://evil.test></iframe>",
)
TAGS = {
    *("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "hr", "br"),
    *("em", "strong", "s", "code", "pre", "table", "thead", "tbody", "tr", "td", "th", "button"),
}
_TAG = re.compile(r"<\s*/?\s*([^\s>/]+)([^>]*)>")


def check(html: str) -> None:
    """Every tag is one of ours, and none has an attribute that names an address."""
    for name, attributes in _TAG.findall(html):
        assert name in TAGS, html
        names = set(re.findall(r"([\w-]+)=\"[^\"]*\"", attributes))
        assert names <= {"class", "start", "style", "data-marker", "type"}, html
        assert "url" not in attributes


@pytest.mark.parametrize("text", HOSTILE)
def test_no_address_is_made(text: str) -> None:
    html = shown(f"Before {text} after\n\n{text}\n")
    check(html)
    assert "evil.test" in html or "alert" in html, "what was written is still to be read"


@given(st.text(alphabet="<>![]()`\"'=/:&#|*_~\\ \nahimgsrctp.1", max_size=120))
def test_whatever_is_written_makes_no_address(text: str) -> None:
    check(shown(text, marker=lambda n: f'<button class="cite" data-marker="{n}">{n}</button>'))


def test_markdown_is_still_markdown() -> None:
    html = shown("# Title\n\nA **bold** word\n\n- one\n- two\n\n|a|b|\n|-|-|\n|1|2|\n")
    assert "<h1>Title</h1>" in html and "<strong>bold</strong>" in html
    assert html.count("<li>") == 2 and "<td>1</td>" in html


def test_markers_become_buttons_outside_of_code() -> None:
    html = shown("Yes [1]. `a[2]`\n\n```\nb[3]\n```\n", marker=lambda n: f"<button>{n}</button>")
    assert html.count("<button>") == 1 and "<button>1</button>" in html
    assert "a[2]" in html and "b[3]" in html


def test_a_label_shows_what_was_written() -> None:
    """Streamlit reads labels as Markdown, with directives, formulas and addresses of its own."""
    text = plain("![x](http://evil.test) :red[a] $x$ www.evil.test")
    assert r"\!\[x\]\(http" in text and r"\:red\[a\]" in text and r"\$x\$" in text
    assert "http:" not in text and "www." not in text and "www\\." not in text


def test_a_label_is_one_line_of_a_length() -> None:
    assert plain("a\n b\tc") == "a b c"
    assert plain("abcdef", most=4) == "abc…"


@given(
    st.text(max_size=60), st.lists(st.tuples(st.integers(-5, 70), st.integers(-5, 70)), max_size=4)
)
def test_a_marked_text_loses_no_letter(text: str, spans: list[tuple[int, int]]) -> None:
    html = marked(text, spans)
    bare = html.replace("<mark>", "").replace("</mark>", "")
    assert "<" not in bare
    for sign, escaped in (("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;")):
        bare = bare.replace(escaped, sign)
    assert bare.replace("&amp;", "&") == text


def test_the_span_is_what_is_marked() -> None:
    assert marked("a <b> c", [(2, 5)]) == "a <mark>&lt;b&gt;</mark> c"
    assert marked("abc", [(0, 2), (1, 3)]) == "<mark>ab</mark><mark>c</mark>"
