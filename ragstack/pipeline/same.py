"""Whether two questions that are near in meaning may share an answer: what vectors do not see.

Embedders put "who pays" and "who does not pay", 2019 and 2020, Anna and Karl next to each other. So
beside the cosine these must agree: numbers, names, denials, question words, words of opposite
direction, and the order of words that are otherwise the same. A difference that is none costs an
answer given anew; an agreement that is none would be a wrong answer: so all rules are strict.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ragstack.pipeline.words import content_words, fold, numbers, words

__all__ = ["may_share"]

_LONGEST = 2_000  # characters; longer questions share no answer
_UNORDERED = 2  # content words, a verb and a noun say, whose order tells nothing

_NEGATIONS = frozenset(
    word.form
    for word in words(
        "no not never without cannot nor neither except unless ne pas jamais aucun aucune sans "
        "sauf non rien hors"
    )
)
_ASKS = (
    frozenset(["who", "whom", "qui"]),
    frozenset(["whose"]),
    frozenset(["when", "quand"]),
    frozenset(["where"]),
    frozenset(["why", "pourquoi"]),
    frozenset(["how", "comment"]),
    frozenset(["combien"]),
    frozenset(["many", "much"]),
)
_OPPOSITES: Sequence[frozenset[str]] = tuple(
    frozenset(word.form for word in words(line))
    for line in (
        "before avant",
        "after après",
        "more plus greater higher supérieur",
        "less fewer moins lower inférieur",
        "maximum max most highest largest biggest longest oldest",
        "minimum min least lowest smallest shortest youngest",
        "first premier première earliest begin start début commence open opened ouvre",
        "last dernier dernière latest end fin finit close closed ferme",
        "increase rise raise augmenter augmente hausse gain gained won win",
        "decrease fall drop diminuer diminue baisse loss lost lose",
        "buy bought acheter achète borrow emprunte borrower tenant locataire",
        "sell sold vendre vend lend prête lender landlord bailleur",
        "allowed allow permis autorisé legal include included enable inclus",
        "forbidden forbid interdit illegal exclude excluded disable exclu",
        "with avec",
        "from de",
        "all every tous toutes each",
        "some any quelques",
        "advantage benefit pro avantage",
        "disadvantage drawback con inconvénient",
        "import imported",
        "export exported",
        "cause causes",
        "effect effet consequence",
        "today aujourd'hui now",
        "yesterday hier",
        "tomorrow demain",
    )
)
_FILLERS = frozenset(
    word.form
    for word in words(
        "please tell say know find explain exactly exact precisely amount number time name thing "
        "need needed come get got give go question answer document documents according text wonder "
        "svp plaît merci dire dis dites savoir sais trouver montant nombre heure nom exactement "
        "précisément faut doit selon document texte question réponse peux pouvez donner donne"
    )
)
_NAME = re.compile(r"[^\W\d_][\w'’-]*")
_CODE = re.compile(r"\w+(?:[-./]\w+)*")


def may_share(one: str, other: str, *, strict: bool = True) -> bool:
    """Return whether nothing that vectors overlook tells the questions apart.

    Args:
        strict: Their content words must be the same too, but for words that ask for nothing
            (``please tell me the amount of``). Without it synonyms may share, and so may "who built
            it" and "who painted it": their cosine is 0.84 with MiniLM, that of "when does it leave"
            and "at what time does it depart" 0.90.
    """
    if max(len(one), len(other)) > _LONGEST:
        return False
    if Counter(numbers(one)) != Counter(numbers(other)) or _codes(one) != _codes(other):
        return False
    if _names(one) != _names(other):
        return False
    said = [{word.form for word in words(text)} for text in (one, other)]
    if (_denials(one), *_marks(said[0])) != (_denials(other), *_marks(said[1])):
        return False
    # The same words in another order: the tenant pays the landlord, the landlord pays the tenant.
    left, right = (
        [word.form for word in content_words(text) if word.form not in _FILLERS]
        for text in (one, other)
    )
    if strict and Counter(left) != Counter(right):
        return False
    return left == right or len(left) <= _UNORDERED or Counter(left) != Counter(right)


def _denials(text: str) -> int:
    folded = fold(text)
    forms = [word.form for word in words(text)]
    # French denies in two words.
    alone = sum(form in _NEGATIONS for form in forms) - min(
        forms.count("ne"), forms.count("pas") + forms.count("jamai")
    )
    return alone + folded.count("n't") + folded.count("n’t")


def _marks(said: set[str]) -> tuple[bool, ...]:
    return tuple(bool(said & group) for group in (*_ASKS, *_OPPOSITES))


def _names(text: str) -> tuple[str, ...]:
    """Return the words with a capital that do not begin a sentence, in order."""
    found = []
    for match in _NAME.finditer(text):
        before = text[: match.start()].rstrip(" \"'“«(")
        begins = not before or before[-1] in ".?!\n"
        raw = re.sub(r"^(?:[cdjlmnst]|qu)['’]|['’]s$", "", match.group(), flags=re.IGNORECASE)
        capital = raw[:1].isupper() or any(letter.isupper() for letter in raw[1:])
        if capital and (not begins or raw[1:2].isupper()):
            found.append(fold(raw))
    return tuple(found)


def _codes(text: str) -> Counter[str]:
    """Return the words of letters and digits, or with an underscore: identifiers, not numbers."""
    found = [match.group().casefold() for match in _CODE.finditer(text)]
    return Counter(
        word for word in found if re.search(r"[\d_]", word) and re.search(r"[^\W\d]", word)
    )
