"""Names of services to what differs between them: address, key, dialect, names of settings.

Knows no HTTP. Field names are those of each service's public API reference, read in November 2026.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from ragstack.config import secret
from ragstack.errors import ConfigError
from ragstack.types.hosts import is_loopback

__all__ = ["PRESETS", "Preset", "is_near", "key_of", "preset"]

Dialect = Literal["openai", "anthropic"]

_STANDARD = frozenset({"seed", "stream_options", "presence_penalty", "frequency_penalty"})
_OPENAI = _STANDARD | {"logit_bias"}
_VLLM = _OPENAI | {"top_k", "min_p", "repetition_penalty", "logprobs"}
_LLAMA = _VLLM | {"typical_p", "dry", "mirostat"}


@dataclass(frozen=True, slots=True)
class Preset:
    """How to speak to one service.

    Attributes:
        url: Address up to the version; empty where every user has an address of their own.
        key_env: Environment variable that holds the key; empty where no key is asked for.
        key_needed: Without a key the service answers nothing.
        key_header: ``Authorization`` carries ``Bearer KEY``, any other header the key alone.
        tokens: Its name for the most tokens of an answer.
        seed: Its name for the seed.
        takes: Settings it takes of those that not every service does, by the names of ``Sampling``.
            ``logprobs`` stands there only where it tells the ids of tokens.
        repetition: Its name for the repetition penalty.
        repetition_window: What it looks back over for that, 0 for all; None is as the request says.
        short_ids: Ids of tool calls are nine letters or digits.
        signed_calls: Its models sign their tool calls and want the signature back.
    """

    name: str
    url: str = ""
    key_env: str = ""
    key_needed: bool = False
    key_header: str = "Authorization"
    dialect: Dialect = "openai"
    tokens: str = "max_tokens"
    seed: str = "seed"
    takes: frozenset[str] = _STANDARD
    repetition: str = "repeat_penalty"
    repetition_window: int | None = None
    short_ids: bool = False
    signed_calls: bool = False


# What a server without a preset is taken for: everything is sent, as its maker may know it.
PLAIN = Preset("", takes=_LLAMA)

PRESETS: Mapping[str, Preset] = {
    found.name: found
    for found in (
        Preset(
            "openai",
            "https://api.openai.com/v1",
            "OPENAI_API_KEY",
            key_needed=True,
            tokens="max_completion_tokens",
            takes=_OPENAI,
        ),
        Preset(
            "azure",
            key_env="AZURE_OPENAI_API_KEY",
            key_needed=True,
            key_header="api-key",
            tokens="max_completion_tokens",
            takes=_OPENAI,
        ),
        Preset(
            "anthropic",
            "https://api.anthropic.com/v1",
            "ANTHROPIC_API_KEY",
            key_needed=True,
            key_header="x-api-key",
            dialect="anthropic",
            takes=frozenset({"top_k"}),
        ),
        # Mistral refuses fields it does not know; usage stands in its last event unasked.
        Preset(
            "mistral",
            "https://api.mistral.ai/v1",
            "MISTRAL_API_KEY",
            key_needed=True,
            seed="random_seed",
            takes=_STANDARD - {"stream_options"},
            short_ids=True,
        ),
        Preset(
            "google",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "GEMINI_API_KEY",
            key_needed=True,
            takes=frozenset({"stream_options"}),
            signed_calls=True,
        ),
        Preset("ollama", "http://127.0.0.1:11434/v1"),
        Preset(
            "vllm",
            "http://127.0.0.1:8000/v1",
            "VLLM_API_KEY",
            takes=_VLLM,
            repetition="repetition_penalty",
            repetition_window=0,
        ),
        Preset("llama-server", "http://127.0.0.1:8080/v1", "LLAMA_API_KEY", takes=_LLAMA),
        Preset(
            "lm-studio",
            "http://127.0.0.1:1234/v1",
            takes=_OPENAI | {"top_k", "repetition_penalty"},
            repetition_window=64,
        ),
    )
}


def preset(name: str) -> Preset:
    """Return a service by its name; the empty name is any server that speaks OpenAI's dialect.

    Raises:
        ConfigError: There is none; the message lists those there are.
    """
    if not name:
        return PLAIN
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        raise ConfigError(
            f"no preset is named {name!r}; known: {', '.join(PRESETS)}",
            hint=f"did you mean {near[0]!r}?" if near else "",
        )
    return PRESETS[name]


def key_of(service: Preset, key: Mapping[str, str] | None, url: str) -> str:
    """Return the key to send, or an empty string.

    A service's own variable is read only where the service's own address is asked (or where it has
    none): a key is never sent to a host that its owner did not give it for.

    Raises:
        ConfigError: A key is needed and not there, or cannot stand in a header.
    """
    if key is not None:
        found, variable = secret(key) or "", str(key["env"])
    elif service.key_env and (not service.url or url.rstrip("/") == service.url):
        found, variable = os.environ.get(service.key_env, ""), service.key_env
        if service.key_needed and not found.strip():
            raise ConfigError(
                f"the preset {service.name!r} needs a key, {variable!r} is not set",
                hint=f'set {variable}, or name another variable: key = {{ env = "NAME" }}',
            )
    else:
        return ""
    found = found.strip()
    # A vendor's error about a bad header would show the key, so it is looked at here.
    if not all("!" <= sign <= "~" for sign in found):
        raise ConfigError(f"the key in {variable!r} holds signs that no key has")
    return found


def is_near(url: str) -> bool:
    """Say whether an address is on this machine: what is sent there does not leave it."""
    return is_loopback(urlsplit(url).hostname or "")
