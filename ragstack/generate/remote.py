"""Messages in, Deltas out, by a service behind HTTP: OpenAI's chat dialect, or Anthropic's."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from ragstack.engine.sampling import check_sampling
from ragstack.errors import (
    ConfigError,
    ContextOverflow,
    InputError,
    RemoteError,
    UnsupportedCapability,
)
from ragstack.generate import anthropic, presets, settings, wire
from ragstack.generate.connection import Connection, Refused, Timeouts
from ragstack.generate.prices import Prices
from ragstack.generate.reply import Reply
from ragstack.generate.routing import Endpoint, Router
from ragstack.generate.sse import events
from ragstack.http import OpenStream
from ragstack.protocols import Capabilities
from ragstack.types import Delta, Grammar, Message, Money, Sampling, ToolSpec, Usage, images_of

__all__ = ["RemoteGenerator"]

_logger = logging.getLogger(__name__)

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
# Bytes of a token: English has 4.5, French 3.7, code 3, Chinese 2.5 to 3. Too low a number counts
# too many tokens, and that is the safe side.
_BYTES_PER_TOKEN = 3
_MESSAGE_TOKENS = 5
_IMAGE_TOKENS = 1_600  # what services count a large image as, or less
_MOST_SIGNATURES = 1000  # of tool calls of late; some kB each
# Settings a model may refuse; an answer can be had without them. In the order they are given up.
_SPARED = ("min_p", "top_k", "top_p", "random_seed", "seed", "stream_options", "temperature")
_REFUSAL = re.compile(
    r"support|deprecat|unknown|unrecogni|unexpected|extra|permitted|not allowed|no longer"
    r"|cannot both|not accept|not available"
)
_MILD_ERRORS = ("invalid", "authentication", "permission", "not_found", "billing")


@dataclass(kw_only=True, eq=False)
class RemoteGenerator:
    """A Generator behind HTTP. Servers show no tokens: it counts by estimate, on the high side.

    Attributes:
        model: Its name on the server.
        url: Address up to ``/v1``, or several of the same service; a preset has its own.
        preset: ``openai``, ``azure``, ``anthropic``, ``mistral``, ``google``, ``ollama``, ``vllm``,
            ``llama-server``, ``lm-studio``; empty is any server that speaks OpenAI's dialect.
        key: ``{ env = "NAME" }``, the environment variable that holds the key; a preset's own
            variable is read where its own address is asked.
        context_size: Tokens of the model's window.
        timeout_s: Longest silence of the server.
        connect_timeout_s: Longest wait for a connection.
        total_timeout_s: Longest time the server may take for an answer once it has begun; what
            the reader takes between two pieces does not count.
        retries: How often a request is sent again before its first delta has come.
        omit: Names of settings that are not sent, such as ``temperature``.
        streams: How many requests the service takes at once, for callers that ask.
        prices: Rows that go before those of the price table.
        allow_private: Send messages marked private too; to an address on this machine they go
            always.
    """

    model: str
    url: str | Sequence[str] = ""
    preset: str = ""
    key: Mapping[str, str] | None = None
    context_size: int = 8192
    timeout_s: float = 120.0
    connect_timeout_s: float = 10.0
    total_timeout_s: float = 900.0
    retries: int = 3
    omit: Sequence[str] = ()
    streams: int = 8
    prices: Sequence[Mapping[str, Any]] = ()
    allow_private: bool = False

    def __post_init__(self) -> None:
        """Check the options; nothing is sent yet.

        Raises:
            ConfigError: One of them cannot be used.
        """
        self._check_numbers()
        self._service = presets.preset(self.preset)
        urls = _addresses(self.url, self._service)
        keys = {presets.key_of(self._service, self.key, url) for url in urls}
        if len(keys) > 1:
            raise ConfigError(
                f"the key of the preset {self.preset!r} belongs to one of the addresses alone",
                hint='say that all shall have it: key = { env = "NAME" }',
            )
        timeouts = Timeouts(self.connect_timeout_s, self.timeout_s, self.total_timeout_s)
        self._connection = Connection(self._service, self.model, timeouts, keys.pop())
        self._router = Router(urls, self._connection.healthy)
        self._prices = Prices.read(self.prices)
        self._omitted = frozenset(self.omit)
        self._signatures: Mapping[str, str] = {}

    def _check_numbers(self) -> None:
        for name, value, good, expected in (
            ("model", self.model, bool(self.model), "the name of a model"),
            ("context_size", self.context_size, self.context_size >= 1, "1 or more"),
            ("timeout_s", self.timeout_s, self.timeout_s > 0, "above 0"),
            ("connect_timeout_s", self.connect_timeout_s, self.connect_timeout_s > 0, "above 0"),
            ("total_timeout_s", self.total_timeout_s, self.total_timeout_s > 0, "above 0"),
            ("retries", self.retries, self.retries >= 0, "0 or more"),
            ("streams", self.streams, self.streams >= 1, "1 or more"),
            ("omit", self.omit, not isinstance(self.omit, str), "a list of names"),
        ):
            if not good:
                raise ConfigError(f"{name} is {value!r}, expected {expected}")

    @property
    def name(self) -> str:
        """The model's name on its server."""
        return self.model

    @property
    def capabilities(self) -> Capabilities:
        """Tools, JSON schemas and images, as far as the server and its model honour them."""
        return Capabilities(
            grammars=frozenset({"json_schema"}), tools=True, images=True, streams=self.streams
        )

    @property
    def stays_here(self) -> bool:
        """Every address is on this machine."""
        return all(presets.is_near(endpoint.url) for endpoint in self._router.endpoints)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses, how busy they are and whether they rest."""
        return self._router.endpoints

    def health(self) -> dict[str, bool]:
        """Ask every address now whether it answers."""
        return {e.url: self._connection.healthy(e.url) for e in self._router.endpoints}

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return an estimate of the prompt's length that is rather too high than too low."""
        return sum(
            _MESSAGE_TOKENS
            + _tokens(message.text)
            + _IMAGE_TOKENS * len(images_of(message))
            + sum(_tokens(call.name + str(call.arguments)) for call in message.tool_calls)
            for message in messages
        )

    def cost(self, usage: Usage) -> Money | None:
        """Return the money an answer of this model took, None where no price is known."""
        return self._prices.cost(self.model, usage)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        """Yield the answer as it comes; closing the iterator closes the connection.

        Raises:
            ContextOverflow: By the estimate, prompt and ``max_tokens`` do not fit.
            UnsupportedCapability: Images, settings the service lacks, a grammar other than a JSON
                schema, or a message marked private that would leave this machine.
            RemoteError: The server answers with an error, or not at all.
        """
        check_sampling(sampling)
        if not messages:
            raise InputError("there are no messages to answer")
        self._check_private(messages)
        ask = wire.Ask(messages, sampling, tools, grammar, self._signatures)
        more = settings.fields(sampling, self._service, self._omitted)
        if self._service.dialect == "anthropic":  # it writes the two cuts it knows itself
            request = anthropic.body(self.model, ask)
        else:
            request = {**wire.body(self.model, ask, self._service), **more}
        prompt = self.count_tokens(messages) + sum(
            _tokens(tool.name + tool.description + str(tool.parameters)) for tool in tools
        )
        if prompt + sampling.max_tokens > self.context_size:
            raise ContextOverflow(
                f"the prompt has about {prompt} tokens and the answer may have "
                f"{sampling.max_tokens}, the window holds {self.context_size}",
                hint="shorten the prompt, or set context_size to the model's own window",
            )
        return self._deltas(request, sampling.stop, prompt)

    def _check_private(self, messages: Sequence[Message]) -> None:
        if self.allow_private or self.stays_here:
            return
        for number, message in enumerate(messages, 1):
            if message.private:
                raise UnsupportedCapability(
                    f"message {number} is marked private, and {self.name!r} is not on this machine",
                    hint="use a local generator, or say allow_private = true of this one",
                )

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._connection.close()

    def __enter__(self) -> RemoteGenerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _deltas(
        self, request: Mapping[str, Any], stop: Sequence[str], prompt: int
    ) -> Iterator[Delta]:
        """Yield the deltas of the first try that brings any; what has begun is never begun anew."""
        began = time.perf_counter()
        left, wait, passed = self.retries, _FIRST_WAIT_S, set[str]()
        while True:
            shown = False
            endpoint = self._router.take(passed)
            try:
                for delta in self._once(
                    endpoint, request, Reply(stop, logprobs="logprobs" in request), (prompt, began)
                ):
                    shown = True
                    yield delta
                return
            except RemoteError as error:
                if shown:
                    raise _broken(error) from error
                if self._spares(error, request):
                    continue
                if error.retryable:
                    wanted = error.wait_s if isinstance(error, Refused) else 0.0
                    self._router.failed(endpoint, wanted)
                if not error.retryable or left == 0 or _too_long(error):
                    raise
                passed.add(endpoint.url)
                pause = 0.0 if self._router.another(passed) else _pause(error, wait)
            finally:
                self._router.give_back(endpoint)
            if pause:
                time.sleep(pause)
                passed.clear()
                wait *= 2
            left -= 1

    def _once(
        self,
        endpoint: Endpoint,
        request: Mapping[str, Any],
        reply: Reply,
        known: tuple[int, float],
    ) -> Iterator[Delta]:
        """Yield the deltas of one try at one address."""
        kept = {name: value for name, value in request.items() if name not in self._omitted}
        stream, whole = OpenStream(self._connection.open(endpoint.url, kept)), False
        try:
            for event in events(self._connection.chunks(stream.pieces, endpoint.url)):
                delta = self._read(event, reply)
                if delta is not None:
                    yield delta
                if reply.over:
                    break
            whole = True
        finally:
            if whole:
                stream.close()
            else:
                stream.leave()
        yield from reply.rest()
        self._router.succeeded(endpoint)
        if self._service.signed_calls and reply.signatures:
            # A new mapping: another thread may be reading the old one.
            newest = [*{**self._signatures, **reply.signatures}.items()][-_MOST_SIGNATURES:]
            self._signatures = dict(newest)
        prompt, began = known
        last = reply.last(prompt, time.perf_counter() - began)
        if reply.usage is not None and last.usage is not None:  # an estimate has no price
            last = replace(last, usage=replace(last.usage, cost=self.cost(last.usage)))
        yield last

    def _read(self, event: Mapping[str, Any], reply: Reply) -> Delta | None:
        if event.get("error"):
            said = self._connection.shown(str(event["error"]))
            mild = any(mark in said.lower() for mark in _MILD_ERRORS)
            raise RemoteError(f"the server broke off: {said}", retryable=not mild)
        read = anthropic.read if self._service.dialect == "anthropic" else wire.read
        try:
            return read(event, reply)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            said = self._connection.shown(str(error))
            raise RemoteError(f"the server's event cannot be read: {said}") from error

    def _spares(self, error: RemoteError, request: Mapping[str, Any]) -> bool:
        """Give up a setting that the server says it does not take; True: ask again without it.

        Models differ within one service, and lists of them grow old: the server knows best.
        """
        if not isinstance(error, Refused) or error.status not in (400, 422):
            return False
        if not _REFUSAL.search(error.said.lower()):
            return False  # a value out of range is the caller's mistake
        for name in _SPARED:
            if name in request and name not in self._omitted and _names(error.said, name):
                _logger.warning(
                    "%s does not take %r and is asked without it: %s", self.model, name, error.said
                )
                self._omitted |= {name}
                return True
        return False


