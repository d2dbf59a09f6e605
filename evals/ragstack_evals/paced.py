"""Any messages in, the same reply out at a steady pace: what a server costs beside its model.

``use = "paced"`` in ``[generate]``, for load tests: fifty clients on a real model on two cores
would measure the model's queue and nothing of the server.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ragstack.errors import ConfigError
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.types import Delta, Grammar, Message, Sampling, ToolSpec

__all__ = ["PacedGenerator"]

_REPLY = "The tenant pays for repairs of the roof, the landlord for those of the walls. " * 3


class PacedGenerator(ScriptedGenerator):
    """A Generator that writes so many tokens a second for each who asks.

    Raises:
        ConfigError: A pace that is not above 0.
    """

    def __init__(self, *, tokens_per_second: float = 25.0, reply: str = _REPLY) -> None:
        """Take the pace and what to say."""
        if not tokens_per_second > 0:
            raise ConfigError(f"tokens_per_second is above 0, got {tokens_per_second!r}")
        super().__init__(lambda _messages: reply, name="paced")
        self._pause_s = 1 / float(tokens_per_second)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        """Yield the reply, a token at a time."""
        deltas = super().stream(messages, sampling=sampling, tools=tools, grammar=grammar)
        return self._slowly(deltas)

    def _slowly(self, deltas: Iterator[Delta]) -> Iterator[Delta]:
        for delta in deltas:
            self.asked.clear()  # a server at work for minutes would keep every question
            time.sleep(self._pause_s)
            yield delta
