"""Every sampling setting against its formula, written slowly, and against llama.cpp's samplers."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragstack.engine import library
from ragstack.engine.library import llama
from ragstack.engine.mirostat import SurpriseControl
from ragstack.engine.model import Model
from ragstack.engine.sampling import Sampler
from ragstack.testing.tiny_model import TinyModel
from ragstack.types import Dry, Mirostat, Sampling

Shares = dict[int, float]
Row = NDArray[np.float32]

_SEEDS = range(4)


def rows(seed: int) -> Row:
    random = np.random.default_rng(seed)
    size = (7, 300, 5000, 5000)[seed]
    row = random.normal(0.0, (1.0, 2.5, 3.0, 0.5)[seed], size).astype(np.float32)
    if seed == 2:
        row[:3000] = -np.inf  # as a grammar would
    return row


def ours(sampling: Sampling, row: Row, history: Sequence[int] = ()) -> Shares:
    sampler = Sampler(sampling, piece=lambda token: b"")
    for token in history:
        sampler.accept(token)
    tokens, shares = sampler.distribution(row)
    return dict(zip(tokens.tolist(), shares.tolist(), strict=True))


# The formulas, in float64, one token at a time.


def softmax(logits: dict[int, float]) -> Shares:
    best = max(logits.values())
    weights = {token: math.exp(value - best) for token, value in logits.items()}
    total = math.fsum(weights.values())
    return {token: weight / total for token, weight in weights.items() if weight > 0.0}


def some(shares: Shares, kept: set[int]) -> Shares:
    total = math.fsum(share for token, share in shares.items() if token in kept)
    return {token: share / total for token, share in shares.items() if token in kept}


def until(order: list[int], shares: Shares, mass: float) -> set[int]:
    kept: set[int] = set()
    for token in order:
        kept.add(token)
        if math.fsum(shares[t] for t in kept) >= mass:
            break
    return kept


def slowly(sampling: Sampling, row: Row) -> Shares:
    """Return what the docstring of sampling.py promises."""
    logits = {token: float(value) for token, value in enumerate(row)}
    if sampling.top_k:
        best = sorted(logits, key=lambda token: -logits[token])[: sampling.top_k]
        logits = {token: logits[token] for token in best}
    shares = softmax({t: value / sampling.temperature for t, value in logits.items()})
    if sampling.typical_p < 1.0:
        entropy = -math.fsum(p * math.log(p) for p in shares.values())
        nearest = sorted(shares, key=lambda t: abs(-math.log(shares[t]) - entropy))
        shares = some(shares, until(nearest, shares, sampling.typical_p))
    if sampling.top_p < 1.0:
        likeliest = sorted(shares, key=lambda token: -shares[token])
        shares = some(shares, until(likeliest, shares, sampling.top_p))
    least = sampling.min_p * max(shares.values())
    return some(shares, {token for token, share in shares.items() if share >= least})


def alike(found: Shares, expected: Shares) -> None:
    """At the very edge of a cut rounding may keep or drop a token or two."""
    edge = set(found) ^ set(expected)
    assert len(edge) <= max(2, len(expected) // 1000), sorted(edge)[:10]
    for token in set(found) & set(expected):
        assert found[token] == pytest.approx(expected[token], rel=2e-3, abs=1e-9)


CUTS = [
    Sampling(temperature=1.0),
    Sampling(temperature=0.3),
    Sampling(temperature=1.7),
    Sampling(temperature=1.0, top_k=5),
    Sampling(temperature=0.7, top_k=40),
    Sampling(temperature=1.0, top_k=2000),
    Sampling(temperature=1.0, top_p=0.1),
    Sampling(temperature=1.0, top_p=0.9),
    Sampling(temperature=0.5, top_p=0.99),
    Sampling(temperature=1.0, min_p=0.05),
    Sampling(temperature=1.3, min_p=0.3),
    Sampling(temperature=1.0, min_p=1.0),
    Sampling(temperature=1.0, typical_p=0.2),
    Sampling(temperature=1.0, typical_p=0.9),
    Sampling(temperature=0.8, top_k=50, typical_p=0.9, top_p=0.9, min_p=0.05),
]


@pytest.mark.parametrize("seed", _SEEDS)
@pytest.mark.parametrize("sampling", CUTS, ids=str)
def test_cuts_are_those_of_the_formulas(sampling: Sampling, seed: int) -> None:
    row = rows(seed)
    alike(ours(sampling, row), slowly(sampling, row))


# llama.cpp


@pytest.fixture(scope="module", autouse=True)
def started() -> None:
    library.start()


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    model = Model(TinyModel().write(tmp_path_factory.mktemp("sampling") / "tiny.gguf"))
    yield model.vocabulary.handle
    model.close()


def theirs(make: Sequence[Callable[[], int]], row: Row, history: Sequence[int] = ()) -> Shares:
    """Return what a chain of llama.cpp's samplers leaves of a row."""
    data = (llama.llama_token_data * len(row))()
    for token, value in enumerate(row.tolist()):
        data[token].id, data[token].logit = token, value
    array = llama.llama_token_data_array(data, len(row), -1, False)
    for maker in make:
        sampler = maker()
        for token in history:
            llama.llama_sampler_accept(sampler, token)
        llama.llama_sampler_apply(sampler, ctypes.byref(array))
        llama.llama_sampler_free(sampler)
    return softmax({array.data[i].id: array.data[i].logit for i in range(array.size)})


