"""Drawing tokens: the right one when greedy, the right shares when not."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ragstack.engine.sampling import Sampler, check_sampling, log_probability, logprobs_of
from ragstack.errors import GenerationError, InputError
from ragstack.types import Dry, Mirostat, Sampling

_LOGITS = np.log(np.array([0.4, 0.3, 0.2, 0.06, 0.04], np.float32))
_DRAWS = 4000


def _shares(sampling: Sampling, logits: NDArray[np.float32] = _LOGITS) -> list[float]:
    sampler = Sampler(sampling)
    counts = Counter(sampler.draw(logits) for _ in range(_DRAWS))
    return [counts[token] / _DRAWS for token in range(len(logits))]


def test_greedy_takes_the_best() -> None:
    logits = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert Sampler(Sampling()).draw(logits) == int(np.argmax(logits))
    assert Sampler(Sampling(temperature=2.0, top_k=1)).draw(logits) == int(np.argmax(logits))


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(temperature=1.0), [0.4, 0.3, 0.2, 0.06, 0.04]),
        (Sampling(temperature=1.0, top_k=2), [4 / 7, 3 / 7, 0, 0, 0]),
        (Sampling(temperature=1.0, top_p=0.65), [4 / 7, 3 / 7, 0, 0, 0]),
        (Sampling(temperature=1.0, top_p=0.75), [4 / 9, 3 / 9, 2 / 9, 0, 0]),
        (Sampling(temperature=1.0, min_p=0.3), [4 / 9, 3 / 9, 2 / 9, 0, 0]),
        (Sampling(temperature=0.5), [0.16 / 0.2952, 0.09 / 0.2952, 0.04 / 0.2952, 0.0122, 0.0054]),
    ],
)
def test_shares_are_those_of_the_formula(sampling: Sampling, expected: list[float]) -> None:
    assert _shares(sampling) == pytest.approx(expected, abs=0.03)


def test_a_seed_repeats_and_another_does_not() -> None:
    def drawn(seed: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed))
        return [sampler.draw(_LOGITS) for _ in range(50)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_forbidden_tokens_are_never_drawn() -> None:
    logits = _LOGITS.copy()
    logits[0] = -np.inf
    assert _shares(Sampling(temperature=1.0), logits)[0] == 0
    assert Sampler(Sampling()).draw(logits) == 1


def test_not_a_number_is_passed_over() -> None:
    logits = _LOGITS.copy()
    logits[3] = np.nan
    assert Sampler(Sampling()).draw(logits) == 0
    with pytest.raises(GenerationError, match="no finite logit"):
        Sampler(Sampling()).draw(np.full(4, np.nan, np.float32))
    with pytest.raises(GenerationError, match="no finite logit"):
        Sampler(Sampling()).draw(np.full(4, -np.inf, np.float32))


_DRAWN = Sampling(temperature=1.0)
_WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": -1}, "max_tokens is -1, expected a whole number, 0 or more"),
    ({"max_tokens": 1.5}, "max_tokens is 1.5"),
    ({"max_tokens": True}, "max_tokens is True"),
    ({"temperature": -0.1}, "temperature is -0.1"),
    ({"temperature": math.inf}, "temperature is inf"),
    ({"temperature": math.nan}, "temperature is nan"),
    ({"temperature": "hot"}, "temperature is 'hot', expected a number"),
    ({"top_p": 0.0}, "top_p is 0.0, expected a number, above 0, at most 1"),
    ({"top_p": 1.1}, "top_p is 1.1"),
    ({"top_k": -1}, "top_k is -1"),
    ({"min_p": 1.5}, "min_p is 1.5, expected a number, 0 to 1"),
    ({"seed": -1}, "seed is -1"),
    ({"seed": None}, "seed is None"),
    ({"stop": ("",)}, "stop is "),
    ({"stop": "abc"}, "stop is 'abc'"),
    ({"typical_p": 0.0}, "typical_p is 0.0"),
    ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0, expected a number, above 0"),
    ({"repetition_penalty": math.inf}, "repetition_penalty is inf"),
    ({"repetition_window": -1}, "repetition_window is -1"),
    ({"presence_penalty": math.nan}, "presence_penalty is nan"),
    ({"frequency_penalty": 101.0}, "frequency_penalty is 101.0"),
    ({"dry": True}, "dry is True"),
    ({"dry": Dry(multiplier=0.0)}, "dry.multiplier is 0.0"),
    ({"dry": Dry(base=0.9)}, "dry.base is 0.9"),
    ({"dry": Dry(allowed_length=0)}, "dry.allowed_length is 0"),
    ({"dry": Dry(window=-1)}, "dry.window is -1"),
    ({"dry": Dry(breakers=("",))}, "dry.breakers is "),
    ({"mirostat": 2}, "mirostat is 2"),
    ({"mirostat": Mirostat(3)}, "mirostat.version is 3, expected a whole number, 1 to 2"),
    ({"mirostat": Mirostat(tau=0.0)}, "mirostat.tau is 0.0"),
    ({"mirostat": Mirostat(eta=1.5)}, "mirostat.eta is 1.5"),
    ({"mirostat": Mirostat(), "temperature": 0.0}, "mirostat at temperature 0"),
    ({"mirostat": Mirostat(), "top_p": 0.9}, "top_p is 0.9 beside mirostat"),
    ({"mirostat": Mirostat(), "top_k": 40}, "top_k is 40 beside mirostat"),
    ({"mirostat": Mirostat(), "min_p": 0.1}, "min_p is 0.1 beside mirostat"),
    ({"mirostat": Mirostat(), "typical_p": 0.5}, "typical_p is 0.5 beside mirostat"),
    ({"logit_bias": [(1, 2.0)]}, "logit_bias is "),
    ({"logit_bias": {-1: 2.0}}, "logit_bias has the token -1"),
    ({"logit_bias": {"1": 2.0}}, "logit_bias has the token '1'"),
    ({"logit_bias": {5: 2.0}}, "expected an id of the vocabulary, 0 to 4"),
    ({"logit_bias": {1: math.inf}}, "logit_bias of the token 1 is inf"),
    ({"logit_bias": {1: math.nan}}, "logit_bias of the token 1 is nan"),
    ({"logit_bias": {1: 1e31}}, "logit_bias of the token 1 is 1e\\+31"),
    ({"logprobs": -1}, "logprobs is -1"),
    ({"logprobs": 101}, "logprobs is 101, expected a whole number, 0 to 100"),
    ({"deterministic": 1}, "deterministic is 1"),
    ({"reasoning_tokens": -1}, "reasoning_tokens is -1"),
    ({"reasoning_tokens": "few"}, "reasoning_tokens is 'few'"),
    ({"beams": 0, "temperature": 0.0}, "beams is 0"),
    ({"beams": 2}, "temperature is 1.0 with beams"),
    ({"beams": 2, "temperature": 0.0, "dry": Dry()}, "dry is .* with beams"),
    ({"beams": 2, "temperature": 0.0, "presence_penalty": 1.0}, "presence_penalty is 1.0 with"),
    ({"length_penalty": -1.0}, "length_penalty is -1.0"),
    ({"length_penalty": math.inf}, "length_penalty is inf"),
]


@pytest.mark.parametrize(("changes", "message"), _WRONG, ids=[str(row[0]) for row in _WRONG])
def test_settings_that_mean_nothing_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_sampling(replace(_DRAWN, **changes), vocabulary=5)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(beams=4, length_penalty=0.6, logit_bias={1: -1.0}),
        Sampling(temperature=1.0, mirostat=Mirostat(1)),
        Sampling(temperature=1, top_p=1, min_p=0, repetition_penalty=2),
        Sampling(temperature=np.float32(0.5), top_k=np.int64(3)),  # type: ignore[arg-type]
        Sampling(logit_bias={4: -math.inf}, reasoning_tokens=0, logprobs=5, deterministic=True),
        Sampling(top_p=0.9, top_k=40, dry=Dry(breakers=())),
    ],
)
def test_settings_that_mean_something_are_not(sampling: Sampling) -> None:
    check_sampling(sampling, vocabulary=5)


def test_settings_can_be_compared_and_hashed() -> None:
    biased = Sampling(logit_bias={1: 2.0})
    assert hash(biased) == hash(Sampling()) and biased != Sampling()
    assert hash(Sampling(dry=Dry(), mirostat=Mirostat())) != hash(Sampling())


def test_a_bias_beyond_the_vocabulary_is_told() -> None:
    with pytest.raises(InputError, match="0 to 4"):
        Sampler(Sampling(logit_bias={5: 1.0})).draw(_LOGITS)


def test_a_bias_forbids_and_prefers() -> None:
    assert Sampler(Sampling(logit_bias={0: -math.inf})).draw(_LOGITS) == 1
    assert Sampler(Sampling(logit_bias={4: 10.0})).draw(_LOGITS) == 4
    with pytest.raises(GenerationError, match="all tokens are forbidden"):
        Sampler(Sampling(logit_bias=dict.fromkeys(range(5), -math.inf))).draw(_LOGITS)


def test_greedy_text_with_a_penalty_does_not_repeat_itself() -> None:
    sampler, said = Sampler(Sampling(presence_penalty=50.0)), []
    for _ in range(5):
        said.append(sampler.draw(_LOGITS))
        sampler.accept(said[-1])
    assert said == [0, 1, 2, 3, 4]


def test_the_prompt_counts_for_repetition_alone() -> None:
    """A penalty on what the passages say would be one on quoting them."""
    prompt = [0, 0, 0]
    assert Sampler(Sampling(presence_penalty=50.0), prompt).draw(_LOGITS) == 0
    assert Sampler(Sampling(repetition_penalty=50.0), prompt).draw(_LOGITS) == 1


def test_what_is_drawn_counts_only_once_accepted() -> None:
    sampler = Sampler(Sampling(presence_penalty=50.0))
    assert [sampler.draw(_LOGITS) for _ in range(3)] == [0, 0, 0]
    sampler.accept(3)  # a grammar's forced token
    sampler.accept(0)
    assert sampler.draw(_LOGITS) == 1


def test_penalties_leave_the_only_token_that_is_allowed() -> None:
    row = np.full(5, -np.inf, np.float32)
    row[2] = 1.0
    sampling = Sampling(temperature=1.0, repetition_penalty=1e38, dry=Dry(1e300, breakers=()))
    sampler = Sampler(sampling, [2] * 400)
    for _ in range(3):
        assert sampler.draw(row) == 2
        sampler.accept(2)


def test_dry_over_a_long_text_keeps_its_window() -> None:
    """More tokens than the first room holds, with and without a window."""
    tokens = np.random.default_rng(0).integers(0, 50, 5000).tolist()
    row = np.zeros(50, np.float32)
    for window in (0, 7, 3000):
        dry = Dry(allowed_length=1, window=window, breakers=())
        grown = Sampler(Sampling(dry=dry), tokens).adjusted(row)
        fresh = Sampler(Sampling(dry=dry), tokens[-window:]).adjusted(row)
        np.testing.assert_array_equal(grown, fresh)


def test_dry_breakers_need_the_bytes_of_tokens() -> None:
    with pytest.raises(InputError, match="nothing tells the bytes"):
        Sampler(Sampling(dry=Dry()))


def test_mirostat_learns_from_what_it_drew_alone() -> None:
    def kept(accepted: list[int]) -> int:
        mirostat = Mirostat(tau=1.0, eta=1.0)
        sampler = Sampler(Sampling(temperature=1.0, mirostat=mirostat))
        token = sampler.draw(_LOGITS)
        for other in accepted:
            sampler.accept(token if other < 0 else other)
        return len(sampler.distribution(_LOGITS)[0])

    assert kept([]) == kept([4, 4, 4])
    assert kept([-1]) != kept([])


def test_log_probabilities_with_alternatives() -> None:
    found = logprobs_of(_LOGITS, 2, 3)
    assert found.token == 2
    assert found.logprob == pytest.approx(math.log(0.2), abs=1e-6)
    assert [token for token, _ in found.alternatives] == [0, 1, 2]
    assert found.alternatives[2][1] == found.logprob
    assert logprobs_of(_LOGITS, 4).alternatives == ()
    assert len(logprobs_of(_LOGITS, 4, 100).alternatives) == 5
    with pytest.raises(InputError, match="ids are 0 to 4"):
        logprobs_of(_LOGITS, -1)


def test_log_probabilities_sum_to_one() -> None:
    logits = np.random.default_rng(0).standard_normal(500).astype(np.float32) * 10
    values = [log_probability(logits, token) for token in range(500)]
    assert math.fsum(map(math.exp, values)) == pytest.approx(1.0, abs=1e-5)
    assert log_probability(_LOGITS, 2) == pytest.approx(math.log(0.2), abs=1e-6)


def test_greedy_over_a_large_vocabulary_is_quick() -> None:
    logits = np.random.default_rng(0).standard_normal(152_000).astype(np.float32)
    sampler = Sampler(Sampling())
    times = []
    for _ in range(30):
        began = time.perf_counter()
        sampler.draw(logits)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.0003
