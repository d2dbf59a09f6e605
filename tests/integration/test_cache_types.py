"""Flash attention and rough caches with a real model: what they cost in perplexity."""

from __future__ import annotations

import pytest

from ragstack import models
from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.model import Model
from ragstack.engine.tools.perplexity import likelihood

pytestmark = pytest.mark.integration

_TEXT = (
    "The ferry to the island leaves twice a day, once before the market opens and once after the "
    "school has closed. Nobody books; whoever comes first finds a place, and the captain waits "
    "for those who run. In winter the second crossing depends on the wind, which is announced on "
    "a board beside the harbour office. The Harbour Trust pays for the fuel and the town for the "
    "crew, as they agreed when the bridge was given up."
)


def _perplexity(model: Model, cache_type: str, flash: str) -> float:
    tokens = model.vocabulary.tokenize(_TEXT)
    options = Options(
        size=256,
        batch=32,
        streams=1,
        kept=1,
        outputs=32,
        cache_type=cache_type,
        flash_attention=flash,
    )
    context = Context(model, options)

    def rows(piece):  # type: ignore[no-untyped-def]
        context.clear()
        for at in range(0, len(piece), 32):
            part = piece[at : at + 32]
            context.decode([Piece(0, at, part, rows=len(part))])
            for place in range(len(part)):
                yield context.logits(place).copy()

    found = likelihood(rows, tokens, characters=len(_TEXT), window=256).perplexity
    context.close()
    return found


def test_a_cache_of_eight_bits_foretells_as_well() -> None:
    """The readings of a run stand in docs/guides/gpu.md."""
    model = Model(models.path("smollm2-135m-instruct", pull=True))
    found = {
        (kept, flash): _perplexity(model, kept, flash)
        for kept, flash in (
            ("f16", "off"),
            ("f16", "on"),
            ("q8_0", "on"),
            ("q4_0", "auto"),
        )
    }
    model.close()
    plain = found["f16", "off"]
    assert 5 < plain < 200
    assert found["f16", "on"] == pytest.approx(plain, rel=0.01), found
    assert found["q8_0", "on"] == pytest.approx(plain, rel=0.03), found
    assert found["q4_0", "auto"] == pytest.approx(plain, rel=0.4), found
