from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.chunking.sentences import split

# Each: language, sentences that join with one blank into the text.
CASES: dict[str, tuple[str, list[str]]] = {
    "titles": ("en", ["Mr. Smith met Dr. Jones and Mrs. Poe.", "They left."]),
    "initials": ("en", ["He read J. R. R. Tolkien.", "Then E. Poe."]),
    "states": ("en", ["The U.S. Senate met.", "He left the U.S.", "The vote failed."]),
    "latin": ("en", ["Fruit, e.g. Apples, i.e. Pomes, cf. Linnaeus.", "Lane et al. 2019 agree."]),
    "times": ("en", ["It began at 3 p.m. on Jan. 5.", "See fig. 3 and p. 12.", "No. 5 is gone."]),
    "no is a word": ("en", ["He said no.", "Then he left.", "So do I.", "Then you."]),
    "decimals": ("en", ["It cost 3.50 or 1,234.5 dollars.", "Version 2.0.1 is out."]),
    "year": ("en", ["It was built in 1999.", "It fell in 2001."]),
    "speech": ("en", ['"Really?" he said.', '"Yes!"', "She left (at last.)", "Good."]),
    "curly speech": ("en", ["“Who pays?” she asked.", "“Nobody.”", "‘Fine.’", "Out."]),
    "ellipsis": ("en", ["Well... maybe not.", "And then…", "Nothing.", "No..."]),
    "runs": ("en", ["What?!", "No!!!", "Yes."]),
    "web": ("en", ["See example.com for more.", "Mail a.b@c.org today."]),
    "messieurs": ("fr", ["M. Hulot et Mme de La Tour, Mlle Ève, Me Roy.", "Ils partent."]),
    "par exemple": ("fr", ["Une ville, p. ex. Paris, cf. Hugo, c.-à-d. Victor.", "Voilà."]),
    "etc": ("fr", ["Du pain, du vin, etc.", "Puis on danse, etc. et on rentre."]),
    "prix": ("fr", ["Il coûte 3,50 € ou 1.234,50 F.", "C’est l’art. 5, al. 2."]),
    "guillemets": ("fr", ["« Venez ! » dit-il.", "Il dit : « Venez. »", "Puis il part."]),
    "espaces fines": ("fr", ["«\u202fQui paie\u202f?\u202f»", "Il partit\u00a0!", "Rien."]),
    "prénoms": ("fr", ["J.-P. Melville et A. Varda.", "La S.N.C.F.", "Le train part."]),
    "points": ("fr", ["Ah… oui.", "Eh bien…", "Non."]),
    "majuscule accentuée": ("fr", ["Il part.", "Étienne reste.", "Ça va."]),
    "mois": ("fr", ["Le 3 janv. 2020 et en 52 av. J.-C. déjà.", "Fin."]),
    "both": ("", ["M. Hulot saw Mr. Bean, p. ex. Monday.", "Fin."]),
    "me": ("en", ["Give it to me.", "Then go."]),
    "other language": ("de", ["Das ist gut.", "Ja!"]),
}


@pytest.mark.parametrize("name", CASES)
def test_sentences(name: str) -> None:
    language, sentences = CASES[name]
    text = " ".join(sentences)
    assert [text[start:end] for start, end in split(text, language)] == sentences


@pytest.mark.parametrize("name", CASES)
def test_hard_wrapped_sentences(name: str) -> None:
    language, sentences = CASES[name]
    text = "\n".join(sentences)
    assert [text[start:end] for start, end in split(text, language)] == sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A title\n\nIts text\nwrapped.", ["A title", "Its text\nwrapped."]),
        ("# Title\nText.", ["# Title", "Text."]),
        ("Buy:\n- milk\n- bread. Fresh\n* eggs", ["Buy:", "- milk", "- bread.", "Fresh", "* eggs"]),
        ("Do:\n1. This\n2. That. Now\n(3) More", ["Do:", "1. This", "2. That.", "Now", "(3) More"]),
        ("| a | b |\n| 1 | 2 |\nText.", ["| a | b |", "| 1 | 2 |", "Text."]),
        ("— Qui ?\n— Moi.\n— Bien", ["— Qui ?", "— Moi.", "— Bien"]),
        ("日本語です。次の文。End", ["日本語です。", "次の文。", "End"]),
        ("\r\nOne.\r\n\r\nTwo", ["One.", "Two"]),
        ("", []),
        (" \n\t\n ", []),
        ("...", ["..."]),
        ("No end", ["No end"]),
    ],
)
def test_blocks(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in split(text)] == expected


@given(st.text(alphabet=st.sampled_from("aB1.!?…»« \n\t\"'#-|`。é") | st.characters(), max_size=80))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    place = 0
    for start, end in split(text, "fr"):
        assert not text[place:start].strip()
        assert text[start:end] == text[start:end].strip() != ""
        place = end
    assert not text[place:].strip()


@pytest.mark.parametrize(
    "unit", ["A. ", "a.", "!", "... ", "\n", " \n", "`", "|\n", "# \n", "1. ", "« ? »", "\"'"]
)
def test_time_grows_with_the_text_alone(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    begun = time.process_time()
    split(text)
    assert time.process_time() - begun < 2
