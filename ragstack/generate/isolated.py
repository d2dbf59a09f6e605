"""Messages in, Deltas out, by a local generator in a process of its own.

llama.cpp ends its whole process when it meets what it did not expect. Here that is another one: the
requests in flight get a retryable error that names the cause, the next request starts a new
process, and nothing else is lost. One that nobody used for a while gives its memory back.
"""

from __future__ import annotations

import copy
import itertools
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ragstack import models
from ragstack.engine.engine import EngineStats
from ragstack.engine.waiting import Priority
from ragstack.errors import EngineDied, GenerationError, InputError
from ragstack.generate import frames
from ragstack.generate.local import LocalGenerator
from ragstack.protocols import Capabilities
from ragstack.types import Delta, Grammar, Message, Sampling, Span, ToolSpec

__all__ = ["IsolatedGenerator"]

_LOOK_S = 0.1  # between two looks at whether a caller gave its request up
_TAIL = 2_000  # bytes of what a process said last
_ROOT = str(Path(__file__).resolve().parents[2])
# The paths come as an argument: a module run by name would be looked up where the caller stands.
_PROGRAM = (
    "import json,sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ragstack.generate.isolated_child import main; main()"
)


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
        }
        # Only the file's header is read here: the weights are the other process's affair.
        self._header = LocalGenerator(**self._options)  # type: ignore[arg-type]
        self._manner: dict[str, Any] = {}
        self._cancel: threading.Event | None = None
        self._home = _Home(self._options, idle_s)

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
    def load_s(self) -> float:
        """Seconds the weights took to load; loads them now if they are not."""
        return float(self._call("load_s"))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the exact length of the prompt these messages become."""
        return int(self._call("count_tokens", list(messages)))

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, special tokens aside."""
        return int(self._call("count", text))

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters; a token inside a character has that character."""
        return list(self._call("offsets", text))

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
        line = self._home.send("stream", payload, self._cancel)
        kind, _ = line.take()
        assert kind == "begun"
        return line.deltas()

    def logprobs(
        self, messages: Sequence[Message], continuations: Sequence[str]
    ) -> list[list[float]]:
        """Return the natural log-probability of each token of each continuation."""
        if isinstance(continuations, str):
            raise InputError(f"continuations is {continuations!r}, expected a sequence of strings")
        found: list[list[float]] = self._call("logprobs", list(messages), list(continuations))
        return found

    def close(self) -> None:
        """End the process. A second call does nothing."""
        self._home.close()

    def __enter__(self) -> IsolatedGenerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, name: str, *arguments: object) -> Any:
        payload = {"name": name, "arguments": arguments, "manner": self._manner}
        return self._home.send("call", payload).take()[1]


class _Line:
    """One request's end of the pipe."""

    def __init__(self, process: _Process, number: int, cancel: threading.Event | None) -> None:
        self.answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._process = process
        self._number = number
        self._cancel = cancel

    def take(self) -> tuple[str, Any]:
        """Return the next message; an error is raised."""
        kind, value = self._next()
        if kind == "error":
            raise value if isinstance(value, BaseException) else frames.unpacked_error(value)
        return kind, value

    def _next(self) -> tuple[str, Any]:
        while self._cancel is not None:
            if self._cancel.is_set():
                self._process.cancel(self._number)
                self._cancel = None  # told once; the answer to it is on its way
                break
            with suppress(queue.Empty):
                return self.answers.get(timeout=_LOOK_S)
        return self.answers.get()

    def deltas(self) -> Iterator[Delta]:
        """Yield deltas to the end; closing this ends the work."""
        ended = False
        try:
            while True:
                kind, value = self.take()
                if kind == "end":
                    ended = True
                    return
                yield value
        finally:
            if not ended:
                self._process.cancel(self._number)


class _Home:
    """Where the process lives: starts it, and lets it go."""

    def __init__(self, options: dict[str, object], idle_s: float) -> None:
        self._options = options
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._closed = False
        self._used = time.monotonic()

    def send(self, kind: str, payload: object, cancel: threading.Event | None = None) -> _Line:
        """Hand a request to the process, a new one if need be."""
        with self._lock:
            if self._closed:
                raise GenerationError("the generator is closed")
            if self._process is None or not self._process.alive:
                self._process = _Process(self._options)
                if self._idle_s:
                    self._watch()
            self._used = time.monotonic()
            return self._process.send(kind, payload, cancel)

    def close(self) -> None:
        """End the process for good."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _watch(self) -> None:
        timer = threading.Timer(self._idle_s, self._look)
        timer.daemon = True
        timer.start()

    def _look(self) -> None:
        """End the process if nobody used it for long enough, else look again later."""
        with self._lock:
            process = self._process
            if process is None or not process.alive:
                return
            if process.busy:
                self._used = time.monotonic()
            if time.monotonic() - self._used < self._idle_s:
                self._watch()
                return
            self._process = None
        process.kill()


class _Process:
    """One process and the thread that listens to it."""

    def __init__(self, options: dict[str, object]) -> None:
        # Closed when the process has ended and its last words were read.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        paths = [_ROOT, *(path for path in sys.path if path != _ROOT)]
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._lines: dict[int, _Line] = {}
        self._dead = False
        self._killed = False
        self._write(options)
        threading.Thread(target=self._listen, name="ragstack-isolated", daemon=True).start()

    @property
    def alive(self) -> bool:
        return not self._dead and self._popen.poll() is None

    @property
    def busy(self) -> bool:
        return bool(self._lines)

    def send(self, kind: str, payload: object, cancel: threading.Event | None) -> _Line:
        with self._lock:
            number = next(self._numbers)
            line = _Line(self, number, cancel)
            if self._dead:
                line.answers.put(("error", EngineDied("the model's process has ended")))
                return line
            self._lines[number] = line
            self._write((kind, number, payload))
            return line

    def cancel(self, number: int) -> None:
        with self._lock:
            if number in self._lines and not self._dead:
                self._write(("cancel", number, None))

    def kill(self) -> None:
        self._killed = True
        self._popen.kill()
        self._popen.wait()

    def _write(self, value: object) -> None:
        pipe = self._popen.stdin
        assert pipe is not None
        try:
            frames.write(pipe, value)
        except OSError:
            return  # it has ended: the listener tells everyone who waits

    def _listen(self) -> None:
        pipe = self._popen.stdout
        assert pipe is not None
        try:
            while True:
                kind, number, value = frames.read(pipe)
                with self._lock:
                    last = kind in ("end", "error")
                    line = self._lines.pop(number) if last else self._lines[number]
                line.answers.put((kind, value))
        except EOFError:
            self._mourn()

    def _mourn(self) -> None:
        """Tell everyone who waits how the process ended."""
        code = self._popen.wait()
        with self._lock:
            self._dead = True
            lines, self._lines = list(self._lines.values()), {}
        error = self._cause(code)
        for line in lines:
            line.answers.put(("error", error))
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue

    def _cause(self, code: int) -> GenerationError:
        with self._stderr:
            self._stderr.seek(0, 2)
            self._stderr.seek(max(self._stderr.tell() - _TAIL, 0))
            said = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        if self._killed:
            return GenerationError("the generator is closed")
        told = [line for line in said if "ASSERT" in line or "rror" in line] or said[-1:]
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return EngineDied(
            f"the model's process ended ({how})" + (f": {told[-1].strip()}" if told else ""),
            hint="try again: the next request starts a new one",
        )
