"""Messages in, pieces of a prompt out, each known to be the template's own or someone's text.

The publisher's template (Jinja, from the GGUF) never sees a text: it is rendered over private
placeholders, and the texts are put in their places afterwards, so that no text can be read as a
control token.
"""

from __future__ import annotations

import datetime
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, get_args

import jinja2
import jinja2.sandbox

from ragstack.errors import GenerationError, InputError, RagstackError, UnsupportedCapability
from ragstack.types import Message, Part, Role, ToolSpec

__all__ = ["CHATML", "ChatTemplate", "Piece"]

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# Stands at both ends of a placeholder: where a template strips a text, it strips this, and
# we see it.
_SPACE = "\u2003"
_ROLES = get_args(Role)
_TEXT = "text/plain"

Content: TypeAlias = str | tuple[Part, ...]
_SAFE_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt.

    Attributes:
        trusted: It is the template's own, and its marks are control tokens.
        image: The bytes of an image that stands here, in place of a text.
    """

    text: str
    trusted: bool
    image: bytes | None = None


class ChatTemplate:
    """A model's way of writing a conversation down."""

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        """Compile a template.

        Raises:
            GenerationError: It is no Jinja template.
        """
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = _now
        self.source = source
        self._given = {"bos_token": bos, "eos_token": eos}
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise GenerationError(f"the model's chat template cannot be read: {error}") from error

    @property
    def takes_tools(self) -> bool:
        """Whether it has a place for tools."""
        return re.search(r"\btools\b", self.source) is not None

    def render(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> list[Piece]:
        """Return the prompt for the next reply.

        A template that knows no system role, or wants roles to take turns, gets what it wants: the
        system text at the head of the first user message, neighbours of one role joined. One that
        takes messages apart into parts gets parts of text, images among them.

        Raises:
            InputError: There are no messages.
            UnsupportedCapability: The template knows no tools.
            GenerationError: The template refuses the conversation.
        """
        if not messages:
            raise InputError("there are no messages to answer")
        if tools and not self.takes_tools:
            raise UnsupportedCapability("this model's chat template has no place for tools")
        problem: Exception | None = None
        ways = _ways(messages)
        for attempt, parts in [(way, False) for way in ways] + [(way, True) for way in ways]:
            try:
                return _Rendering(attempt, tools, parts).pieces(self._template, self._given)
            except RagstackError:
                raise
            except _FOREIGN as error:
                problem = problem or error
        raise GenerationError(
            f"the model's chat template refuses the conversation: {problem}",
            hint="begin with a system or user message, then let user and assistant take turns",
        ) from problem


class _Dropped(Exception):
    """A template left a text out."""


# A template is foreign code; in its box it can still divide by zero or look up what is not there.
_FOREIGN = (
    jinja2.TemplateError,
    _Dropped,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(slots=True)
class _Rendering:
    """One pass over a template, and the texts that it must not see."""

    messages: Sequence[Message]
    tools: Sequence[ToolSpec]
    parts: bool  # messages are given as lists of parts
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    texts: list[str | bytes] = field(default_factory=list)
    needed: set[int] = field(default_factory=set)

    def pieces(self, template: jinja2.Template, given: Mapping[str, str]) -> list[Piece]:
        values: dict[str, object] = {**given, "add_generation_prompt": True}
        values["messages"] = [self._message(message) for message in self.messages]
        if self.tools:
            values["tools"] = [self._tool(tool) for tool in self.tools]
        return self._split(template.render(values))

    def _hide(self, text: str | bytes, *, needed: bool = False) -> str:
        """Return a placeholder for a text or an image.

        Templates test for an empty text, so that is itself.
        """
        if isinstance(text, str) and not text:
            return text
        if needed:
            self.needed.add(len(self.texts))
        self.texts.append(text)
        return f"{_SPACE}{self.nonce}x{len(self.texts) - 1}x{_SPACE}"

    def _message(self, message: Message) -> dict[str, object]:
        if message.role not in _ROLES:
            raise InputError(f"no role is named {message.role!r}; known: {', '.join(_ROLES)}")
        fields: dict[str, object] = {
            "role": message.role,
            "content": self._content(message.content),
        }
        if message.tool_calls:
            fields["tool_calls"] = [
                {
                    "id": _name(call.id),
                    "type": "function",
                    "function": {
                        "name": _name(call.name),
                        "arguments": self._leaves(call.arguments),
                    },
                }
                for call in message.tool_calls
            ]
        if message.tool_call_id is not None:
            fields["tool_call_id"] = _name(message.tool_call_id)
        return fields

    def _content(self, content: Content) -> object:
        """Return what a message says: a string, or a list of parts, all of them texts.

        Texts that follow each other are one, so that a template can strip its ends alone.
        """
        found: list[str | bytes] = []
        for part in (content,) if isinstance(content, str) else [each.data for each in content]:
            if found and isinstance(part, str) and isinstance(found[-1], str):
                found[-1] += part
            else:
                found.append(part)
        hidden = [self._hide(part, needed=True) for part in found]
        if not self.parts:
            return "".join(hidden)
        return [{"type": "text", "text": part} for part in hidden]

    def _tool(self, tool: ToolSpec) -> dict[str, object]:
        return {
            "type": "function",
            "function": {
                "name": _name(tool.name),
                "description": self._leaves(tool.description),
                "parameters": self._leaves(tool.parameters),
            },
        }

    def _leaves(self, value: object) -> object:
        """Return a JSON value with every string hidden but for short plain names."""
        if isinstance(value, str):
            # Templates write these with tojson, so the text goes in as JSON has it.
            inner = json.dumps(value, ensure_ascii=False)[1:-1]
            return value if _SAFE_NAME.fullmatch(value) else self._hide(inner)
        if isinstance(value, Mapping):
            return {str(self._leaves(str(key))): self._leaves(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._leaves(item) for item in value]
        return value

    def _split(self, prompt: str) -> list[Piece]:
        place = re.compile(rf"({_SPACE}?){self.nonce}x(\d+)x({_SPACE}?)")
        pieces: list[Piece] = []
        seen: set[int] = set()
        start = 0
        for found in place.finditer(prompt):
            text = self.texts[int(found[2])]
            seen.add(int(found[2]))
            pieces.append(Piece(prompt[start : found.start()], True))
            start = found.end()
            if isinstance(text, bytes):
                pieces.append(Piece("", False, text))
                continue
            text = text if found[1] else text.lstrip()
            text = text if found[3] else text.rstrip()
            pieces.append(Piece(text, False))
        pieces.append(Piece(prompt[start:], True))
        if not self.needed <= seen or self.nonce in "".join(p.text for p in pieces if p.trusted):
            raise _Dropped("it leaves a message out")
        return [piece for piece in pieces if piece.text or piece.image is not None]


def _ways(messages: Sequence[Message]) -> list[Sequence[Message]]:
    """Return a conversation in the forms to try, the given one first."""
    folded = _fold_system(messages)
    ways = [messages, folded, _join_neighbours(messages), _join_neighbours(folded)]
    return [way for i, way in enumerate(ways) if way not in ways[:i]]


def _fold_system(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the conversation with its system texts at the head of the first user message."""
    system = [message.content for message in messages if message.role == "system"]
    rest = [message for message in messages if message.role != "system"]
    if not any(system):
        return messages
    for i, message in enumerate(rest):
        if message.role == "user":
            return [*rest[:i], Message("user", _joined(*system, message.content)), *rest[i + 1 :]]
    return [Message("user", _joined(*system)), *rest]


def _join_neighbours(messages: Sequence[Message]) -> Sequence[Message]:
    joined: list[Message] = []
    for message in messages:
        plain = not message.tool_calls and message.role in ("user", "assistant", "system")
        if joined and plain and joined[-1].role == message.role and not joined[-1].tool_calls:
            joined[-1] = Message(message.role, _joined(joined[-1].content, message.content))
        else:
            joined.append(message)
    return joined


def _joined(*contents: Content) -> Content:
    """Return contents one after another, an empty line between them."""
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(str(content) for content in contents)
    parts: list[Part] = []
    for content in contents:
        more = (Part(content, _TEXT),) if isinstance(content, str) else content
        parts += [Part("\n\n", _TEXT), *more] if parts else more
    return tuple(parts)


def _name(name: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        raise InputError(
            f"the tool name or call id {name!r} cannot be used, expected letters, digits, _ - . :"
        )
    return name


def _to_json(value: object, indent: int | None = None, **_: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)
