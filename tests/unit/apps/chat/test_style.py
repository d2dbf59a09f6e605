"""Our own colours can be told apart, by the formula of the accessibility guidelines."""

from __future__ import annotations

import pytest

from ragstack_apps.chat.style import DARK, LIGHT, PAIRS, STEPS, contrast, faded

TEXT, GRAPHIC = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11


def test_the_formula() -> None:
    """The guidelines' own figures."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(("text", "background"), PAIRS)
def test_text_can_be_read(text: str, background: str) -> None:
    assert contrast(text, background) >= TEXT


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("place", ["backgroundColor", "secondaryBackgroundColor"])
def test_captions_can_be_read(theme: dict[str, str], place: str) -> None:
    """Streamlit writes them in the text's colour at 60 %."""
    assert contrast(faded(theme["textColor"], theme[place]), theme[place]) >= TEXT


@pytest.mark.parametrize("colour", STEPS)
def test_charts_can_be_seen(colour: str) -> None:
    assert contrast(colour, LIGHT["backgroundColor"]) >= GRAPHIC