def _tokens(text: str) -> int:
    """Return an estimate of a text's tokens that is rather too high than too low."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def _addresses(url: str | Sequence[str], service: presets.Preset) -> list[str]:
    """Return the addresses to ask, without slashes at their ends."""
    urls = [url] if isinstance(url, str) else list(url)
    urls = [given for given in urls if given] or [service.url]
    for given in urls:
        try:
            parsed = httpx.URL(given)
            good = parsed.scheme in ("http", "https") and bool(urlsplit(given).hostname)
        except (httpx.InvalidURL, TypeError, ValueError):
            good = False
        if not good:
            raise ConfigError(
                f"url is {given!r}, expected an http or https address up to /v1",
                hint='url = "https://NAME.openai.azure.com/openai/v1"'
                if service.name == "azure"
                else "",
            )
        if parsed.userinfo:
            raise ConfigError("the url holds a user or password", hint='key = { env = "NAME" }')
    if len(set(urls)) < len(urls):
        raise ConfigError(f"url names an address twice: {urls!r}")
    return [given.rstrip("/") for given in urls]


def _names(said: str, name: str) -> bool:
    """Say whether a text names a setting, as a word of its own."""
    return re.search(rf"(?<![a-z_]){re.escape(name)}(?![a-z_])", said.lower()) is not None


def _broken(error: RemoteError) -> RemoteError:
    return RemoteError(
        f"the answer broke off half-way: {error.message}",
        hint=error.hint or "ask again; what has been shown is not the whole answer",
        retryable=error.retryable,
    )


def _too_long(error: RemoteError) -> bool:
    return isinstance(error, Refused) and error.wait_s > _LONGEST_WAIT_S


def _pause(error: RemoteError, wait: float) -> float:
    """Return how long to wait: what the server asks for, else half to all of the backoff.

    The spread keeps many clients that failed together from coming back together.
    """
    if isinstance(error, Refused) and error.wait_s:
        return error.wait_s
    return min(wait, _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)
