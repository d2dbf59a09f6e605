"""Messages in, Deltas out, by any server that speaks OpenAI's ``/v1/chat/completions``."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from ragstack.config import secret
from ragstack.engine.sampling import check_sampling
from ragstack.errors import ConfigError, ContextOverflow, InputError, RagstackError, RemoteError
from ragstack.generate.wire import EventReader, body, events
from ragstack.protocols import Capabilities
from ragstack.types import Delta, Grammar, Message, Sampling, ToolSpec

__all__ = ["RemoteGenerator"]

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_SHOWN = 300
# Bytes of a token: English has 4.5, French 3.7, code 3, Chinese 2.5 to 3. Too low a number counts
# too many tokens, and that is the safe side.
_BYTES_PER_TOKEN = 3
_MESSAGE_TOKENS = 5
_OVERFLOW_MARKS = ("context_length", "context length", "context window", "maximum context", "n_ctx")


class RemoteGenerator:
    """A Generator behind HTTP. Servers show no tokens: it counts by estimate, on the high side."""

    def __init__(
        self,
        *,
        url: str,
        model: str,
        key: Mapping[str, str] | None = None,
        context_size: int = 8192,
        timeout_s: float = 120.0,
        retries: int = 3,
    ) -> None:
        """Choose a server and a model of its; nothing is sent yet.

        Args:
            url: Address up to ``/v1``.
            key: ``{ env = "NAME" }``, the environment variable that holds the key.
            context_size: Tokens of the model's window.
            timeout_s: Longest silence of the server.
            retries: How often a request is sent again before its first delta has come.

        Raises:
            ConfigError: One of them cannot be used.
        """
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"url is {url!r}, expected an http or https address up to /v1")
        if context_size < 1 or timeout_s <= 0 or retries < 0:
            raise ConfigError(
                f"context_size={context_size}, timeout_s={timeout_s}, retries={retries}: "
                "expected at least 1, above 0, and 0"
            )
        token = secret(key)
        self._url = url.rstrip("/")
        self._model = model
        self._context_size = context_size
        self._retries = retries
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )

    @property
    def name(self) -> str:
        """The model's name on its server."""
        return self._model

    @property
    def context_size(self) -> int:
        """Tokens of the window, as configured."""
        return self._context_size

    @property
    def capabilities(self) -> Capabilities:
        """Tools and JSON schemas, as far as the server and its model honour them."""
        return Capabilities(grammars=frozenset({"json_schema"}), tools=True)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return an estimate of the prompt's length that is rather too high than too low."""
        return sum(
            -(-len(message.text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN) + _MESSAGE_TOKENS
            for message in messages
        )

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
            UnsupportedCapability: Images, or a grammar other than a JSON schema.
            RemoteError: The server answers with an error, or not at all.
        """
        check_sampling(sampling)
        if not messages:
            raise InputError("there are no messages to answer")
        request = body(self._model, messages, sampling=sampling, tools=tools, grammar=grammar)
        prompt = self.count_tokens(messages)
        if prompt + sampling.max_tokens > self._context_size:
            raise ContextOverflow(
                f"the prompt has about {prompt} tokens and the answer may have "
                f"{sampling.max_tokens}, the window holds {self._context_size}",
                hint="shorten the prompt, or set context_size to the model's own window",
            )
        return self._deltas(request, EventReader(sampling.stop), prompt)

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._client.close()

    def __enter__(self) -> RemoteGenerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _deltas(
        self, request: Mapping[str, Any], reader: EventReader, prompt: int
    ) -> Iterator[Delta]:
        began = time.perf_counter()
        response = self._send(request)
        try:
            for event in events(response.iter_lines()):
                delta = reader.push(event)
                if delta is not None:
                    yield delta
                if reader.stops.stopped:
                    break
        except httpx.HTTPError as error:
            raise self._translated(error) from error
        finally:
            response.close()
        yield from reader.rest()
        yield reader.last(prompt, time.perf_counter() - began)

    def _send(self, request: Mapping[str, Any]) -> httpx.Response:
        """Return the open response, after as many tries as are allowed."""
        left, wait = self._retries, _FIRST_WAIT_S
        while True:
            try:
                return self._send_once(request)
            except RemoteError as error:
                if not error.retryable or left == 0:
                    raise
                time.sleep(min(_wanted_wait(error) or wait, _LONGEST_WAIT_S))
            left, wait = left - 1, wait * 2

    def _send_once(self, request: Mapping[str, Any]) -> httpx.Response:
        try:
            response = self._client.send(
                self._client.build_request("POST", f"{self._url}/chat/completions", json=request),
                stream=True,
            )
            if response.is_success:
                return response
            try:
                text = response.read().decode("utf-8", "replace")
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise self._translated(error) from error
        raise self._refused(response, text)

    def _refused(self, response: httpx.Response, text: str) -> RagstackError:
        """Return the error for a status that is none of success."""
        said = _reason(text)
        status = response.status_code
        if status in (400, 413) and any(mark in text.lower() for mark in _OVERFLOW_MARKS):
            return ContextOverflow(f"{self._url} says the prompt is too long: {said}")
        hints = {
            401: 'check the key: key = { env = "NAME" }',
            403: 'check the key: key = { env = "NAME" }',
            404: f"check the url, and that the server has the model {self._model!r}",
        }
        error = RemoteError(
            f"{self._url} answered {status}: {said}",
            hint=hints.get(status, ""),
            retryable=status in _RETRIED,
        )
        error.__cause__ = httpx.HTTPStatusError(said, request=response.request, response=response)
        return error

    def _translated(self, error: httpx.HTTPError) -> RemoteError:
        reason = str(error) or type(error).__name__
        return RemoteError(
            f"{self._url} cannot be reached or fell silent: {reason}",
            hint="is the server running?",
            retryable=True,
        )


def _reason(text: str) -> str:
    """Return the message of an error in OpenAI's form, or the text itself."""
    try:
        error = json.loads(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)[:_SHOWN]
    except (ValueError, KeyError, TypeError):
        return text.strip()[:_SHOWN] or "no reason given"


def _wanted_wait(error: RemoteError) -> float:
    """Return the seconds a server asks to wait in ``Retry-After``, 0 where it does not."""
    cause = error.__cause__
    if not isinstance(cause, httpx.HTTPStatusError):
        return 0.0
    value = cause.response.headers.get("retry-after", "")
    try:
        return max(float(value), 0.0)
    except ValueError:
        moment = email.utils.parsedate_tz(value)
        return max(email.utils.mktime_tz(moment) - time.time(), 0.0) if moment else 0.0
