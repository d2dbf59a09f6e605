"""Messages in, prompt tokens out: a model in memory, and how it writes conversations down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ragstack.engine import gguf
from ragstack.engine.engine import Engine
from ragstack.engine.images import words
from ragstack.engine.projector import Prompt
from ragstack.engine.vocabulary import Vocabulary
from ragstack.generate import reasoning, tool_calls
from ragstack.generate.local_images import Images
from ragstack.generate.reasoning import ReasoningBudget
from ragstack.generate.template import CHATML, ChatTemplate, Piece
from ragstack.types import Message, Sampling, ToolSpec

__all__ = ["Loaded", "Thinking"]


class Thinking:
    """Keeps a reply's thinking to its budget, and the grammar out of it."""

    def __init__(self, budget: ReasoningBudget, *, thinking: bool) -> None:
        self._budget = budget
        self._thought = budget.begin(thinking=thinking)

    @property
    def free(self) -> bool:
        """Whether no grammar holds for the next token."""
        return self._thought.phase == "thinking"

    def forced(self) -> int | None:
        """Return the token that must come next, if there is one."""
        return self._budget.forced(self._thought)

    def accept(self, token: int) -> None:
        """Take note of the token that came."""
        self._thought = self._budget.step(self._thought, token)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory, and how it writes conversations down.

    Attributes:
        shown: Marks that are part of the text.
        has_tool_marks: The marks around a tool call are tokens of their own.
        images: What reads images for it.
    """

    engine: Engine
    template: ChatTemplate
    shown: frozenset[int]
    has_tool_marks: bool
    images: Images

    @classmethod
    def of(cls, engine: Engine, header: gguf.Header, images: Images) -> Loaded:
        """Return a model as its header says it is to be used."""
        vocabulary = engine.model.vocabulary
        marks = {
            text: vocabulary.special_token(text)
            for text in (reasoning.OPEN, reasoning.CLOSE, tool_calls.OPEN, tool_calls.CLOSE)
        }
        return cls(
            engine,
            ChatTemplate(
                header.chat_template or CHATML,
                bos=_mark(vocabulary, vocabulary.bos),
                eos=_mark(vocabulary, vocabulary.eos),
            ),
            frozenset(token for token in marks.values() if token is not None),
            None not in (marks[tool_calls.OPEN], marks[tool_calls.CLOSE]),
            images,
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens."""
        return self.engine.model.vocabulary

    def opens_thinking(self, tokens: Sequence[int]) -> bool:
        """Return whether a prompt ends where the reply is to begin with thinking."""
        tail = self.vocabulary.detokenize(words(tokens[-8:]), special=True).rstrip()
        return tail.endswith(reasoning.OPEN)

    def guide(self, tokens: Sequence[int], sampling: Sampling) -> Thinking | None:
        """Return what keeps thinking apart; None where there is none to expect or to bound."""
        thinking = self.opens_thinking(tokens)
        if not thinking and sampling.reasoning_tokens is None:
            return None
        vocabulary = self.vocabulary
        budget = ReasoningBudget(
            partial(vocabulary.piece, special=True),
            vocabulary.tokenize(f"\n{reasoning.CLOSE}\n\n", special=True),
            sampling.reasoning_tokens,
        )
        return Thinking(budget, thinking=thinking)

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Prompt:
        """Return the prompt's tokens: the template's marks read as such, anyone's text never.

        Raises:
            ContextOverflow: Its images alone are more than the window holds.
            As ``Images.tokens`` and ``ChatTemplate.render``.
        """
        return Prompt.joined(tokens for _, tokens in self.pieces(messages, tools))

    def pieces(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> list[tuple[Piece, list[int]]]:
        """Return the prompt piece by piece, each with its tokens; errors as ``prompt``."""
        read: list[tuple[Piece, list[int]]] = []
        begins = True
        seen = 0
        tokens: list[int]
        for piece in self.template.render(messages, tools):
            if piece.image is not None:
                tokens = shown = self.images.tokens(self.engine, piece.image)
                seen += shown.cells
                self.engine.check_room(seen)  # before the next is looked at
            else:
                tokens = self.vocabulary.tokenize(piece.text, special=piece.trusted, begins=begins)
            read.append((piece, tokens))
            begins = begins and not tokens
        bos = self.vocabulary.bos
        first = next((tokens[:1] for _, tokens in read if tokens), [])
        if self.vocabulary.adds_bos and bos >= 0 and first != [bos]:
            read.insert(0, (Piece("", trusted=True), [bos]))
        return read


def _mark(vocabulary: Vocabulary, token: int) -> str:
    return vocabulary.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""
