"""Text to token ids and back, with a model's own vocabulary. Knows nothing of templates.

Special tokens are read from text only where the caller says so: text that came from a person or a
document never becomes one.
"""

from __future__ import annotations

import codecs
import ctypes
import functools
import re
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence

from ragstack.engine.library import llama
from ragstack.errors import GenerationError, InputError

__all__ = ["Detokenizer", "Vocabulary"]

_PIECE_BYTES = 256
# llama.cpp takes the length as an int32, and its answer too.
_MAX_BYTES = 2**31 - 1


class Vocabulary:
    """A model's tokens. Safe to call from many threads."""

    def __init__(self, handle: int) -> None:
        self._pointer: int | None = handle
        # Held over every call that reads the model's memory, so that close() waits for it.
        self._lock = threading.RLock()
        self.size: int = llama.llama_vocab_n_tokens(handle)
        self.bos: int = llama.llama_vocab_bos(handle)
        self.eos: int = llama.llama_vocab_eos(handle)
        self.sep: int = llama.llama_vocab_sep(handle)
        self.adds_bos: bool = bool(llama.llama_vocab_get_add_bos(handle))
        self.adds_eos: bool = bool(llama.llama_vocab_get_add_eos(handle))
        self.adds_sep: bool = bool(llama.llama_vocab_get_add_sep(handle))
        self._pieces: dict[tuple[int, bool], bytes] = {}

    @property
    def handle(self) -> int:
        """The C pointer, for libraries that read the vocabulary themselves.

        Raises:
            GenerationError: The model is closed.
        """
        if self._pointer is None:
            raise GenerationError("the generator is closed")
        return self._pointer

    def close(self) -> None:
        """Let go of the model, once no call is reading it."""
        with self._lock:
            self._pointer = None

    def tokenize(self, text: str, *, special: bool = False, begins: bool = False) -> list[int]:
        """Return the tokens of a text, with no mark added before or after.

        Args:
            special: Read ``<|im_start|>`` and its like as control tokens. Only for text of our own.
            begins: Nothing stands before it, so a vocabulary that puts a space there does.
        """
        if special:
            return self._tokenize(text, special=True, begins=begins)
        tokens: list[int] = []
        start = 0
        for found in self._marks.finditer(text):
            # Cut after the first character, so that neither half is the mark.
            tokens += self._tokenize(text[start : found.start() + 1], begins=begins and not tokens)
            start = found.start() + 1
        return tokens + self._tokenize(text[start:], begins=begins and not tokens)

    def _tokenize(self, text: str, *, special: bool = False, begins: bool) -> list[int]:
        if begins or not self._lead or not text:
            return self._call(text, special=special)
        # Llama's vocabularies put a space before every text. Behind a line feed it is not ours.
        tokens = self._call("\n" + text, special=special)
        if tokens[: len(self._lead)] == self._lead:
            return tokens[len(self._lead) :]
        return self._call(text, special=special)

    @functools.cached_property
    def _lead(self) -> list[int]:
        """The tokens of a line feed, where texts get a space before them; else nothing."""
        return self._call("\n") if self.piece(self._call("a")[0]).startswith(b" ") else []

    def _call(self, text: str, *, special: bool = False) -> list[int]:
        # Not surrogatepass: llama.cpp throws over bytes that are not UTF-8, across the C border.
        data = text.encode("utf-8", "replace")
        if len(data) > _MAX_BYTES:
            raise InputError(f"a text of {len(data)} bytes is longer than {_MAX_BYTES}")
        if not data:
            return []
        with self._lock:
            room = len(data) + 2
            buffer = (llama.llama_token * room)()
            size = len(data)
            count = llama.llama_tokenize(self.handle, data, size, buffer, room, False, special)
            if count < 0:
                buffer = (llama.llama_token * -count)()
                count = llama.llama_tokenize(
                    self.handle, data, size, buffer, -count, False, special
                )
            return list(buffer[:count])

    @property
    def opening(self) -> list[int]:
        """What stands before a text that is read whole: the mark of a beginning, or nothing."""
        return [self.bos] if self.adds_bos and self.bos >= 0 else []

    @property
    def closing(self) -> list[int]:
        """What stands behind it: the mark of an end, or that between two texts, or nothing."""
        if self.adds_eos and self.eos >= 0:
            return [self.eos]
        return [self.sep] if self.adds_sep and self.sep >= 0 else []

    @property
    def between(self) -> list[int]:
        """What stands between two texts that are read together, as llama.cpp has it."""
        ends = [self.eos] if self.adds_eos and self.eos >= 0 else []
        return ends + ([self.sep] if self.adds_sep and self.sep >= 0 else [])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return the bytes of a token; a control token has none unless ``special``."""
        cached = self._pieces.get((token, special))
        if cached is not None:
            return cached
        self.check([token])
        with self._lock:
            buffer = ctypes.create_string_buffer(_PIECE_BYTES)
            size = llama.llama_token_to_piece(self.handle, token, buffer, _PIECE_BYTES, 0, special)
            if size < 0:
                buffer = ctypes.create_string_buffer(-size)
                size = llama.llama_token_to_piece(self.handle, token, buffer, -size, 0, special)
        return self._pieces.setdefault((token, special), buffer.raw[:size])

    def pieces(self) -> list[bytes]:
        """Return the bytes of every token, control tokens by their marks, in order of id."""
        size, call = _PIECE_BYTES, llama.llama_token_to_piece
        buffer = ctypes.create_string_buffer(size)
        pieces = []
        with self._lock:
            for token in range(self.size):
                length = call(self.handle, token, buffer, size, 0, True)
                pieces.append(
                    ctypes.string_at(buffer, length)
                    if length >= 0
                    else self.piece(token, special=True)
                )
        return pieces

    def is_mark(self, token: int) -> bool:
        """Return whether a token is a control token, or a user-defined one that looks like one."""
        return self.is_control(token) or token in self._mark_tokens

    def detokenize(self, tokens: Iterable[int], *, special: bool = False) -> str:
        """Return the text of tokens; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.piece(token, special=special) for token in tokens).decode(
            "utf-8", "replace"
        )

    def check(self, tokens: Sequence[int]) -> None:
        """Refuse ids that this vocabulary has not.

        Raises:
            InputError: One is out of range; llama.cpp would throw across the C border.
        """
        for token in tokens:
            if not 0 <= token < self.size:
                raise InputError(f"no token has the id {token}; ids are 0 to {self.size - 1}")

    @functools.cached_property
    def _mark_tokens(self) -> Mapping[int, str]:
        """User-defined tokens that look like marks (``<tool_call>``, ``<think>``, ``[INST]``)."""
        attributes, defined = llama.llama_vocab_get_attr, llama.LLAMA_TOKEN_ATTR_USER_DEFINED
        with self._lock:
            texts = {
                token: self.piece(token, special=True).decode("utf-8", "replace")
                for token in range(self.size)
                if attributes(self.handle, token) & defined
            }
        return {i: t for i, t in texts.items() if len(t) > 2 and t[0] + t[-1] in ("<>", "[]")}

    @functools.cached_property
    def _marks(self) -> re.Pattern[str]:
        """What must not stay whole in a text: llama.cpp reads these, ``parse_special`` or not."""
        texts = sorted(self._mark_tokens.values(), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, texts)) or r"(?!)")

    @functools.cached_property
    def ends(self) -> frozenset[int]:
        """Tokens that end a generation: end of text, end of turn and their like."""
        is_end = llama.llama_vocab_is_eog
        with self._lock:
            return frozenset(token for token in range(self.size) if is_end(self.handle, token))

    def is_control(self, token: int) -> bool:
        """Return whether a token is a control token."""
        self.check([token])
        with self._lock:
            return bool(llama.llama_vocab_is_control(self.handle, token))

    def special_token(self, text: str) -> int | None:
        """Return the one control or user-defined token that is written so, if there is one."""
        tokens = self.tokenize(text, special=True)
        return tokens[0] if len(tokens) == 1 and len(self.tokenize(text)) > 1 else None


class Detokenizer:
    """Turns a stream of tokens into text, never cutting a character in two."""

    def __init__(self, vocabulary: Vocabulary, *, shown: Collection[int] = ()) -> None:
        """Begin a text.

        Args:
            shown: Control tokens whose marks are part of the text; those of others are not.
        """
        self._vocabulary = vocabulary
        self._shown = frozenset(shown)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """Return the text that this token completes; empty while a character is unfinished."""
        return self._decoder.decode(self._vocabulary.piece(token, special=token in self._shown))

    def flush(self) -> str:
        """Return what is left; the bytes of an unfinished character become U+FFFD."""
        return self._decoder.decode(b"", final=True)
