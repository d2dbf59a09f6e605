"""The colours of the pages, and how far they stand apart. Knows no page.

Contrast: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
"""

from __future__ import annotations

__all__ = ["DARK", "LIGHT", "MARK", "PAIRS", "STEPS", "contrast", "faded"]

LIGHT = {
    "primaryColor": "#1f5fa8",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f1f4f8",
    "textColor": "#0d141d",
    "linkColor": "#1f5fa8",
}
DARK = {
    "primaryColor": "#3f7fc4",
    "backgroundColor": "#12171e",
    "secondaryBackgroundColor": "#1d2530",
    "textColor": "#f4f7fb",
    "linkColor": "#8fc0f5",
}
MARK = {"background": "#ffe27a", "text": "#1b1b1b"}
STEPS = ("#1f5fa8", "#9a4a00", "#2d6a2d", "#7a3b8f", "#8a1f3d", "#005f66")
"""Of charts: each stands 3 : 1 and more from both backgrounds' light one, as graphics must."""

PAIRS = (
    (LIGHT["textColor"], LIGHT["backgroundColor"]),
    (LIGHT["textColor"], LIGHT["secondaryBackgroundColor"]),
    (LIGHT["linkColor"], LIGHT["backgroundColor"]),
    ("#ffffff", LIGHT["primaryColor"]),
    (DARK["textColor"], DARK["backgroundColor"]),
    (DARK["textColor"], DARK["secondaryBackgroundColor"]),
    (DARK["linkColor"], DARK["backgroundColor"]),
    (MARK["text"], MARK["background"]),
)
"""Every text of our own colours on its background; 4.5 : 1 is needed to be read (WCAG AA)."""


def faded(text: str, background: str, share: float = 0.6) -> str:
    """Return a text's colour where so much of it shows: Streamlit's captions are at 60 %."""
    pairs = ((int(text[at : at + 2], 16), int(background[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(one * share + other * (1 - share)):02x}" for one, other in pairs)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours written ``#rrggbb``, from 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
