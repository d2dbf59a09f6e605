"""How a page says that something failed, is empty, or how much of it there is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.safe import plain

__all__ = ["amount", "day", "fail", "percent", "seconds", "size"]


def fail(error: RagstackError) -> None:
    """Say what went wrong, and what to do about it."""
    text = plain(error.message)
    st.error(f"{text}\n\n{plain(error.hint)}" if error.hint else text, icon=":material/error:")


def seconds(value: Any) -> str:
    """Return a duration as a person reads it."""
    number = float(value or 0)
    return f"{number * 1_000:.0f} ms" if number < 1 else f"{number:.1f} s"


def size(value: Any) -> str:
    """Return a number of bytes as a person reads it."""
    number = float(value or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1_000 or unit == "GB":
            break
        number /= 1_000
    whole = unit == "B" or number >= 100
    return f"{number:.0f} {unit}" if whole else f"{number:.1f} {unit}"


def amount(value: Any) -> str:
    """Return a number with its thousands apart, or a dash where there is none."""
    return "–" if value is None else f"{float(value):,.0f}".replace(",", "\u202f")


def percent(value: Any) -> str:
    """Return a share as a percentage."""
    return f"{float(value or 0) * 100:.0f} %"


def day(value: Any) -> str:
    """Return the day and minute of a time written in ISO 8601, or what was given."""
    try:
        return datetime.fromisoformat(str(value)).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return str(value or "")
