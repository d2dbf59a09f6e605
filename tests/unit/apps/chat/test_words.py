"""Labels: each in every language, with the same values; all that the pages ask for."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import ragstack_apps.chat
from ragstack_apps.chat.words import LANGUAGES, nearest, words_of

CHAT = Path(ragstack_apps.chat.__file__).parent
_ASKED = re.compile(r'words\(\s*"([a-z_.]+)"')
_LISTED = re.compile(r'"((?:inspect|models|login|map|verdict|style|state|report)\.[a-z_.]+)"')


def fields(label: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(label) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_label_is_in_every_language(language: str) -> None:
    english, other = words_of("en").labels, words_of(language).labels
    assert english.keys() == other.keys()
    for name, label in other.items():
        assert label.strip(), name
        assert fields(label) == fields(english[name]), name


def test_the_pages_ask_for_no_other() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in CHAT.rglob("*.py"))
    asked = {*_ASKED.findall(source), *_LISTED.findall(source)}
    assert len(asked) > 80
    assert asked - words_of("en").labels.keys() == set()


def test_french_punctuation_is_never_at_the_beginning_of_a_line() -> None:
    for name, label in words_of("fr").labels.items():
        assert not re.search(r" [?!;:»]|« ", label), name


@pytest.mark.parametrize(
    ("locale", "language"),
    [("fr", "fr"), ("fr-CA", "fr"), ("fr_FR", "fr"), ("FR", "fr"), ("de-DE", "en"), (None, "en")],
)
def test_the_nearest_language(locale: str | None, language: str) -> None:
    assert nearest(locale) == language


def test_a_label_unknown_here_is_shown_as_it_is() -> None:
    assert words_of("fr")("their.own {label}") == "their.own {label}"
