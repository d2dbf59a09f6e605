"""Messages in, Deltas out, by a local generator in a process of its own.

llama.cpp ends its whole process when it meets what it did not expect. Here that is another one: the
requests in flight get a retryable error that names the cause, the next request starts a new
process, and nothing else is lost. One that nobody used for a while gives its memory back.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ragstack import models
from ragstack.engine.engine import EngineStats
from ragstack.engine.projector_file import AUTO
from ragstack.engine.waiting import Priority
from ragstack.errors import InputError
from ragstack.generate.isolated_process import Home
from ragstack.generate.local import LocalGenerator
from ragstack.protocols import Capabilities
from ragstack.types import Delta, Grammar, Influence, Message, PromptPart, Sampling, Span, ToolSpec

__all__ = ["IsolatedGenerator"]


class IsolatedGenerator:
    """A Generator, Scorer and TokenCounter over llama.cpp, safe from its death.

    The process starts with the first request, and again with the first one after its end.
    """

    def __init__(  # noqa: PLR0913 (each is an option of the configuration)
        self,
        *,
        model: str = models.DEFAULT,
        context_size: int = 8192,
        threads: int = 0,
        gpu_layers: int = -1,
        streams: int = 8,
        speculate: bool = True,
        draft: str = "",
        adapters: Mapping[str, str] | None = None,
        cache_type: str = "f16",
        flash_attention: str = "auto",
        full_window: bool = True,
        projector: str = AUTO,
        idle_s: float = 0.0,
    ) -> None:
        """Find the model and read its metadata.

        Args:
            model: A name, or the path of a GGUF file.
            context_size: Tokens of the window; a model's own window is the most it can have.
            threads: 0 is what `ragstack models tune` found best, else one for each physical core.
            gpu_layers: Layers on a GPU where llama.cpp was built for one; -1 is all.
            streams: Requests at work at once; more wait their turn.
            speculate: Guess ahead what the prompt holds, where that is quicker.
            draft: A smaller model of the same family that guesses ahead, where that gains.
            adapters: LoRA adapters by name: paths of GGUF files.
            cache_type: What keys and values are kept as: f32, f16, q8_0 or q4_0.
            flash_attention: on, off, or auto: wherever the device has it.
            full_window: Layers with a sliding window keep everything nevertheless.
            projector: The GGUF file that turns images into what the model reads (mmproj): its
                path; auto is the one in the model's folder, off is none.
            idle_s: Seconds without a request after which the process ends; 0 is never.

        Raises:
            UnknownModel, ModelUnavailable, ModelError: As ``LocalGenerator``.
        """
        if idle_s < 0:
            raise InputError(f"idle_s is {idle_s!r}, expected 0 or more")
        self._options = {
            "model": model,
            "context_size": context_size,
            "threads": threads,
            "gpu_layers": gpu_layers,
            "streams": streams,
            "speculate": speculate,
            "draft": draft,
            "adapters": dict(adapters or {}),
            "cache_type": cache_type,
            "flash_attention": flash_attention,
            "full_window": full_window,
            "projector": projector,
        }
        # Only the file's header is read here: the weights are the other process's affair.
        self._header = LocalGenerator(**self._options)  # type: ignore[arg-type]
        self._manner: dict[str, Any] = {}
        self._cancel: threading.Event | None = None
        self._home = Home(self._options, idle_s)

    @property
    def name(self) -> str:
        """The model's name, as it was given."""
        return self._header.name

    @property
    def context_size(self) -> int:
        """Tokens of the window."""
        return self._header.context_size

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._header.capabilities

    @property
    def pid(self) -> int | None:
        """The process that holds the model; None while it is not loaded."""
        return self._home.pid

    @property
    def load_s(self) -> float:
        """Seconds the weights took to load; loads them now if they are not."""
        return float(self._call("load_s"))

    @property
    def draft_state(self) -> str:
        """Whether its draft model pays on this machine, in words; empty where there is none."""
        return str(self._call("draft_state")) if self._options.get("draft") else ""

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the exact length of the prompt these messages become."""
        return int(self._call("count_tokens", list(messages)))

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, special tokens aside."""
        return int(self._call("count", text))

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters; a token inside a character has that character."""
        return list(self._call("offsets", text))

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """Return the bytes of each token; a character may be spread over several."""
        found: list[bytes] = self._call("pieces", list(tokens))
        return found

    def stats(self) -> EngineStats:
        """Return what the engine is doing, and did since its process started."""
        found: EngineStats = self._call("stats")
        return found

    def served(
        self,
        *,
        priority: Priority = "interactive",
        client: str = "",
        deadline_s: float | None = None,
        cancel: threading.Event | None = None,
        adapter: str = "",
    ) -> IsolatedGenerator:
        """Return the same generator, served in another manner; see ``LocalGenerator.served``."""
        other = copy.copy(self)
        other._cancel = cancel
        other._manner = {
            "priority": priority,
            "client": client,
            "deadline_s": deadline_s,
            "adapter": adapter,
        }
        return other

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        """Yield the answer as it comes; all that can be refused is refused by this call itself.

        Raises:
            EngineDied: The process ended; the same call may succeed.
            RagstackError: As ``LocalGenerator.stream``.
        """
        options = {"sampling": sampling, "tools": tuple(tools), "grammar": grammar}
        payload = {"messages": list(messages), "options": options, "manner": self._manner}
        return self._home.send("stream", payload, self._cancel).deltas()

    def logprobs(
        self, messages: Sequence[Message], continuations: Sequence[str]
    ) -> list[list[float]]:
        """Return the natural log-probability of each token of each continuation."""
        if isinstance(continuations, str):
            raise InputError(f"continuations is {continuations!r}, expected a sequence of strings")
        found: list[list[float]] = self._call("logprobs", list(messages), list(continuations))
        return found

    def attribute(
        self,
        messages: Sequence[Message],
        parts: Sequence[PromptPart],
        answer: str,
        *,
        exact: bool = False,
    ) -> Influence:
        """Return how likely an answer is with and without parts; see ``LocalGenerator``."""
        found = self._call("attribute", list(messages), list(parts), answer, exact=exact)
        return found  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process. A second call does nothing."""
        self._home.close()

    def __enter__(self) -> IsolatedGenerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, name: str, *arguments: object, **options: object) -> Any:
        what = {"name": name, "arguments": arguments, "options": options}
        payload = {**what, "manner": self._manner}
        return self._home.send("call", payload, self._cancel).result()
