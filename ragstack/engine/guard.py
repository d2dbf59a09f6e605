"""What would abort the process inside llama.cpp, and the check that stops it here.

llama.cpp asserts on bad input (``GGML_ASSERT``) or throws across the C border: both end the
process, and with it every other request. ``DANGERS`` is the whole list; each row names the check
that stands before it. The tests run the worst of them without their check and see llama.cpp die.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ragstack.engine.gguf import Header
from ragstack.engine.images import Image
from ragstack.engine.memory import CACHE_TYPES
from ragstack.errors import ContextOverflow, GenerationError, InputError
from ragstack.types import Span

__all__ = [
    "DANGERS",
    "FLASH_ATTENTION",
    "Danger",
    "Limits",
    "check_batch",
    "check_cache",
    "check_fit",
    "check_image",
    "check_limits",
    "check_sequence",
    "check_spans",
]

FLASH_ATTENTION = ("auto", "on", "off")
"""When attention is computed in one pass that keeps no table of scores."""
_BLOCK = 32  # numbers that share a scale in q8_0 and q4_0

# llama.h, LLAMA_MAX_SEQ.
_MAX_SEQUENCES = 256
_MAX_CONTEXT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Danger:
    """One input that llama.cpp does not survive.

    Attributes:
        place: The assert or throw in llama.cpp.
        check: Where in this room it is stopped.
    """

    input: str
    place: str
    check: str


DANGERS: tuple[Danger, ...] = (
    Danger("more tokens in a batch than n_batch", "llama_context::decode", "guard.check_batch"),
    Danger(
        "a batch over n_ubatch where attention is not causal",
        "llama_context::encode and decode",
        "guard.check_limits",
    ),
    Danger("an empty batch", "llama_batch_allocr::init", "guard.check_batch"),
    Danger("a token id out of range, decoded", "llama_batch_allocr::init", "guard.check_batch"),
    Danger("a token id out of range, detokenised", "llama_vocab::at", "Vocabulary.check"),
    Danger(
        "more logit rows than n_outputs_max", "llama_context::output_reserve", "guard.check_batch"
    ),
    Danger(
        "fewer logit rows kept than there are sequences",
        "llama_context::output_reserve",
        "guard.check_limits",
    ),
    Danger("a sequence id out of range", "llama_kv_cache::seq_rm", "guard.check_sequence"),
    Danger(
        "part of a sequence copied, kv_unified off",
        "llama_kv_cache::seq_cp",
        "Context asks for kv_unified",
    ),
    Danger(
        "more tokens than the window", "find_slot fails, the cache holds half", "guard.check_fit"
    ),
    Danger(
        "n_batch, n_ubatch, n_ctx or n_seq_max out of range", "llama_context", "guard.check_limits"
    ),
    Danger("text that is not UTF-8", "some pre-tokenisers throw", "Vocabulary.tokenize"),
    Danger("a text over 2 GiB", "llama_vocab::tokenize", "Vocabulary.tokenize"),
    Danger(
        "a grammar in llama.cpp's own dialect", "llama_grammar_accept", "grammars run in llguidance"
    ),
    Danger("a sampler over no candidates", "llama_sampler_*", "sampling runs in numpy"),
    Danger("a truncated or malformed model file", "gguf.cpp, llama-model.cpp", "gguf.read_header"),
    Danger("a well-formed file with impossible numbers", "llama_hparams", "probe.check_loads"),
    Danger(
        "states or experts of sizes that do not go together",
        "load_arch_tensors of src/models, and the first step",
        "probe.check_loads",
    ),
    Danger(
        "a library compiled for another processor, or with broken AMX kernels",
        "an illegal instruction at the first step",
        "probe.check_loads",
    ),
    Danger("an adapter of another make or shape", "ggml_mul_mat", "adapters.check_adapter"),
    Danger("an adapter's metadata of a wrong type", "gguf_get_val_f32", "probe.check_loads"),
    Danger(
        "a saved state that is damaged",
        "llama_context::state_seq_set_data",
        "prefix_file.read_prefix",
    ),
    Danger(
        "a token that does not follow the last one kept",
        "llama_batch_allocr::init fails, the whole step with it",
        "guard.check_spans",
    ),
    Danger(
        "pooling over more than one piece of a batch",
        "the row of the last piece comes back",
        "Encoder reads a step in one piece",
    ),
    Danger("a pooling that llama.cpp does not know", "build_pooling", "encoder.encoding"),
    Danger("a position beyond the table of positions", "ggml_get_rows", "encoder.encoding"),
    Danger("rank pooling without a rank head", "the row is too short", "encoder.encoding"),
    Danger(
        "rows of an image of another width than the model's",
        "llama_batch_compat::init reads beyond them",
        "guard.check_image",
    ),
    Danger(
        "a projector of another make or with impossible numbers", "clip.cpp", "probe.check_loads"
    ),
    Danger("an encoder that writes no text", "llama_context::encode", "Context refuses it"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a context was made with, and what a batch must keep to.

    Attributes:
        context: Tokens that are kept, of all sequences together.
        window: Tokens of one request.
        outputs: Rows of logits in one batch.
        vocabulary: How many token ids there are.
        row: Numbers that stand for a token inside the model.
    """

    context: int
    window: int
    batch: int
    micro_batch: int
    outputs: int
    vocabulary: int
    sequences: int = 1
    row: int = 0


