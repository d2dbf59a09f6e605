"""A text with paths in braces and a JSON item in, the text filled in out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ragstack.errors import ConfigError
from ragstack_connectors.listed import field_of

__all__ = ["Template"]

_FIELD = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"[^\s{}.]+(?:\.[^\s{}.]+)*")


class Template:
    """Text with paths of an item in braces; ``{{`` and ``}}`` are braces themselves.

    Raises:
        ConfigError: A brace that opens nothing, or none that closes.
    """

    def __init__(self, text: str) -> None:
        self._text = text.replace("{{", "\x00").replace("}}", "\x01")
        rest = _FIELD.sub("", self._text)
        bad = [path for path in _FIELD.findall(self._text) if not _PATH.fullmatch(path)]
        if "{" in rest or "}" in rest or bad:
            raise ConfigError(
                f"the template {text!r} cannot be read",
                hint="paths stand in braces: {author.name}; a brace itself is written twice",
            )

    @property
    def paths(self) -> tuple[str, ...]:
        """What stands in braces."""
        return tuple(_FIELD.findall(self._text))

    def filled(self, item: Mapping[str, Any] | Any) -> str:
        """Return the text with the item's values; what it lacks is left empty."""
        text = _FIELD.sub(lambda found: _shown(field_of(item, found[1])), self._text)
        return text.replace("\x00", "{").replace("\x01", "}")


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(each, (str, int, float)) for each in value):
        return ", ".join(str(each) for each in value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
