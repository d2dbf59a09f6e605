"""Sampling settings in, the fields that a service has for them out; what it lacks is refused.

A setting that would change the answer and cannot be sent is never dropped without a word. Seed and
``deterministic`` are: without them the answer is drawn from the same distribution. Knows no HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from ragstack.errors import UnsupportedCapability
from ragstack.generate.presets import Preset
from ragstack.types import Sampling, TokenLogprob

__all__ = ["fields", "logprobs_of"]

_NEVER = {"reasoning_tokens": None, "beams": 1}
# At temperature 0 the likeliest token is taken, whatever a cut leaves beside it.
_CUTS = ("top_k", "min_p", "typical_p", "mirostat")
_FORBIDDEN = -100.0  # OpenAI's least bias, which bans a token; JSON has no infinity


def fields(sampling: Sampling, service: Preset, omitted: Collection[str] = ()) -> dict[str, Any]:
    """Return the JSON fields of the settings that not every service has.

    Args:
        omitted: Names the user wants left out, whatever that changes.

    Raises:
        UnsupportedCapability: The service has no field for one that would change the answer.
    """
    made: dict[str, Any] = {}
    for name in _set(sampling):
        if name in omitted:
            continue
        if name not in service.takes:
            raise UnsupportedCapability(
                f"{service.name or 'this server'!r} has no setting for {name}, and without it the "
                "answer would be another",
                hint=f"leave {name} out of the sampling, or say omit = [{name!r}]",
            )
        made |= _written(name, sampling, service)
    return made


def _set(sampling: Sampling) -> list[str]:
    """Return the names of the settings that are on and matter."""
    off: dict[str, object] = {
        **{name: getattr(Sampling(), name) for name in _CUTS if sampling.temperature},
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "dry": None,
        "logit_bias": {},
        "logprobs": 0,
        **_NEVER,
    }
    return [name for name, value in off.items() if getattr(sampling, name) != value]


def _written(name: str, sampling: Sampling, service: Preset) -> dict[str, Any]:
    dry, mirostat = sampling.dry, sampling.mirostat
    if name == "logprobs":
        ids = {"return_tokens_as_token_ids": True} if service.name == "vllm" else {}
        return {"logprobs": True, "top_logprobs": sampling.logprobs, **ids}
    if name == "logit_bias":
        bias = sampling.logit_bias.items()
        return {name: {str(t): _FORBIDDEN if v == -math.inf else v for t, v in bias}}
    if name == "repetition_penalty":
        return _repetition(sampling, service)
    if name == "dry" and dry is not None:
        return {
            "dry_multiplier": dry.multiplier,
            "dry_base": dry.base,
            "dry_allowed_length": dry.allowed_length,
            "dry_penalty_last_n": dry.window or -1,
            "dry_sequence_breakers": list(dry.breakers),
        }
    if name == "mirostat" and mirostat is not None:
        return {
            "mirostat": mirostat.version,
            "mirostat_tau": mirostat.tau,
            "mirostat_eta": mirostat.eta,
        }
    return {name: getattr(sampling, name)}


def _repetition(sampling: Sampling, service: Preset) -> dict[str, Any]:
    """Return the repetition penalty: some services have a window of their own for it."""
    window, own = sampling.repetition_window, service.repetition_window
    if own is not None and window != own:
        raise UnsupportedCapability(
            f"repetition_window is {window!r}, and {service.name!r} looks back over "
            f"{own or 'all'} tokens",
            hint=f"set repetition_window={own}",
        )
    made = {service.repetition: sampling.repetition_penalty}
    return made if own is not None else {**made, "repeat_last_n": window or -1}


def logprobs_of(choice: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    """Return the log-probabilities in a piece of a reply, by the tokens' ids.

    Raises:
        TypeError, ValueError, KeyError, AttributeError: They have none, or other names.
    """
    told = (choice.get("logprobs") or {}).get("content") or ()
    return tuple(
        TokenLogprob(
            _id(one),
            float(one["logprob"]),
            tuple((_id(other), float(other["logprob"])) for other in one.get("top_logprobs") or ()),
        )
        for one in told
    )


def _id(told: Mapping[str, Any]) -> int:
    """Return a token's id: llama-server has a field for it, vLLM writes it for the text."""
    return int(told["id"] if "id" in told else str(told["token"]).removeprefix("token_id:"))
