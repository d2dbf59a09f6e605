"""Beams through the local generator: one piece of text, usage, stops, what is refused."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ragstack.errors import ContextOverflow, UnsupportedCapability
from ragstack.generate.local import LocalGenerator
from ragstack.types import Delta, Message, Regex, Sampling, ToolSpec

_MESSAGES = (Message("system", "Be brief."), Message("user", "Who pays?"))
_TOOL = ToolSpec("search", "Search.", {"type": "object", "properties": {}})


def _text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def test_the_text_comes_in_one_piece(local_generator: LocalGenerator) -> None:
    sampling = Sampling(max_tokens=6, beams=3)
    first = list(local_generator.stream(_MESSAGES, sampling=sampling))
    again = list(local_generator.stream(_MESSAGES, sampling=sampling))
    assert len(first) == 2
    assert first[0].text and first[0].text == _text(again)
    assert first[1].finish in ("stop", "length")
    usage = again[1].usage
    assert usage is not None and usage.prompt_tokens == local_generator.count_tokens(_MESSAGES)
    assert usage.cached_tokens == usage.prompt_tokens - 1
    assert 0 < usage.answer_tokens <= 6


def test_a_stop_string_ends_a_beam(local_generator: LocalGenerator) -> None:
    size = local_generator._load().vocabulary.size
    only = {token: float("-inf") for token in range(size) if token not in (65, 66)}
    text = {
        stop: list(
            local_generator.stream(
                _MESSAGES, sampling=Sampling(max_tokens=8, beams=2, stop=stop, logit_bias=only)
            )
        )
        for stop in ((), ("BB", "BA", "AB", "AA"))
    }
    assert len(_text(text[()])) == 8
    both = text["BB", "BA", "AB", "AA"]
    assert _text(both) == ""
    assert both[-1].finish == "stop"
    assert both[-1].usage is not None and both[-1].usage.answer_tokens == 2


@pytest.mark.parametrize(
    "settings", [{"logprobs": 2}, {"deterministic": True}, {"reasoning_tokens": 5}]
)
def test_settings_that_beams_cannot_have(
    local_generator: LocalGenerator, settings: dict[str, object]
) -> None:
    sampling = Sampling(max_tokens=5, beams=2, **settings)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedCapability, match="beams=2"):
        local_generator.stream(_MESSAGES, sampling=sampling)


def test_grammars_tools_and_what_does_not_fit_are_refused(local_generator: LocalGenerator) -> None:
    sampling = Sampling(max_tokens=5, beams=2)
    with pytest.raises(UnsupportedCapability, match="a grammar and beams=2"):
        local_generator.stream(_MESSAGES, sampling=sampling, grammar=Regex("a"))
    with pytest.raises(UnsupportedCapability, match="tools and beams=2"):
        local_generator.stream(_MESSAGES, sampling=sampling, tools=[_TOOL])
    with pytest.raises(ContextOverflow):
        local_generator.stream(_MESSAGES, sampling=Sampling(max_tokens=5000, beams=2))


def test_closing_stops_between_two_steps(local_path: Path) -> None:
    with LocalGenerator(model=str(local_path), threads=1) as generator:
        never = dict.fromkeys(generator._load().vocabulary.ends, float("-inf"))
        sampling = Sampling(max_tokens=400, beams=8, logit_bias=never)
        stream = generator.stream(_MESSAGES, sampling=sampling)
        found: list[list[Delta]] = []
        thread = threading.Thread(target=lambda: found.append(list(stream)))
        thread.start()
        while not generator.stats().totals.steps:
            time.sleep(0.005)
        stream.close()  # type: ignore[attr-defined]
        thread.join(10)
        assert found == [[]]
        steps = generator.stats().totals.steps
        assert steps < 300
        time.sleep(0.05)
        assert generator.stats().totals.steps == steps
        assert generator.stats().active == 0
