from __future__ import annotations

import pytest

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import ConfigError


def _likeness(left: str, right: str) -> float:
    rows = HashingEmbedder().embed_documents([left, right])
    return float(rows[0] @ rows[1])


def test_shared_words_bring_texts_near() -> None:
    question = "Who pays for the repairs to the roof?"
    near = "The Harbour Trust pays for repairs to the roof."
    far = "Bread is baked for 45 minutes."
    assert _likeness(question, near) > 0.5 > 0.25 > _likeness(question, far)


def test_forms_of_a_word_are_near() -> None:
    assert _likeness("la réparation", "les réparations") > 0.4
    assert _likeness("école", "ECOLE") == pytest.approx(1)


def test_vectors_are_the_same_everywhere() -> None:
    row = HashingEmbedder(dimensions=8).embed_documents(["the roof of the boathouse"])[0]
    assert row == pytest.approx(EXPECTED, abs=1e-5)


def test_few_dimensions_are_refused() -> None:
    with pytest.raises(ConfigError, match="8 or more"):
        HashingEmbedder(dimensions=4)


EXPECTED = [-0.29421, 0.0, 0.54114, -0.47747, -0.47747, -0.23874, -0.31832, -0.07958]
