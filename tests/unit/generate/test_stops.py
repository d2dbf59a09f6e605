"""Stop strings: the text ends before the first, wherever the pieces are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragstack.generate.stops import StopScanner, overlap


def _scanned(pieces: list[str], stops: tuple[str, ...]) -> str:
    scanner = StopScanner(stops)
    shown = "".join(scanner.push(piece) for piece in pieces)
    return shown + scanner.flush()


@given(
    st.lists(st.text("ab\n", max_size=4)),
    st.lists(st.text("ab\n", min_size=1, max_size=5), max_size=3).map(tuple),
)
def test_it_is_cut_where_the_whole_text_is_cut(pieces: list[str], stops: tuple[str, ...]) -> None:
    """The same comes out of however many pieces, but for which stop is complete first."""
    text = "".join(pieces)
    shown = _scanned(pieces, stops)
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    if not any(stop in text for stop in stops):
        assert shown == text
    else:
        assert any(text.startswith(stop, len(shown)) for stop in stops)


def test_nothing_is_held_back_without_need() -> None:
    scanner = StopScanner(("END",))
    assert scanner.push("a E") == "a "
    assert scanner.push("ast E") == "East "
    assert scanner.push("ND of it") == ""
    assert scanner.stopped
    assert scanner.push("more") == ""
    assert scanner.flush() == ""


def test_the_first_stop_in_the_text_wins() -> None:
    assert _scanned(["one two three"], ("three", "two")) == "one "


@given(st.text("ab", max_size=8), st.text("ab", min_size=1, max_size=5))
def test_overlap_is_the_longest(text: str, stop: str) -> None:
    sizes = [n for n in range(min(len(text) + 1, len(stop))) if text.endswith(stop[:n])]
    assert overlap(text, stop) == max(sizes)