def check_limits(limits: Limits) -> None:
    """Refuse sizes that llama.cpp cannot make a context of.

    Raises:
        InputError: A size is out of range.
    """
    for name, value, top in (
        ("context", limits.context, _MAX_CONTEXT),
        ("window", limits.window, limits.context),
        ("batch", limits.batch, limits.context),
        ("micro_batch", limits.micro_batch, limits.batch),
        ("outputs", limits.outputs, limits.batch),
        ("sequences", limits.sequences, min(_MAX_SEQUENCES, limits.outputs)),
    ):
        if not 0 < value <= top:
            raise InputError(f"{name} is {value}, expected 1 to {top}")


def check_cache(header: Header, cache_type: str, flash_attention: str = "auto") -> None:
    """Refuse a cache that llama.cpp cannot keep, or not read.

    Raises:
        InputError: One of the two is unknown; numbers of few bits are wanted without flash
            attention, or a head's keys or values are no whole blocks of them.
    """
    if cache_type not in CACHE_TYPES:
        raise InputError(
            f"cache_type is {cache_type!r}, expected one of {', '.join(CACHE_TYPES)}",
            hint="q8_0 takes half the memory of f16, and moves the text hardly at all",
        )
    if flash_attention not in FLASH_ATTENTION:
        raise InputError(
            f"flash_attention is {flash_attention!r}, expected one of {', '.join(FLASH_ATTENTION)}"
        )
    if CACHE_TYPES[cache_type] >= CACHE_TYPES["f16"]:
        return
    if flash_attention == "off":
        raise InputError(
            f"cache_type is {cache_type!r} and flash_attention is 'off': values of few bits are "
            "read by flash attention alone",
            hint="leave flash_attention at 'auto', or cache_type at 'f16'",
        )
    heads = max(header.per_layer("attention.head_count", 1) or (0,))
    width = header.number("embedding_length") // heads if heads else 0
    for part in ("key", "value"):
        size = header.number(f"attention.{part}_length") or width
        if size % _BLOCK:
            raise InputError(
                f"cache_type is {cache_type!r}, which comes in blocks of {_BLOCK}; a head's "
                f"{part}s are {size} numbers in this model",
                hint="leave cache_type at 'f16'",
            )


class _Piece(Protocol):
    @property
    def sequence(self) -> int: ...
    @property
    def at(self) -> int: ...
    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def rows(self) -> int: ...