def chain(sampling: Sampling) -> list[Callable[[], int]]:
    made: list[Callable[[], int]] = []
    if sampling.top_k:
        made.append(lambda: llama.llama_sampler_init_top_k(sampling.top_k))
    made.append(lambda: llama.llama_sampler_init_temp(sampling.temperature))
    if sampling.typical_p < 1.0:
        made.append(lambda: llama.llama_sampler_init_typical(sampling.typical_p, 1))
    if sampling.top_p < 1.0:
        made.append(lambda: llama.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p:
        made.append(lambda: llama.llama_sampler_init_min_p(sampling.min_p, 1))
    return made


# Where tokens are forbidden, llama.cpp's entropy is not a number: 0 * log 0.
@pytest.mark.parametrize(
    ("sampling", "seed"),
    [(s, seed) for s in CUTS for seed in _SEEDS if s.typical_p == 1.0 or seed != 2],
    ids=str,
)
def test_cuts_are_those_of_llama_cpp(sampling: Sampling, seed: int) -> None:
    row = rows(seed)
    alike(ours(sampling, row), theirs(chain(sampling), row))


@pytest.mark.parametrize(
    ("repetition", "window", "frequency", "presence"),
    [(1.3, 0, 0.0, 0.0), (1.3, 3, 0.0, 0.0), (0.8, 5, 0.0, 0.0), (1.1, 0, 0.4, 0.7)],
)
def test_penalties_are_those_of_llama_cpp(
    repetition: float, window: int, frequency: float, presence: float
) -> None:
    row, history = rows(1), [1, 2, 2, 250, 7, 1, 2, 9]
    sampling = Sampling(
        temperature=1.0,
        repetition_penalty=repetition,
        repetition_window=window,
        frequency_penalty=frequency,
        presence_penalty=presence,
    )
    made = lambda: llama.llama_sampler_init_penalties(  # noqa: E731
        len(row), window or 64, repetition, frequency, presence
    )
    alike(ours(sampling, row, history), theirs([made], row, history))


def dry_sampler(vocabulary: int, dry: Dry) -> Callable[[], int]:
    breakers = (ctypes.c_char_p * 1)()
    return lambda: llama.llama_sampler_init_dry(
        vocabulary, dry.multiplier, dry.base, dry.allowed_length, dry.window or 4096, breakers, 0
    )


@settings(max_examples=60, deadline=None)
@given(
    history=st.lists(st.integers(0, 3), max_size=40),
    allowed=st.integers(1, 4),
    window=st.sampled_from([0, 5, 17]),
)
def test_dry_is_that_of_llama_cpp(
    vocabulary: int, history: list[int], allowed: int, window: int
) -> None:
    dry = Dry(multiplier=0.2, base=1.2, allowed_length=allowed, window=window, breakers=())
    row = rows(0)
    found = ours(Sampling(temperature=1.0, dry=dry), row, history)
    alike(found, theirs([dry_sampler(vocabulary, dry)], row, history))


def slow_costs(dry: Dry, history: Sequence[int], pieces: Sequence[str]) -> Shares:
    """Return DRY's penalties by comparing the end of the text with every place."""
    window = list(history[-dry.window :] if dry.window else history)
    ends = [0]  # the tokens that were there when a breaker's last sign came
    for count in range(1, len(history) + 1):
        before = len("".join(pieces[token] for token in history[: count - 1]))
        text = "".join(pieces[token] for token in history[:count])
        if any(text.rfind(b) + len(b) > before for b in dry.breakers if b in text):
            ends.append(count)
    since = len(history) - ends[-1]
    costs: Shares = {}
    for place in range(len(window) - 1):
        length = 0
        while (
            length < since
            and length <= place
            and window[place - length] == window[len(window) - 1 - length]
        ):
            length += 1
        token = window[place + 1]
        if length >= dry.allowed_length and not any(b in pieces[token] for b in dry.breakers):
            cost = dry.multiplier * dry.base ** (length - dry.allowed_length)
            costs[token] = max(costs.get(token, 0.0), cost)
    return costs


@settings(max_examples=200, deadline=None)
@given(
    history=st.lists(st.integers(0, 4), max_size=60),
    allowed=st.integers(1, 3),
    window=st.sampled_from([0, 4, 25]),
    breakers=st.sampled_from([(), ("\n",), ("ab",), ("ba", "\n", "caab")]),
)
def test_dry_with_breakers_is_that_of_the_formula(
    history: list[int], allowed: int, window: int, breakers: tuple[str, ...]
) -> None:
    pieces = ["a", "b", "ca", "x\ny", "z"]
    dry = Dry(allowed_length=allowed, window=window, breakers=breakers)
    sampler = Sampler(Sampling(dry=dry), history, piece=lambda token: pieces[token].encode())
    lost = -sampler.adjusted(np.zeros(5, np.float32))
    expected = slow_costs(dry, history, pieces)
    assert lost.tolist() == pytest.approx([expected.get(token, 0.0) for token in range(5)])


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tau", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("seed", _SEEDS)
def test_mirostat_begins_like_llama_cpp(version: int, tau: float, seed: int) -> None:
    row = rows(seed)
    make: dict[int, Callable[[], int]] = {
        1: lambda: llama.llama_sampler_init_mirostat(len(row), 1, tau, 0.1, min(100, len(row))),
        2: lambda: llama.llama_sampler_init_mirostat_v2(1, tau, 0.1),
    }
    mirostat = Mirostat(version=1 if version == 1 else 2, tau=tau)
    found = ours(Sampling(temperature=1.0, mirostat=mirostat), row)
    alike(found, theirs([make[version]], row))


def test_mirostat_follows_its_target() -> None:
    """The mean surprise of many draws is the target, where the distribution can give it."""
    row = np.random.default_rng(5).normal(0.0, 3.0, 5000).astype(np.float32)
    full = softmax(dict(enumerate(row.astype(float).tolist())))
    for version in (1, 2):
        mirostat = Mirostat(version=1 if version == 1 else 2, tau=4.0, eta=0.1)
        sampler = Sampler(Sampling(temperature=1.0, mirostat=mirostat))
        surprises = []
        for _ in range(400):
            token = sampler.draw(row)
            sampler.accept(token)
            surprises.append(-math.log2(full[token]))
        assert np.mean(surprises[50:]) == pytest.approx(4.0, abs=0.25)


def test_mirostat_of_a_zipf_law_has_its_exponent() -> None:
    """Of p ~ rank ** -1.5 the fit is exact: k follows from the paper's formula."""
    size, limit, exponent = 2000, 4.0, 1.5
    weights = np.arange(1, size + 1) ** -exponent
    control = SurpriseControl(Mirostat(version=1, tau=limit / 2))
    excess = exponent - 1
    k = (excess * 2**limit / (1 - size**-excess)) ** (1 / exponent)
    assert len(control.cut(weights, float(weights.sum())).kept()) == int(k)


def test_logit_bias_is_that_of_llama_cpp() -> None:
    row = rows(1)
    bias = {3: 2.5, 250: -4.0, 9: -math.inf}
    made = (llama.llama_logit_bias * 3)(*(llama.llama_logit_bias(t, v) for t, v in bias.items()))
    sampler = lambda: llama.llama_sampler_init_logit_bias(len(row), 3, made)  # noqa: E731
    found = ours(Sampling(temperature=1.0, logit_bias=bias), row)
    alike(found, theirs([sampler], row))
    assert 9 not in found


def test_a_broken_formula_would_be_seen() -> None:
    with pytest.raises(AssertionError):
        alike(ours(CUTS[7], rows(1)), slowly(CUTS[6], rows(1)))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("tau", "spread"), [(0.01, 0.0), (16.0, 9.0)])
def test_mirostat_with_a_target_out_of_reach_goes_on(
    version: int, tau: float, spread: float
) -> None:
    """A limit that runs away cuts nothing, or all but the best, and overflows nowhere."""
    row = np.random.default_rng(0).normal(0.0, spread, 5000).astype(np.float32)
    mirostat = Mirostat(version=1 if version == 1 else 2, tau=tau, eta=1.0)
    sampler = Sampler(Sampling(temperature=1.0, mirostat=mirostat))
    for _ in range(300):
        sampler.accept(sampler.draw(row))
    assert len(sampler.distribution(row)[0]) in range(1, 5001)
