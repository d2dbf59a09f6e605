"""Sampling settings in, a clear error out where they mean nothing. Knows no model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TypeGuard

from ragstack.errors import InputError
from ragstack.types import Dry, Mirostat, Sampling

__all__ = ["MOST_ALTERNATIVES", "MOST_BEAMS", "check_sampling"]

MOST_ALTERNATIVES = 100
MOST_BEAMS = 64
_MOST_BIAS = 1e30  # float32 ends not far beyond


@dataclass(frozen=True, slots=True)
class _Rule:
    """What one setting may be."""

    name: str
    whole: bool
    good: Callable[[float], bool]
    expected: str

    def check(self, settings: Sampling | Dry | Mirostat, place: str = "") -> None:
        value: object = getattr(settings, self.name)
        wrong = self.whole and not _is_whole(value)
        if wrong or not _is_number(value) or not self.good(value):
            noun = "a whole number" if self.whole else "a number"
            raise InputError(f"{place}{self.name} is {value!r}, expected {noun}, {self.expected}")


def _is_whole(value: object) -> TypeGuard[int]:
    # A boolean is an integer to Python, and a mistake here.
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _whole(name: str, least: int, most: float = math.inf) -> _Rule:
    upto = f"{least} or more" if math.isinf(most) else f"{least} to {most}"
    return _Rule(name, True, lambda value: least <= value <= most, upto)


def _within(name: str, low: float, high: float) -> _Rule:
    return _Rule(name, False, lambda value: low <= value <= high, f"{low:g} to {high:g}")


def _from(name: str, low: float) -> _Rule:
    return _Rule(name, False, lambda value: low <= value < math.inf, f"{low:g} or more")


def _above(name: str, high: float = math.inf) -> _Rule:
    expected = "above 0" if math.isinf(high) else f"above 0, at most {high:g}"
    return _Rule(name, False, lambda value: 0.0 < value <= high and value < math.inf, expected)


_RULES = (
    _whole("max_tokens", 0),
    _from("temperature", 0),
    _above("top_p", 1),
    _whole("top_k", 0),
    _within("min_p", 0, 1),
    _whole("seed", 0),
    _above("typical_p", 1),
    _above("repetition_penalty"),
    _whole("repetition_window", 0),
    # OpenAI's range is -2 to 2; a logit spans some tens.
    _within("presence_penalty", -100, 100),
    _within("frequency_penalty", -100, 100),
    _whole("logprobs", 0, MOST_ALTERNATIVES),
    _whole("beams", 1, MOST_BEAMS),
    _from("length_penalty", 0),
)
_DRY_RULES = (
    _above("multiplier"),
    _from("base", 1),
    _whole("allowed_length", 1),
    _whole("window", 0),
)
_MIROSTAT_RULES = (_whole("version", 1, 2), _above("tau"), _within("eta", 0, 1))
_CUTS: Mapping[str, float] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}
_MEMORIES: Mapping[str, float | None] = {
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "dry": None,
}


def check_sampling(sampling: Sampling, *, vocabulary: int | None = None) -> None:
    """Refuse settings that mean nothing.

    Args:
        vocabulary: Tokens there are; None where that is not known.

    Raises:
        InputError: One is out of range, or two cannot be had together.
    """
    for rule in _RULES:
        rule.check(sampling)
    _check_strings("stop", sampling.stop)
    if sampling.reasoning_tokens is not None:
        _whole("reasoning_tokens", 0).check(sampling)
    deterministic: object = sampling.deterministic
    if not isinstance(deterministic, bool):
        raise InputError(f"deterministic is {deterministic!r}, expected True or False")
    _check_bias(sampling.logit_bias, vocabulary)
    _check_dry(sampling.dry)
    _check_mirostat(sampling)
    _check_beams(sampling)


def _check_strings(name: str, given: object) -> None:
    if not isinstance(given, tuple) or not all(isinstance(s, str) and s for s in given):
        raise InputError(f"{name} is {given!r}, expected a tuple of strings, none empty")


def _check_bias(bias: object, vocabulary: int | None) -> None:
    if not isinstance(bias, Mapping):
        raise InputError(f"logit_bias is {bias!r}, expected a mapping of token ids to numbers")
    for token, value in bias.items():
        if not _is_whole(token) or token < 0:
            raise InputError(
                f"logit_bias has the token {token!r}, expected an id of the vocabulary, 0 or more"
            )
        if vocabulary is not None and token >= vocabulary:
            raise InputError(
                f"logit_bias has the token {token!r}, expected an id of the vocabulary, "
                f"0 to {vocabulary - 1}"
            )
        if not _is_number(value) or not (abs(value) <= _MOST_BIAS or value == -math.inf):
            raise InputError(
                f"logit_bias of the token {token!r} is {value!r}, expected a number "
                f"from {-_MOST_BIAS:g} to {_MOST_BIAS:g}, or minus infinity to forbid it"
            )


def _check_dry(dry: object) -> None:
    if dry is None:
        return
    if not isinstance(dry, Dry):
        raise InputError(f"dry is {dry!r}, expected ragstack.types.Dry or None")
    for rule in _DRY_RULES:
        rule.check(dry, "dry.")
    _check_strings("dry.breakers", dry.breakers)


def _check_mirostat(sampling: Sampling) -> None:
    mirostat: object = sampling.mirostat
    if mirostat is None:
        return
    if not isinstance(mirostat, Mirostat):
        raise InputError(f"mirostat is {mirostat!r}, expected ragstack.types.Mirostat or None")
    for rule in _MIROSTAT_RULES:
        rule.check(mirostat, "mirostat.")
    for name, off in _CUTS.items():
        value = getattr(sampling, name)
        if value != off:
            raise InputError(
                f"{name} is {value!r} beside mirostat, expected {off!r}: mirostat does the cutting"
            )
    if sampling.temperature == 0.0:
        raise InputError(
            "mirostat at temperature 0 has nothing to choose from, expected a temperature above 0",
            hint="temperature=1.0 leaves the distribution as it is",
        )


def _check_beams(sampling: Sampling) -> None:
    if sampling.beams == 1:
        return
    if sampling.temperature != 0.0:
        raise InputError(
            f"temperature is {sampling.temperature!r} with beams, expected 0: "
            "a beam search looks for the likeliest text and draws nothing"
        )
    for name, off in _MEMORIES.items():
        value = getattr(sampling, name)
        if value != off:
            raise InputError(
                f"{name} is {value!r} with beams, expected {off!r}: beams are compared by the "
                "model's own probabilities"
            )