def check_batch(pieces: Sequence[_Piece], limits: Limits) -> None:
    """Refuse a step that llama.cpp would die of.

    Raises:
        InputError: It is empty, too long, or holds ids or rows out of range.
        GenerationError: A sequence is out of range.
    """
    total = sum(len(piece.tokens) for piece in pieces)
    if not 0 < total <= limits.batch or not all(piece.tokens for piece in pieces):
        raise InputError(f"a batch of {total} tokens, expected 1 to {limits.batch}, no piece empty")
    rows = sum(piece.rows for piece in pieces)
    if rows > limits.outputs or any(not 0 <= p.rows <= len(p.tokens) for p in pieces):
        raise InputError(f"{rows} rows of logits asked for, at most {limits.outputs} are kept")
    if len({piece.sequence for piece in pieces}) < len(pieces):
        raise InputError("two pieces of one sequence in one batch")
    for piece in pieces:
        check_sequence(piece.sequence, limits)
        low, high = min(piece.tokens), max(piece.tokens)
        if low < 0 or high >= limits.vocabulary:
            raise InputError(f"token ids {low} to {high}, expected 0 to {limits.vocabulary - 1}")
        if not 0 <= piece.at <= limits.context - len(piece.tokens):
            raise InputError(
                f"{len(piece.tokens)} tokens at {piece.at}, the window ends at {limits.context}"
            )


def check_image(sequence: int, image: Image, rows: Span, limits: Limits) -> None:
    """Refuse rows of an image that llama.cpp would die of, or read beyond.

    Raises:
        GenerationError: A sequence is out of range.
        InputError: There are none, or too many; they are of another width, or out of the window;
            or part of an image is given that is to be read whole.
    """
    check_sequence(sequence, limits)
    start, end = rows
    if image.rows.shape != (image.cells, limits.row) or image.rows.dtype.name != "float32":
        raise InputError(
            f"an image's rows are {image.rows.dtype} of shape {image.rows.shape}, expected float32 "
            f"and {limits.row} numbers a row: take the projector that was made for this model"
        )
    if image.places is not None and image.places.shape != (4, image.cells):
        raise InputError(f"an image's places have the shape {image.places.shape}, expected (4, n)")
    if not 0 <= start < end <= image.cells or end - start > limits.batch:
        raise InputError(
            f"rows {start} to {end} of an image of {image.cells}, expected 1 to {limits.batch}"
        )
    if image.whole and end - start < image.cells:
        raise InputError(f"part of an image that is read whole, expected its {image.cells} rows")
    if not 0 <= image.at <= limits.context - max(len(image.ids), 1):
        raise InputError(f"an image at {image.at}, the window ends at {limits.context}")


def check_fit(prompt: int, answer: int, limits: Limits) -> None:
    """Refuse what does not fit the window.

    Raises:
        InputError: There is no prompt, or fewer than no tokens are wanted.
        ContextOverflow: Prompt and answer together are too long.
    """
    if prompt < 1:
        raise InputError("the prompt has no tokens")
    if answer < 0:
        raise InputError(f"max_tokens is {answer}, expected 0 or more")
    if prompt + answer > limits.window:
        raise ContextOverflow(
            f"the prompt has {prompt} tokens and the answer may have {answer}: "
            f"{prompt + answer} together, the window holds {limits.window}",
            hint=f"give the answer at most {limits.window - prompt} tokens"
            if prompt < limits.window
            else "shorten the prompt, or open the generator with a larger context_size",
        )


def check_spans(spans: Sequence[Span], prompt: int) -> None:
    """Refuse stretches that cannot be left out of a prompt: its last two tokens stay.

    The last is read again without the stretch, and positions go on from the one before it.

    Raises:
        InputError: One is empty or reaches beyond.
    """
    for start, end in spans:
        if not 0 <= start < end <= prompt - 2:
            raise InputError(
                f"tokens {start} to {end} cannot be left out of a prompt of {prompt}, expected a "
                f"stretch within its first {prompt - 2}"
            )


def check_sequence(sequence: int, limits: Limits) -> None:
    """Refuse a sequence that the context has not.

    Raises:
        GenerationError: It is out of range.
    """
    if not 0 <= sequence < limits.sequences:
        raise GenerationError(f"no sequence {sequence}; there are {limits.sequences}")
