"""llama-cpp-python's ``Llama``, and LangChain's ``ChatLlamaCpp`` around it, behind one lock.

Both serve one request at a time and crash when two threads call them, so a lock is what their users
put around them. Run by the bench: ``python -m ragstack_evals.contest.play_llama [langchain]``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

import llama_cpp.llama_cpp as lib
from llama_cpp import Llama

from ragstack_evals.contest.player import Ask, Player, Setup, Used, serve

__all__ = ["ChatLlamaCppPlayer", "LlamaPlayer"]

_IS_END = lib.llama_vocab_is_eog
_GREEDY = {"temperature": 0.0, "repeat_penalty": 1.0}
_BATCH = 512  # LangChain's own default of 8 reads prompts at a fraction of the speed


class LlamaPlayer(Player):
    """``Llama.create_chat_completion``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None

    def open(self, setup: Setup) -> None:
        """Load the model."""
        self._model = Llama(
            setup.model,
            n_ctx=setup.window,
            n_batch=_BATCH,
            n_threads=setup.threads,
            n_threads_batch=setup.threads,
            n_gpu_layers=-1,
            verbose=False,
        )

    def stream(self, ask: Ask) -> Generator[str, None, Used]:
        """Wait for the lock, then yield text."""
        with self._lock:
            # Ends that do not end: neither of them has an option for it that costs no time.
            lib.llama_vocab_is_eog = (lambda *_: False) if ask.endless else _IS_END
            pieces, ended = 0, ""
            for text, reason in self._texts(ask):
                pieces, ended = pieces + bool(text), reason
                yield text
        # A stop of the chat template's ends it nevertheless; a piece is a token then.
        return Used(written=ask.tokens if ended == "length" else pieces)

    def _texts(self, ask: Ask) -> Iterator[tuple[str, str]]:
        """Yield texts, each with the reason why it is the last if it is."""
        found = self._model.create_chat_completion(
            list(ask.messages), max_tokens=ask.tokens, stream=True, **_GREEDY, **_shape(ask)
        )
        for piece in found:
            (choice,) = piece["choices"]
            yield choice["delta"].get("content") or "", choice["finish_reason"] or ""

    def close(self) -> None:
        """Give the memory back."""
        self._model = None


class ChatLlamaCppPlayer(LlamaPlayer):
    """``ChatLlamaCpp.stream``, greedy, with the batch its documentation recommends."""

    def open(self, setup: Setup) -> None:
        """Load the model."""
        from langchain_community.chat_models import ChatLlamaCpp  # in the peers' environment alone

        self._model = ChatLlamaCpp(
            model_path=setup.model,
            n_ctx=setup.window,
            n_batch=_BATCH,
            n_threads=setup.threads,
            n_gpu_layers=-1,
            model_kwargs={"n_threads_batch": setup.threads},
            verbose=False,
            **_GREEDY,
        )

    def _texts(self, ask: Ask) -> Iterator[tuple[str, str]]:
        messages = [(each["role"], each["content"]) for each in ask.messages]
        for piece in self._model.stream(messages, max_tokens=ask.tokens, **_shape(ask)):
            yield str(piece.content), piece.response_metadata.get("finish_reason") or ""


def _shape(ask: Ask) -> dict[str, Any]:
    if ask.schema is None:
        return {}
    return {"response_format": {"type": "json_object", "schema": dict(ask.schema)}}


if __name__ == "__main__":
    serve(ChatLlamaCppPlayer() if sys.argv[1:] == ["langchain"] else LlamaPlayer())
