"""Several samples, one answer: counted right, run side by side, nothing left open."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from ragstack.errors import GenerationError, InputError
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.generate.vote import folded, vote
from ragstack.protocols import Capabilities
from ragstack.types import Delta, Grammar, Message, Regex, Sampling, ToolSpec

_ASKED = [Message("user", "What is six times seven?")]
_WARM = Sampling(temperature=0.7, seed=10)


class BySeed:
    """A generator that answers by seed, many at a time, and knows which streams are open."""

    name, context_size = "by-seed", 1000

    def __init__(self, answers: dict[int, str | Exception], *, streams: int = 8) -> None:
        self.answers = answers
        self.capabilities = Capabilities(streams=streams)
        self.lock = threading.Lock()
        self.open = self.most_open = self.begun = 0
        self.grammars: list[Grammar | None] = []
        self.gate: threading.Barrier | None = None

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(messages)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        self.grammars.append(grammar)
        return self._deltas(self.answers[sampling.seed])

    def _deltas(self, answer: str | Exception) -> Iterator[Delta]:
        with self.lock:
            self.begun += 1
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        try:
            if self.gate is not None:
                self.gate.wait(10)
            if isinstance(answer, Exception):
                raise answer
            if answer == "endless":
                while True:
                    yield Delta(text="more ")
            yield Delta(reasoning="Let me see. ")
            yield Delta(text=answer)
        finally:
            with self.lock:
                self.open -= 1


def test_the_majority_wins() -> None:
    generator = ScriptedGenerator(["42", "41", "forty", "42.", " 42"])
    found = vote(generator, _ASKED, sampling=_WARM, k=5)
    assert (found.text, found.count, found.agreement) == ("42", 3, 0.6)
    assert found.samples == ("42", "41", "forty", "42.", " 42")
    assert found.groups == (("42", 3), ("41", 1), ("forty", 1))
    assert found.usage.answer_tokens == 6
    assert [asked.sampling.seed for asked in generator.asked] == [10, 11, 12, 13, 14]
    assert {asked.sampling.temperature for asked in generator.asked} == {0.7}


def test_of_equals_the_lowest_seed_wins() -> None:
    found = vote(BySeed({10: "b", 11: "a", 12: "a", 13: "b"}), _ASKED, sampling=_WARM, k=4)
    assert (found.text, found.agreement) == ("b", 0.5)


def test_a_caller_says_what_is_the_same() -> None:
    answers: dict[int, str | Exception] = {10: "so: 1", 11: "or so: 2", 12: "well: 2"}
    found = vote(
        BySeed(answers), _ASKED, sampling=_WARM, k=3, key=lambda text: text.rpartition(":")[2]
    )
    assert (found.text, found.count) == ("or so: 2", 2)


def test_one_sample_may_be_greedy() -> None:
    found = vote(ScriptedGenerator(["42"]), _ASKED, sampling=Sampling(), k=1)
    assert (found.text, found.agreement) == ("42", 1.0)


def test_samples_run_side_by_side_under_one_grammar() -> None:
    generator = BySeed(dict.fromkeys(range(10, 14), "x"))
    generator.gate = threading.Barrier(4)  # none goes on before all four have begun
    grammar = Regex("x")
    assert vote(generator, _ASKED, sampling=_WARM, k=4, grammar=grammar).agreement == 1.0
    assert generator.grammars == [grammar] * 4


def test_no_more_at_once_than_there_are_streams() -> None:
    generator = BySeed(dict.fromkeys(range(10, 22), "x"), streams=2)
    vote(generator, _ASKED, sampling=_WARM, k=12)
    assert generator.most_open <= 2


def test_an_error_closes_every_stream() -> None:
    answers: dict[int, str | Exception] = {10: "endless", 11: "endless", 12: GenerationError("no")}
    generator = BySeed(answers)
    generator.gate = threading.Barrier(3)
    with pytest.raises(GenerationError, match="no"):
        vote(generator, _ASKED, sampling=_WARM, k=3)
    assert (generator.begun, generator.open) == (3, 0)


def test_an_error_keeps_what_waits_from_beginning() -> None:
    answers: dict[int, str | Exception] = dict.fromkeys(range(11, 30), "x")
    answers[10] = GenerationError("no")
    generator = BySeed(answers, streams=1)
    with pytest.raises(GenerationError, match="no"):
        vote(generator, _ASKED, sampling=_WARM, k=20)
    assert generator.begun < 20 and generator.open == 0


def test_an_error_of_the_key_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        vote(BySeed({10: "x"}), _ASKED, sampling=_WARM, k=1, key=lambda text: str(1 / 0))


@pytest.mark.parametrize(
    ("k", "sampling", "message"),
    [
        (0, _WARM, "k is 0, expected 1 to 256"),
        (257, _WARM, "k is 257"),
        (3, Sampling(), "3 samples at temperature 0"),
    ],
)
def test_votes_that_mean_nothing_are_refused(k: int, sampling: Sampling, message: str) -> None:
    with pytest.raises(InputError, match=message):
        vote(ScriptedGenerator(["x"] * 9), _ASKED, sampling=sampling, k=k)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna Lund", " anna  lund.\n"),
        ("«Été 1902»", "ete 1902"),
        ("**42**", "42"),
        ("ﬁve", "FIVE"),
        ("...", "..."),
        ("- 5", "(5)"),
    ],
)
def test_what_is_the_same_answer(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("5 %", "5"), ("5 €", "5"), ("4.2", "42"), ("-5", "5"), (".5", "5"), ("x < 5", "x > 5")],
)
def test_what_is_not_the_same_answer(one: str, other: str) -> None:
    assert folded(one) != folded(other)
