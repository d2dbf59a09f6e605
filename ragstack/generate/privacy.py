"""Messages in, whether they may leave the machine out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ragstack.errors import ConfigError
from ragstack.types import Message

__all__ = ["PrivacyRules", "private"]


def private(message: Message) -> Message:
    """Return the same message, marked: what it says stays on this machine."""
    return replace(message, private=True)


class PrivacyRules:
    """Marks and patterns that keep a conversation on this machine."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        """Compile the patterns: regular expressions, looked for in every message's text.

        Raises:
            ConfigError: One is none.
        """
        if isinstance(patterns, str):
            raise ConfigError(f"private is {patterns!r}, expected a list of regular expressions")
        self._patterns = []
        for pattern in patterns:
            try:
                self._patterns.append(re.compile(pattern))
            except (re.error, TypeError) as error:
                raise ConfigError(f"private has {pattern!r}: {error}") from error

    def keep_here(self, messages: Sequence[Message]) -> str:
        """Return why these messages must stay on this machine; empty: they need not."""
        for number, message in enumerate(messages, 1):
            if message.private:
                return f"message {number} is marked private"
            # Arguments of tool calls were written by a model that had read the rest.
            texts = [message.text, *(str(dict(call.arguments)) for call in message.tool_calls)]
            for pattern in self._patterns:
                if any(pattern.search(text) for text in texts):
                    return f"message {number} matches {pattern.pattern!r}"
        return ""
