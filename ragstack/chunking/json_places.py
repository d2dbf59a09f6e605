"""JSON text in, the places where it may be cut out, each with the path that leads there.

Reads signs alone and trusts nothing: what is no JSON has some places too, and never an error.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["JsonPlaces", "json_places"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_COLON = re.compile(r"[ \t\r\n]{0,200}:")
# Places deeper than this are all of one strength.
_DEPTHS = 16
_LONGEST_LABEL = 60
_LONGEST_PATH = 8


@dataclass(slots=True)
class _Frame:
    """A container that is open: its place in the one around it, and what it has had so far."""

    above: _Frame | None
    depth: int
    label: str | int | None
    listed: bool
    items: int = 0
    key: str = ""

    def at(self) -> str | int:
        """Return the label of the member that is being read."""
        return self.items if self.listed else self.key


@dataclass(frozen=True, slots=True)
class JsonPlaces:
    """Where JSON may be cut.

    Attributes:
        levels: Characters where a member begins, by depth, the outermost first; then those where
            any token begins.
        members: Where members begin, rising, and ``frames`` what they lie in.
    """

    levels: list[list[int]]
    members: list[int]
    frames: list[_Frame]

    def path(self, index: int) -> str:
        """Return the labels down to the container of a member: ``users > 3 > address``."""
        labels: list[str] = []
        frame: _Frame | None = self.frames[index]
        while frame is not None:
            if frame.label is not None:
                labels.append(str(frame.label))
            frame = frame.above
        labels.reverse()
        if len(labels) > _LONGEST_PATH:
            half = _LONGEST_PATH // 2
            labels = [*labels[:half], "…", *labels[-half:]]
        return " > ".join(labels)


def json_places(text: str) -> JsonPlaces:
    """Return the places of a text, in one pass and without recursion.

    A member begins at its key, or at its value in a list; the first one of a container is no
    place, so that an opening bracket keeps what follows it.
    """
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._levels: list[list[int]] = [[] for _ in range(_DEPTHS + 1)]
        self._members: list[int] = []
        self._frames: list[_Frame] = []
        self._frame: _Frame | None = None
        self._fresh = False  # a member begins with the next token

    def read(self) -> JsonPlaces:
        for found in _TOKEN.finditer(self._text):
            sign = found[0][0]
            if sign not in ",]}:":
                self._place(found.start())
            if sign == '"':
                self._name(found)
            else:
                self._move(sign)
        return JsonPlaces([sorted(level) for level in self._levels], self._members, self._frames)

    def _place(self, start: int) -> None:
        """Note that something begins here: a member, or what is only a token."""
        frame = self._frame
        begins = self._fresh or frame is None
        if begins and frame is not None:
            self._members.append(start)
            self._frames.append(frame)
        depth = (frame.depth if frame else 0) if begins else _DEPTHS
        if start:
            self._levels[min(depth, _DEPTHS)].append(start)
        self._fresh = False

    def _move(self, sign: str) -> None:
        frame = self._frame
        if sign in "{[":
            label = frame.at() if frame else None
            depth = frame.depth + 1 if frame else 1
            self._frame = _Frame(frame, depth, label, sign == "[")
        elif sign in "}]":
            self._frame = frame.above if frame else None
        elif sign == "," and frame is not None:
            frame.items += 1
            self._fresh = True

    def _name(self, found: re.Match[str]) -> None:
        """Take a text before a colon as the key of what follows."""
        frame = self._frame
        if frame is not None and not frame.listed and _COLON.match(self._text, found.end()):
            frame.key = _label(found[0])


def _label(token: str) -> str:
    if "\\" in token and len(token) < _LONGEST_LABEL * 12:
        with suppress(ValueError):
            token = f'"{json.loads(token)}"'
    label = " ".join(token.strip('"').split())
    return label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
