"""The local generator with a draft model: found by name, reckoned with, refused if it is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.engine import memory
from ragstack.engine.costs import Costs
from ragstack.engine.draft_model import DraftModel
from ragstack.errors import InputError, ModelUnavailable, NotEnoughSpace, UnknownModel
from ragstack.generate.isolated import IsolatedGenerator
from ragstack.generate.local import LocalGenerator
from ragstack.testing.tiny_model import TinyModel
from ragstack.types import Delta, Message, Sampling

_MESSAGES = (Message("system", "Be brief."), Message("user", "Who pays?"))
_SAMPLING = Sampling(max_tokens=40)


def _text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def test_it_drafts_for_itself(local_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Costs, "step", lambda _self, tokens: 1.0 + tokens / 1e3)
    monkeypatch.setattr(DraftModel, "token_s", 0.01)
    with LocalGenerator(model=str(local_path), threads=1) as plain:
        expected = list(plain.stream(_MESSAGES, sampling=_SAMPLING))
        assert plain.draft_state == "" and plain.stats().draft is None
    with LocalGenerator(model=str(local_path), draft=str(local_path), threads=1) as generator:
        found = list(generator.stream(_MESSAGES, sampling=_SAMPLING))
        report = generator.stats().draft
        assert report is not None and report.right == report.guessed > 10
        assert generator.draft_state == report.message
    assert _text(found) == _text(expected)
    usage, plain_usage = found[-1].usage, expected[-1].usage
    assert usage is not None and plain_usage is not None
    assert usage.near_ties == plain_usage.near_ties > 0
    assert (usage + usage).near_ties == 2 * usage.near_ties


def test_what_was_measured_is_told_before_it_is_loaded(local_path: Path) -> None:
    with LocalGenerator(model=str(local_path), draft=str(local_path)) as generator:
        before = generator.draft_state
        generator.count("a")
    again = LocalGenerator(model=str(local_path), draft=str(local_path))
    assert before.startswith(("measured at", "used from", "stays")) and again.draft_state
    assert again.draft_state != "measured at the first use"


def test_what_is_no_draft_is_refused(local_path: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        LocalGenerator(model=str(local_path), draft="no-such-model")
    with pytest.raises(ModelUnavailable):
        LocalGenerator(model=str(local_path), draft="smollm2-135m-instruct")
    with pytest.raises(InputError, match="speculate is off"):
        LocalGenerator(model=str(local_path), draft=str(local_path), speculate=False)
    other = TinyModel(sentencepiece=True).write(tmp_path / "other.gguf")
    with (
        LocalGenerator(model=str(local_path), draft=str(other)) as generator,
        pytest.raises(InputError, match="the same vocabulary"),
    ):
        generator.count("a")


def test_its_memory_is_reckoned_with(local_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalGenerator(model=str(local_path), draft=str(local_path)) as generator:
        draft, header = generator._draft, generator._header
        assert draft is not None
        alone = memory.need(header, memory.Window(512)).total
        both = alone + draft.memory(512, windows=1)
        assert draft.memory(512, windows=2) > draft.memory(512, windows=1) > alone / 4
        monkeypatch.setattr(memory, "available", lambda: both - 1)
        with pytest.raises(NotEnoughSpace, match=r"beside the .* MB of its draft model") as caught:
            generator.count("a")
        assert "leave out the draft" in caught.value.hint
        monkeypatch.setattr(memory, "available", lambda: both)
        assert generator.count("a") == 1  # one window of each
        assert generator.stats().draft is not None


def test_the_isolated_one_passes_it_along(local_path: Path) -> None:
    with (
        IsolatedGenerator(model=str(local_path), draft=str(local_path), streams=2) as isolated,
        LocalGenerator(model=str(local_path), streams=2) as plain,
    ):
        found = list(isolated.stream(_MESSAGES, sampling=_SAMPLING))
        assert _text(found) == _text(list(plain.stream(_MESSAGES, sampling=_SAMPLING)))
        assert isolated.stats().draft is not None
