"""Drawing tokens: the right one when greedy, the right shares when not."""

from __future__ import annotations

import math
import time
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from ragstack.engine.sampling import Sampler, check_sampling, log_probability
from ragstack.errors import GenerationError, InputError
from ragstack.types import Sampling

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


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_tokens=-1),
        Sampling(temperature=-0.1),
        Sampling(temperature=math.inf),
        Sampling(temperature=math.nan),
        Sampling(top_p=0.0),
        Sampling(top_p=1.1),
        Sampling(top_k=-1),
        Sampling(min_p=1.5),
        Sampling(seed=-1),
        Sampling(stop=("",)),
        Sampling(stop="abc"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_mean_nothing_are_refused(sampling: Sampling) -> None:
    with pytest.raises(InputError):
        check_sampling(sampling)


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
