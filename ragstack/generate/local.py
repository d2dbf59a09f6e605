"""Messages in, Deltas out, by a GGUF model on this machine.

Knows templates, text and its stop strings; the engine knows tokens.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragstack import models
from ragstack.engine import gguf
from ragstack.engine.context import Options
from ragstack.engine.engine import Engine, Generation, Request
from ragstack.engine.grammar import KINDS
from ragstack.engine.memory import check_memory
from ragstack.engine.probe import check_loads
from ragstack.engine.vocabulary import Detokenizer, Vocabulary
from ragstack.errors import GenerationError, InputError, UnsupportedCapability
from ragstack.generate import reasoning, tool_calls
from ragstack.generate.reasoning import ReasoningSplitter
from ragstack.generate.stops import StopScanner
from ragstack.generate.template import CHATML, ChatTemplate
from ragstack.generate.tool_calls import ToolCallReader, tool_grammar
from ragstack.protocols import Capabilities
from ragstack.types import Delta, Grammar, Message, Sampling, Span, ToolCall, ToolSpec, Usage

__all__ = ["LocalGenerator"]

_DEFAULT_CONTEXT = 8192


class LocalGenerator:
    """A Generator, Scorer and TokenCounter over llama.cpp. Loads its model on first use."""

    def __init__(
        self,
        *,
        model: str = models.DEFAULT,
        context_size: int = _DEFAULT_CONTEXT,
        threads: int = 0,
        gpu_layers: int = -1,
    ) -> None:
        """Find the model and read its metadata.

        Args:
            model: A name, or the path of a GGUF file.
            context_size: Tokens of the window; a model's own window is the most it can have.
            threads: 0 is one for each physical core.
            gpu_layers: Layers on a GPU where llama.cpp was built for one; -1 is all.

        Raises:
            UnknownModel: No model has the name.
            ModelUnavailable: It is not on this machine.
            ModelError: Its file is broken.
        """
        if context_size < 1 or threads < 0 or gpu_layers < -1:
            raise InputError(
                f"context_size={context_size}, threads={threads}, gpu_layers={gpu_layers}: "
                "expected at least 1, 0 and -1"
            )
        self._header = gguf.read_header(models.path(model))
        self._name = model
        window = self._header.context_length
        self._options = Options(min(context_size, window) if window else context_size, threads)
        self._gpu_layers = gpu_layers
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """The model's name, as it was given."""
        return self._name

    @property
    def context_size(self) -> int:
        """Tokens of the window."""
        return self._options.size

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return Capabilities(
            grammars=KINDS, tools="tools" in self._header.chat_template, logprobs=True
        )

    @property
    def load_s(self) -> float:
        """Seconds the weights took to load; loads them now if they are not."""
        return self._load().engine.model.load_s

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the exact length of the prompt these messages become."""
        return len(self._load().prompt(messages, ()))

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, special tokens aside."""
        return len(self._load().vocabulary.tokenize(text))

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters; a token inside a character has that character."""
        vocabulary = self._load().vocabulary
        return _spans(text, [vocabulary.piece(token) for token in vocabulary.tokenize(text)])

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
            ContextOverflow: Prompt and ``max_tokens`` do not fit.
            UnsupportedCapability: Images, tools the template has no place for, tools with a
                grammar.
            GrammarError: The grammar cannot be compiled.
        """
        if tools and grammar is not None:
            raise UnsupportedCapability("tools and a grammar cannot be had in one reply")
        loaded = self._load()
        tokens = loaded.prompt(messages, tools)
        if tools:
            grammar = tool_grammar(tools, marks_are_tokens=loaded.has_tool_marks)
        generation = loaded.engine.generate(Request(tuple(tokens), sampling, grammar))
        reader = ToolCallReader([t.name for t in tools], f"call_{len(messages)}") if tools else None
        return _deltas(generation, loaded, reader)

    def logprobs(
        self, messages: Sequence[Message], continuations: Sequence[str]
    ) -> list[list[float]]:
        """Return the natural log-probability of each token of each continuation as the next reply.

        Raises:
            InputError: The continuations are one string.
            ContextOverflow: Prompt and the longest continuation do not fit.
        """
        if isinstance(continuations, str):
            raise InputError(f"continuations is {continuations!r}, expected a sequence of strings")
        if not continuations:
            return []
        loaded = self._load()
        return loaded.engine.score(
            loaded.prompt(messages, ()),
            [loaded.vocabulary.tokenize(text) for text in continuations],
        )

    def close(self) -> None:
        """Stop what runs and give the memory back. A second call does nothing."""
        with self._lock:
            self._closed = True
            if self._loaded is not None:
                self._loaded.engine.close()
                self._loaded = None

    def __enter__(self) -> LocalGenerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self) -> _Loaded:
        with self._lock:
            if self._closed:
                raise GenerationError("the generator is closed")
            if self._loaded is None:
                path = self._header.path
                check_memory(self._header, self._options.size)
                if not models.is_vouched(path):
                    check_loads(path)
                    models.vouch(path)
                engine = Engine(path, self._options, gpu_layers=self._gpu_layers)
                self._loaded = _Loaded.of(engine, self._header)
            return self._loaded


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model in memory, and how it writes conversations down."""

    engine: Engine
    template: ChatTemplate
    shown: frozenset[int]
    has_tool_marks: bool

    @classmethod
    def of(cls, engine: Engine, header: gguf.Header) -> _Loaded:
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
        )

    @property
    def vocabulary(self) -> Vocabulary:
        return self.engine.model.vocabulary

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[int]:
        """Return the prompt's tokens: the template's marks read as such, anyone's text never."""
        tokens: list[int] = []
        for piece in self.template.render(messages, tools):
            tokens += self.vocabulary.tokenize(piece.text, special=piece.trusted, begins=not tokens)
        bos = self.vocabulary.bos
        if self.vocabulary.adds_bos and bos >= 0 and tokens[:1] != [bos]:
            tokens.insert(0, bos)
        return tokens


