from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date

import pytest

from ragstack import Usage
from ragstack.generate.prompts import load
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.transforms.desk import Circumstances, WorkingDesk
from ragstack.types import DocumentInfo

MakeDesk = Callable[..., WorkingDesk]


@pytest.fixture
def make_desk() -> MakeDesk:
    """Makes desks whose generator says what it is told to, as JSON."""

    def make(
        *replies: object,
        language: str = "en",
        documents: Sequence[DocumentInfo] = (),
        history: str = "",
        trust: Sequence[tuple[bool, float | None]] = (),
        generator: object = None,
    ) -> WorkingDesk:
        said = [reply if isinstance(reply, str) else json.dumps(reply) for reply in replies]
        scripted = generator or ScriptedGenerator(said)
        verdicts = list(trust)
        return WorkingDesk(
            Circumstances(
                prompts=load(language),
                today=date(2026, 3, 1),
                history=history,
                slots=("lexical", "vector"),
                generator=lambda: scripted,  # type: ignore[arg-type,return-value]
                documents=lambda: documents,
                trust=lambda _question, _passages: (*verdicts.pop(0), Usage(prompt_tokens=7)),
            )
        )

    return make
