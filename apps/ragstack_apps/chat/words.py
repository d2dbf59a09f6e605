"""A language in, the labels of the pages in it out. The labels stand in ``labels/*.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

__all__ = ["LANGUAGES", "Words", "nearest", "words_of"]

LANGUAGES = {"en": "English", "fr": "Français"}


@dataclass(frozen=True, slots=True)
class Words:
    """Labels of one language.

    Attributes:
        language: Its code: ``en``, ``fr``.
    """

    language: str
    labels: dict[str, str] = field(repr=False)

    def __call__(self, name: str, /, **values: object) -> str:
        """Return a label with its values put in; the name itself where there is no such label.

        A page of a third party brings its own words, so a name unknown here is shown as it is.
        """
        label = self.labels.get(name)
        return name if label is None else label.format(**values)


def nearest(locale: str | None) -> str:
    """Return the language for a browser's: ``fr-CA`` is ``fr``; what is not here is English."""
    code = (locale or "").replace("_", "-").partition("-")[0].lower()
    return code if code in LANGUAGES else "en"


@cache
def words_of(language: str) -> Words:
    """Return the labels of a language that is in ``LANGUAGES``."""
    text = files(__package__).joinpath("labels", f"{language}.json").read_text(encoding="utf-8")
    return Words(language, json.loads(text))
