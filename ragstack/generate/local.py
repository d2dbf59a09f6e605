"""Messages in, Deltas out, by a GGUF model on this machine.

Knows templates, text and its stop strings; the engine knows tokens.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ragstack import models
from ragstack.engine import gguf
from ragstack.engine.adapters import check_adapter
from ragstack.engine.context import Options
from ragstack.engine.engine import Engine, EngineStats, Manner, Request
from ragstack.engine.grammar import KINDS
from ragstack.engine.guard import check_cache
from ragstack.engine.kinds import kind_of, require_ability
from ragstack.engine.library import library_file
from ragstack.engine.probe import check_loads
from ragstack.engine.projector_file import AUTO
from ragstack.engine.tools import tune
from ragstack.engine.waiting import Priority
from ragstack.errors import GenerationError, InputError, UnsupportedCapability
from ragstack.generate.local_draft import Draft, costs_file
from ragstack.generate.local_images import Images
from ragstack.generate.local_memory import sized
from ragstack.generate.local_model import Loaded
from ragstack.generate.local_parts import Weighing, influence, spans_of
from ragstack.generate.local_stream import BeamDeltas, check_beams, deltas
from ragstack.generate.tool_calls import ToolCallReader, tool_grammar
from ragstack.protocols import Capabilities
from ragstack.types import (
    Delta,
    Grammar,
    Influence,
    Message,
    PromptPart,
    Sampling,
    Span,
    ToolSpec,
)

__all__ = ["LocalGenerator"]

_DEFAULT_CONTEXT = 8192
_KEPT = 24  # sequences kept for prompts that begin alike
_KEPT_STATES = 8  # the same where each has a state of its own, of some 10 MB
_MOST_STREAMS = 64
_OUTPUTS = 96  # rows of logits in one step


class LocalGenerator:
    """A Generator, Scorer and TokenCounter over llama.cpp. Loads its model on first use."""

    def __init__(  # noqa: PLR0913 - the options of a plug-in are its arguments
        self,
        *,
        model: str = models.DEFAULT,
        context_size: int = _DEFAULT_CONTEXT,
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
    ) -> None:
        """Find the model and read its metadata.

        Args:
            model: A name, or the path of a GGUF file.
            context_size: Tokens of the window; a model's own window is the most it can have.
            threads: 0 is what `ragstack models tune` found best, else one for each physical core.
            gpu_layers: Layers on a GPU where llama.cpp was built for one; -1 is all.
            streams: Requests at work at once; more wait their turn.
            speculate: Guess ahead what the prompt holds, where that is quicker; the text is the
                same but for near ties.
            draft: A smaller model of the same family that guesses ahead for one or two requests,
                where measuring at the first use says that it gains: a name, or a path.
            adapters: LoRA adapters of this model: the path of a GGUF file by the name that
                ``served(adapter=...)`` takes.
            cache_type: What keys and values are kept as: f32, f16, q8_0 (half the memory of f16)
                or q4_0 (a quarter).
            flash_attention: on, off, or auto: wherever the device has it.
            full_window: Layers with a sliding window keep everything nevertheless, so that
                prompts that begin alike are read once; false saves the memory.
            projector: The GGUF file that turns images into what the model reads (mmproj): its
                path; auto is the one in the model's folder, off is none.

        Raises:
            InputError: An option is out of range, or does not go with this model.
            UnsupportedCapability: The model writes no text.
            UnknownModel: No model has the name.
            ModelUnavailable: It is not on this machine.
            ModelError: Its file is broken.
        """
        if context_size < 1 or threads < 0 or gpu_layers < -1 or not 1 <= streams <= _MOST_STREAMS:
            raise InputError(
                f"context_size={context_size}, threads={threads}, gpu_layers={gpu_layers}, "
                f"streams={streams}: expected at least 1, 0 and -1, and 1 to {_MOST_STREAMS}"
            )
        if adapters and not all(adapters):
            raise InputError("an adapter has an empty name, expected one to call it by")
        self._adapters = {
            name: Path(path).expanduser().absolute() for name, path in (adapters or {}).items()
        }
        path = models.path(model)
        # `ragstack models tune` may have found another format of it to be quicker here.
        tuning = tune.chosen(path)
        self._header = gguf.read_header(tuning.path if tuning else path)
        self._name = model
        window = self._header.context_length
        check_cache(self._header, cache_type, flash_attention)
        kind = kind_of(self._header)
        require_ability(kind, "generation")
        kept = _KEPT_STATES if any(kind.states) else _KEPT
        self._options = Options(
            size=min(context_size, window) if window else context_size,
            threads=threads or (tuning.threads if tuning else 0),
            streams=streams,
            outputs=max(_OUTPUTS, streams + kept),
            kept=kept,
            cache_type=cache_type,
            flash_attention=flash_attention,
            full_window=full_window,
        )
        if draft and not speculate:
            raise InputError(
                f"draft is {draft!r} and speculate is off, expected one of them",
                hint="a draft model guesses ahead, which speculate = false forbids",
            )
        self._draft = Draft.named(draft) if draft else None
        self._images = Images.chosen(path, projector, model=self._header.path)
        self._gpu_layers = gpu_layers
        self._manner = Manner(speculate=speculate)
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
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
            grammars=KINDS,
            tools="tools" in self._header.chat_template,
            images=self._images.read,
            logprobs=True,
            attribution=True,
            adapters=bool(self._adapters),
            streams=self._options.streams,
        )

    def served(
        self,
        *,
        priority: Priority = "interactive",
        client: str = "",
        deadline_s: float | None = None,
        cancel: threading.Event | None = None,
        adapter: str = "",
    ) -> LocalGenerator:
        """Return the same generator, whose requests are served in another manner among all.

        Closing either closes both.

        Args:
            priority: ``background`` waits for all that is ``interactive``.
            client: Who asks; clients take turns.
            deadline_s: Seconds after which a request is given up with ``DeadlineExceeded``.
            cancel: Gives its requests up when set, from any thread; they finish ``cancelled``.
            adapter: Name of the LoRA adapter that writes; empty is none.

        Raises:
            InputError: No adapter has the name.
        """
        if adapter and adapter not in self._adapters:
            known = ", ".join(map(repr, self._adapters)) or "none"
            raise InputError(f"no adapter is named {adapter!r}; there are: {known}")
        self._load()
        other = copy.copy(self)
        other._manner = replace(
            self._manner,
            priority=priority,
            client=client,
            deadline_s=deadline_s,
            cancel=cancel,
            adapter=adapter,
        )
        return other

    def stats(self) -> EngineStats:
        """Return what the engine is doing, and did."""
        return self._load().engine.stats()

    @property
    def draft_state(self) -> str:
        """Whether its draft model pays on this machine, in words; empty where there is none."""
        if self._draft is None:
            return ""
        with self._lock:
            loaded = self._loaded
        report = loaded.engine.stats().draft if loaded else None
        return report.message if report else self._draft.foretold(self._costs())

    @property
    def load_s(self) -> float:
        """Seconds the weights took to load; loads them now if they are not."""
        return self._load().engine.model.load_s

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the exact length of the prompt these messages become, in rows of the window.

        Raises:
            ContextOverflow: Images alone are more than the window holds.
        """
        return self._load().prompt(messages, ()).cells

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, special tokens aside."""
        return len(self._load().vocabulary.tokenize(text))

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters; a token inside a character has that character."""
        vocabulary = self._load().vocabulary
        return spans_of(text, [vocabulary.piece(token) for token in vocabulary.tokenize(text)])

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """Return the bytes of each token; a character may be spread over several.

        Raises:
            InputError: A token is not in the vocabulary.
        """
        vocabulary = self._load().vocabulary
        vocabulary.check(tokens)
        return [vocabulary.piece(token, special=True) for token in tokens]

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
            UnsupportedCapability: Images without a projector, tools the template has no place for,
                tools with a grammar, either of them with beams.
            GrammarError: The grammar cannot be compiled.
        """
        if tools and grammar is not None:
            raise UnsupportedCapability("tools and a grammar cannot be had in one reply")
        check_beams(sampling, tools, grammar)
        loaded = self._load()
        tokens = loaded.prompt(messages, tools)
        if sampling.beams > 1:
            return BeamDeltas(loaded, tokens, sampling, self._manner)
        if tools:
            grammar = tool_grammar(tools, marks_are_tokens=loaded.has_tool_marks)
        guide = loaded.guide(tokens, sampling)
        request = Request(tuple(tokens), sampling, grammar, self._manner, guide)
        generation = loaded.engine.generate(request)
        reader = ToolCallReader([t.name for t in tools], f"call_{len(messages)}") if tools else None
        return deltas(generation, loaded, reader)

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
            manner=self._manner,
        )

    def attribute(
        self,
        messages: Sequence[Message],
        parts: Sequence[PromptPart],
        answer: str,
        *,
        exact: bool = False,
    ) -> Influence:
        """Return how likely the answer is as the next reply, with and without each part.

        Args:
            exact: Read each prompt anew; a model whose kind cannot forget does so in any case.

        Raises:
            ContextOverflow: Prompt and answer do not fit.
            InputError: There is no answer, or a part is empty or out of range.
        """
        loaded = self._load()
        return influence(loaded, messages, parts, answer, Weighing(exact, self._manner))

    def save_prefix(self, messages: Sequence[Message], path: Path) -> None:
        """Read the prompt these messages become, and write what the model made of it to a file.

        Raises:
            ContextOverflow: The prompt does not fit.
            ModelError: The file cannot be written.
        """
        loaded = self._load()
        loaded.engine.save_prefix(loaded.prompt(messages, ()), Path(path), manner=self._manner)

    def load_prefix(self, path: Path) -> int:
        """Take in what ``save_prefix`` wrote: prompts that begin alike are not read again.

        Returns how many tokens that are. Load files of your own making alone: damage is found,
        malice is not.

        Raises:
            EngineBusy: The cache is full of what is at work.
            ModelError: The file is damaged, or of another model or adapter.
        """
        return self._load().engine.load_prefix(Path(path), manner=self._manner)

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

    def _load(self) -> Loaded:
        with self._lock:
            if self._closed:
                raise GenerationError("the generator is closed")
            if self._loaded is None:
                path = self._header.path
                options = sized(self._header, self._options, self._draft)
                models.try_once(path, partial(check_loads, path), beside=library_file())
                for adapter in self._adapters.values():
                    check_adapter(adapter, self._header)
                    models.try_once(
                        adapter, partial(check_loads, path, adapter), beside=(path, library_file())
                    )
                engine = Engine(
                    path,
                    options,
                    gpu_layers=self._gpu_layers,
                    costs=self._costs(),
                    adapters=self._adapters,
                    projector=self._images.projector,
                )
                if self._draft is not None:
                    self._draft.join(engine, gpu_layers=self._gpu_layers)
                self._loaded = Loaded.of(engine, self._header, self._images)
            return self._loaded

    def _costs(self) -> Path:
        return costs_file(self._header.path, self._options.threads)
