"""Which tokens a part of a message became, and what it did for a reply."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.errors import InputError, UnsupportedCapability
from ragstack.generate.isolated import IsolatedGenerator
from ragstack.generate.local import LocalGenerator
from ragstack.generate.local_parts import token_spans
from ragstack.testing.tiny_model import SMOL_TEMPLATE, TinyModel
from ragstack.types import Message, PromptPart

_TEXT = "Passages:\n[1] L’été à Étretat.\n\n[2] The roof is paid for.\n\nWho pays?  "
_MESSAGES = [
    Message("system", "Answer from the passages."),
    Message("user", "[2] The roof is paid for."),
    Message("assistant", "No."),
    Message("user", _TEXT),
]
_NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


def _part(text: str, message: int = 3) -> PromptPart:
    start = _MESSAGES[message].text.index(text)
    return PromptPart(message, start, start + len(text))


_PARTS = [_part("[1] L’été à Étretat.\n\n"), _part("[2] The roof is paid for.\n\n")]


@pytest.mark.parametrize("template", [SMOL_TEMPLATE, _NO_SYSTEM])
@pytest.mark.parametrize("sentencepiece", [False, True])
def test_the_tokens_are_those_of_the_part(
    tmp_path: Path, template: str, sentencepiece: bool
) -> None:
    path = TinyModel(template=template, sentencepiece=sentencepiece).write(tmp_path / "m.gguf")
    with LocalGenerator(model=str(path), threads=1) as generator:
        loaded = generator._load()
        read = loaded.pieces(_MESSAGES, ())
        tokens = [token for _, piece in read for token in piece]
        assert tokens == loaded.prompt(_MESSAGES, ())
        spans = token_spans(loaded, read, _MESSAGES, [*_PARTS, _part("No", 2)])
        texts = [loaded.vocabulary.detokenize(tokens[start:end]) for start, end in spans]
        assert texts == ["[1] L’été à Étretat.\n\n", "[2] The roof is paid for.\n\n", "No"]
        # The last message's, not the one that says the same before it.
        assert spans[1][0] == spans[0][1]


def test_a_reply_is_weighed_with_and_without(local_generator: LocalGenerator) -> None:
    found = local_generator.attribute(_MESSAGES, _PARTS, "The roof.")
    assert not found.exact
    assert found.whole == pytest.approx(
        sum(local_generator.logprobs(_MESSAGES, ["The roof."])[0]), abs=0.05
    )
    assert len(found.without) == 2
    assert found.scores == tuple(found.whole - each for each in found.without)
    exact = local_generator.attribute(_MESSAGES, _PARTS, "The roof.", exact=True)
    left = _TEXT.replace("[2] The roof is paid for.\n\n", "")
    without = local_generator.logprobs([*_MESSAGES[:3], Message("user", left)], ["The roof."])[0]
    assert exact.exact
    assert exact.without[1] == pytest.approx(sum(without), abs=0.05)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (PromptPart(4, 0, 1), "of no message"),
        (PromptPart(-1, 0, 1), "of no message"),
        (PromptPart(3, 5, 5), "no stretch"),
        (PromptPart(3, 0, 999), "no stretch"),
        (PromptPart(3, len(_TEXT) - 1, len(_TEXT)), "less than a token"),
    ],
)
def test_a_part_out_of_range_is_refused(tmp_path: Path, part: PromptPart, words: str) -> None:
    path = TinyModel(template=_NO_SYSTEM).write(tmp_path / "m.gguf")
    with (
        LocalGenerator(model=str(path), threads=1) as generator,
        pytest.raises(InputError, match=words),
    ):
        generator.attribute(_MESSAGES, [part], "The roof.")


def test_no_answer_is_refused(local_generator: LocalGenerator) -> None:
    with pytest.raises(InputError, match="no answer"):
        local_generator.attribute(_MESSAGES, _PARTS, "")


def test_a_message_that_the_template_moves_has_no_place(tmp_path: Path) -> None:
    path = TinyModel(template=_NO_SYSTEM).write(tmp_path / "m.gguf")
    late = [Message("user", "Who?"), Message("assistant", "Me."), Message("system", "Be brief.")]
    with LocalGenerator(model=str(path), threads=1) as generator:
        asked = [*late, Message("user", "Who pays?")]
        generator.attribute(asked, [PromptPart(3, 0, 3)], "The roof.")
        with pytest.raises(UnsupportedCapability, match="template moves it"):
            generator.attribute(asked, [PromptPart(2, 0, 3)], "The roof.")


def test_it_crosses_to_another_process(local_path: Path, local_generator: LocalGenerator) -> None:
    with IsolatedGenerator(model=str(local_path), context_size=512, streams=2) as isolated:
        assert isolated.capabilities.attribution
        found = isolated.attribute(_MESSAGES, _PARTS, "The roof.")
        with pytest.raises(InputError, match="no answer"):
            isolated.attribute(_MESSAGES, _PARTS, "", exact=True)
    here = local_generator.attribute(_MESSAGES, _PARTS, "The roof.")
    assert found.scores == pytest.approx(here.scores, abs=0.05)
