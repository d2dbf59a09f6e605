"""The promises of a generator, as tests: subclass the suite and write ``make``.

The generator that ``make`` returns shall answer anything with a text of ten tokens or more, and
the same messages with the same text.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import pytest

from ragstack.errors import (
    ContextOverflow,
    GrammarError,
    InputError,
    RagstackError,
    UnsupportedCapability,
)
from ragstack.protocols import Capabilities, Closeable, Generator
from ragstack.testing.samples import png_bytes
from ragstack.types import (
    Delta,
    Grammar,
    JsonSchema,
    Lark,
    Message,
    Part,
    Quote,
    Quoted,
    Regex,
    Sampling,
    ToolSpec,
    image_part,
)

__all__ = ["GeneratorSuite", "text_of"]

_MESSAGES = (
    Message("system", "You answer briefly. Vous répondez brièvement."),
    Message("user", "Who pays for repairs to the roof, and who for the mill’s gates?"),
)
_SHORT = Sampling(max_tokens=24)
# What else runs moves logits by a little: only one that runs alone can be compared.
_ALONE = replace(_SHORT, deterministic=True)
_FINISHES = {"stop", "length", "tool_calls", "cancelled"}
_PNG = png_bytes([[(16 * x, 16 * y, 128) for x in range(16)] for y in range(16)])
_SCHEMA = {
    "type": "object",
    "properties": {
        "yes": {"type": "boolean"},
        "n": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["yes", "n"],
    "additionalProperties": False,
}
_GRAMMARS: dict[str, Grammar] = {
    "json_schema": JsonSchema(_SCHEMA),
    "regex": Regex("(yes|no), [0-9]{2}"),
    "lark": Lark('start: "a" | "b"'),
    "quote": Quote(("The Harbour Trust pays.", "Le locataire paie.")),
    "quoted": Quoted(("The Harbour Trust pays.", "Le locataire paie.")),
}
_TOOL = ToolSpec(
    "search",
    "Search the documents.",
    {
        "type": "object",
        "properties": {"query": {"type": "string", "maxLength": 8}},
        "required": ["query"],
        "additionalProperties": False,
    },
)


def text_of(deltas: Sequence[Delta]) -> str:
    """Return the text of a stream."""
    return "".join(delta.text for delta in deltas)


class GeneratorSuite(ABC):
    """What every generator promises.

    Attributes:
        counts_exactly: ``count_tokens`` is the prompt's length; an estimate may be above it.
        enforces_grammars: What it says to be in a grammar is; a script only says what it was told.
    """

    counts_exactly = True
    enforces_grammars = True

    @abstractmethod
    def make(self) -> Generator:
        """Return a fresh generator; it is closed afterwards where it can be."""

    @pytest.fixture
    def generator(self) -> Iterator[Generator]:
        """The generator under test."""
        generator = self.make()
        with ExitStack() as stack:
            if isinstance(generator, Closeable):
                stack.callback(generator.close)
            yield generator

    def run(self, generator: Generator, sampling: Sampling = _SHORT, **more: object) -> list[Delta]:
        """Return all deltas for the suite's messages."""
        return list(generator.stream(_MESSAGES, sampling=sampling, **more))  # type: ignore[arg-type]

    def test_it_says_what_it_is(self, generator: Generator) -> None:
        """A name for people, a window in tokens, capabilities of the known kinds."""
        assert generator.name
        assert generator.context_size > 0
        assert isinstance(generator.capabilities, Capabilities)
        assert generator.capabilities.grammars <= set(_GRAMMARS)

    def test_only_the_last_delta_ends(self, generator: Generator) -> None:
        """Exactly one delta has ``finish`` and ``usage``, and nothing comes after it."""
        *rest, last = self.run(generator)
        assert last.finish in _FINISHES
        assert last.usage is not None
        assert all(delta.finish is None and delta.usage is None for delta in rest)
        assert text_of(rest)

    def test_usage_counts(self, generator: Generator) -> None:
        """Usage has the prompt's tokens and no more answer tokens than were allowed."""
        usage = self.run(generator)[-1].usage
        assert usage is not None
        assert usage.prompt_tokens > 0
        assert 0 <= usage.cached_tokens <= usage.prompt_tokens
        assert 0 < usage.answer_tokens <= _SHORT.max_tokens
        assert usage.seconds >= 0

    def test_counting_is_right(self, generator: Generator) -> None:
        """``count_tokens`` is what the prompt takes, template and all; an estimate may be more."""
        usage = self.run(generator)[-1].usage
        assert usage is not None
        counted = generator.count_tokens(_MESSAGES)
        if self.counts_exactly:
            assert counted == usage.prompt_tokens
        else:
            assert counted >= usage.prompt_tokens
        longer = (*_MESSAGES, Message("assistant", "The Harbour Trust."), _MESSAGES[1])
        assert generator.count_tokens(longer) > counted

    def test_greedy_is_the_same_again(self, generator: Generator) -> None:
        """The default sampling gives the same text twice: nothing is left over between calls."""
        assert text_of(self.run(generator)) == text_of(self.run(generator))

    def test_a_seed_is_the_same_again(self, generator: Generator) -> None:
        """A seed gives the same text twice."""
        sampling = Sampling(max_tokens=12, temperature=0.9, top_p=0.95, seed=7)
        assert text_of(self.run(generator, sampling)) == text_of(self.run(generator, sampling))

    def test_max_tokens_ends_it(self, generator: Generator) -> None:
        """A text cut at ``max_tokens`` finishes with ``length``."""
        *_, last = self.run(generator, Sampling(max_tokens=3))
        assert last.finish == "length"
        assert last.usage is not None
        assert last.usage.answer_tokens <= 3

    def test_stop_strings_end_it(self, generator: Generator) -> None:
        """The text ends right before the first stop string, wherever token borders fall."""
        whole = text_of(self.run(generator))
        for start in (1, len(whole) // 2):
            stop = whole[start : start + 4]
            deltas = self.run(generator, Sampling(max_tokens=24, stop=("never said", stop)))
            assert text_of(deltas) == whole[: whole.index(stop)]
            assert deltas[-1].finish == "stop"

    def test_closing_stops_it(self, generator: Generator) -> None:
        """A stream closed after its first delta leaves the next one as it should be."""
        whole = text_of(self.run(generator))
        stream = generator.stream(_MESSAGES, sampling=_SHORT)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert text_of(self.run(generator)) == whole

    def test_a_stream_never_begun_costs_nothing(self, generator: Generator) -> None:
        """A stream that nobody reads holds up no other."""
        generator.stream(_MESSAGES, sampling=_SHORT)
        assert text_of(self.run(generator))

    def test_one_inside_the_other(self, generator: Generator) -> None:
        """A stream opened while another is half read does not wait for it for ever."""
        whole = text_of(self.run(generator, _ALONE))
        outer = generator.stream(_MESSAGES, sampling=_ALONE)
        first = next(outer)
        inner = text_of(self.run(generator, _ALONE))
        assert inner == whole
        assert first.text + text_of(list(outer)) == whole

    def test_from_many_threads(self, generator: Generator) -> None:
        """Threads at once each get a text, and the one that one alone gets where that is asked."""
        whole = text_of(self.run(generator, _ALONE))
        texts: list[tuple[bool, str]] = []

        def work(sampling: Sampling) -> None:
            texts.append((sampling.deterministic, text_of(self.run(generator, sampling))))

        threads = [
            threading.Thread(target=work, args=(sampling,))
            for sampling in (_ALONE, _SHORT, _SHORT, _ALONE)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert [text for alone, text in texts if alone] == [whole] * 2
        assert all(text for _, text in texts)
        assert len(texts) == 4

    def test_what_does_not_fit_is_refused_first(self, generator: Generator) -> None:
        """Prompt and ``max_tokens`` over the window: ContextOverflow before the first delta."""
        with pytest.raises(ContextOverflow):
            next(generator.stream(_MESSAGES, sampling=Sampling(max_tokens=generator.context_size)))
        long = Message("user", "word and word, " * generator.context_size)
        with pytest.raises(ContextOverflow):
            next(generator.stream([long], sampling=_SHORT))

    def test_no_messages_are_refused(self, generator: Generator) -> None:
        """There is nothing to answer."""
        with pytest.raises(InputError):
            next(generator.stream([], sampling=_SHORT))

    def test_images_are_refused(self, generator: Generator) -> None:
        """An image where ``capabilities.images`` is False: a clear error, never silence."""
        if generator.capabilities.images:
            pytest.skip("it reads images")
        parts = (Part("What is this?", "text/plain"), Part(b"\x89PNG", "image/png"))
        with pytest.raises(UnsupportedCapability):
            next(generator.stream([Message("user", parts)], sampling=_SHORT))

    def test_images_are_read(self, generator: Generator) -> None:
        """An image where ``capabilities.images`` is True: it counts, and what is none is refused.

        Its place among the texts is kept, and a grammar holds beside it.
        """
        if not generator.capabilities.images:
            pytest.skip("it reads none")
        before, after = Part("What is ", "text/plain"), Part(" this?", "text/plain")
        asked = [Message("user", (before, image_part(_PNG), after))]
        *rest, last = generator.stream(asked, sampling=_SHORT)
        assert last.usage is not None
        assert last.finish in _FINISHES
        assert text_of(rest)
        text = generator.count_tokens([Message("user", "What is  this?")])
        counted = generator.count_tokens(asked)
        assert counted > text
        if self.counts_exactly:
            assert counted == last.usage.prompt_tokens
        for broken in (b"MZ" * 40, b"", _PNG[:9]):
            with pytest.raises(InputError):
                message = Message("user", (before, Part(broken, "image/png")))
                next(generator.stream([message], sampling=_SHORT))

    @pytest.mark.parametrize("kind", sorted(_GRAMMARS))
    def test_grammars_hold_or_are_refused(self, generator: Generator, kind: str) -> None:
        """A grammar it names is kept to; another is refused before the first delta."""
        if kind not in generator.capabilities.grammars:
            with pytest.raises(UnsupportedCapability):
                next(generator.stream(_MESSAGES, sampling=_SHORT, grammar=_GRAMMARS[kind]))
            return
        text = text_of(self.run(generator, Sampling(max_tokens=48), grammar=_GRAMMARS[kind]))
        if not self.enforces_grammars:
            return
        if kind == "json_schema":
            value = json.loads(text)
            assert isinstance(value["yes"], bool)
            assert 0 <= value["n"] <= 9
        elif kind == "regex":
            assert text in {f"{word}, {n:02}" for word in ("yes", "no") for n in range(100)}
        elif kind == "lark":
            assert text in ("a", "b")
        elif kind == "quoted":
            first, _, answer = text.partition("\n")
            assert first[2:] in "The Harbour Trust pays." or first[2:] in "Le locataire paie."
            assert first.startswith("> ")
            assert answer
        else:
            assert text
            assert text in "The Harbour Trust pays." or text in "Le locataire paie."

    def test_bad_grammars_are_refused_first(self, generator: Generator) -> None:
        """A grammar that cannot be compiled: GrammarError before the first delta."""
        kinds = generator.capabilities.grammars
        if not self.enforces_grammars or "regex" not in kinds:
            pytest.skip("it compiles no grammars itself")
        for grammar in (Regex("(unclosed"), Lark("start: nothing"), JsonSchema({"type": "odd"})):
            with pytest.raises(GrammarError):
                next(generator.stream(_MESSAGES, sampling=_SHORT, grammar=grammar))

    def test_tools_work_or_are_refused(self, generator: Generator) -> None:
        """With tools, text or calls of the tools given; without the capability, a clear error."""
        if not generator.capabilities.tools:
            with pytest.raises(UnsupportedCapability):
                next(generator.stream(_MESSAGES, sampling=_SHORT, tools=[_TOOL]))
            return
        deltas = self.run(generator, Sampling(max_tokens=48), tools=[_TOOL])
        calls = [delta.tool_call for delta in deltas if delta.tool_call is not None]
        assert all(call.name == "search" and call.id for call in calls)
        assert bool(calls) == (deltas[-1].finish == "tool_calls")

    def test_bad_settings_are_refused(self, generator: Generator) -> None:
        """Settings that mean nothing give an error of ours, never one of a vendor's."""
        for sampling in (Sampling(max_tokens=-1), Sampling(temperature=-1.0), Sampling(stop=("",))):
            with pytest.raises(RagstackError):
                list(generator.stream(_MESSAGES, sampling=sampling))

    def test_inputs_are_not_changed(self, generator: Generator) -> None:
        """The messages are as they were."""
        messages = list(_MESSAGES)
        list(generator.stream(messages, sampling=_SHORT))
        assert messages == list(_MESSAGES)

    def test_closing_twice(self, generator: Generator) -> None:
        """``close()`` may be called twice, also on what was never used."""
        if isinstance(generator, Closeable):
            generator.close()
            generator.close()