def _deltas(
    generation: Generation, loaded: _Loaded, reader: ToolCallReader | None
) -> Iterator[Delta]:
    """Yield a generation's text, without its stop strings; closing this stops the work."""
    began = time.perf_counter()
    request = generation.request
    text = Detokenizer(loaded.vocabulary, shown=loaded.shown)
    tail = loaded.vocabulary.detokenize(request.tokens[-8:], special=True).rstrip()
    splitter = ReasoningSplitter(thinking=tail.endswith(reasoning.OPEN))
    stops = StopScanner(request.sampling.stop)
    count = 0

    def delta(thought: str, answer: str) -> Delta:
        answer = stops.push(answer)
        return Delta(text=reader.push(answer) if reader else answer, reasoning=thought)

    try:
        for token in generation:
            count += 1
            piece = delta(*splitter.push(text.push(token)))
            if piece.text or piece.reasoning:
                yield piece
            if stops.stopped:
                break
    finally:
        generation.close()
    rest = delta(*splitter.push(text.flush()))
    last = delta(*splitter.flush())
    held = stops.flush()
    answer = rest.text + last.text + (reader.push(held) if reader else held)
    calls: list[ToolCall] = []
    if reader is not None:
        more, calls = reader.finish()
        answer += more
    if answer or rest.reasoning or last.reasoning:
        yield Delta(text=answer, reasoning=rest.reasoning + last.reasoning)
    for call in calls:
        yield Delta(tool_call=call)
    finish = "stop" if stops.stopped else "tool_calls" if calls else generation.finish
    usage = Usage(len(request.tokens), generation.cached, count, time.perf_counter() - began)
    yield Delta(finish=finish, usage=usage)


def _mark(vocabulary: Vocabulary, token: int) -> str:
    return vocabulary.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""


def _spans(text: str, pieces: Sequence[bytes]) -> list[Span]:
    """Return the characters of each piece of a text's UTF-8."""
    starts: list[int] = []  # for each byte, the character it belongs to
    for i, character in enumerate(text):
        starts += [i] * len(character.encode("utf-8", "replace"))
    spans: list[Span] = []
    at = 0
    for piece in pieces:
        end = min(at + len(piece), len(starts))
        first = starts[at] if at < len(starts) else len(text)
        spans.append((first, starts[end - 1] + 1 if end > at else first))
        at = end
    return spans
