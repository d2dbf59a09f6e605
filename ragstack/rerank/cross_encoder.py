"""Passages in, scores out by a cross-encoder on onnxruntime: question and passage read together.

Nogueira and Cho 2019, "Passage Re-ranking with BERT" (arXiv:1901.04085). Any ONNX export of a
sequence classifier with one label, or with two of which the second is "relevant".
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from ragstack import models
from ragstack.errors import ConfigError, ModelError, ModelUnavailable, UnsupportedCapability
from ragstack.types import Passage

__all__ = ["CrossEncoderReranker"]

_GRAPHS = (
    "model.onnx",
    "onnx/model.onnx",
    "onnx/model_quantized.onnx",
    "model_quantized.onnx",
    "onnx/model_int8.onnx",
)
_NO_LIMIT = 1 << 20  # tokenizer_config.json says 1e30 where nobody set a length
_LENGTH = 512
_QUESTION_SHARE = 2  # a question may take one part in so many of the length


@dataclass(frozen=True, slots=True)
class _Loaded:
    tokenizer: Any
    alone: Any  # the same for one text: it cuts nothing
    session: Any
    inputs: frozenset[str]
    pad: int


class CrossEncoderReranker:
    """A Reranker. Its model is loaded when it is first needed, and again after ``close``.

    Scores are log-odds (the model's own head, not squeezed into 0 to 1): only their order and
    their differences mean something.
    """

    def __init__(
        self,
        *,
        model: str,
        graph: str = "",
        length: int = 0,
        batch_tokens: int = 2048,
        threads: int = 0,
    ) -> None:
        """Find the model's files; nothing is loaded yet.

        Args:
            model: A folder that holds ``tokenizer.json`` and the graph, or a name of the model
                table.
            graph: The graph's file in that folder; empty takes the first of the usual names.
            length: Tokens of question and passage together; 0 is what the model's own files say,
                512 where they say nothing. A passage that is too long is cut.
            batch_tokens: Tokens of one batch, padding counted.
            threads: Batches run at once; 0 is every core.

        Raises:
            UnknownModel: No model has the name.
            ModelUnavailable: It is not on this machine, or a file of it is missing.
            ConfigError: Another option cannot be used.
        """
        if length < 0 or batch_tokens < 1 or threads < 0:
            raise ConfigError(
                f"length={length!r}, batch_tokens={batch_tokens!r}, threads={threads!r}: "
                "expected at least 0, 1 and 0"
            )
        given = Path(model).expanduser()
        self._folder = given if given.is_dir() else models.path(model)
        self._graph = _graph(self._folder, graph)
        self._length = length or _length(self._folder)
        if self._length < 8:
            raise ConfigError(f"length is {self._length!r}, expected 8 tokens or more")
        self._batch_tokens = batch_tokens
        self._threads = threads or len(os.sched_getaffinity(0))
        self._lock = threading.Lock()
        self._held: _Loaded | None = None

    def score(self, query: str, passages: Sequence[Passage]) -> list[float]:
        """Return one score for each passage, in order; higher is better."""
        if not passages:
            return []
        held = self._loaded()
        # The question gives way only where it would leave the passage no room.
        asked = held.alone.encode(_plain(query), add_special_tokens=False)
        most = self._length // _QUESTION_SHARE
        if len(asked.ids) > most:
            query = query[: asked.offsets[most - 1][1]]
        pairs = held.tokenizer.encode_batch(
            [(_plain(query), _plain(passage.chunk.indexed_text)) for passage in passages]
        )
        scores = [0.0] * len(pairs)

        def run(batch: list[int]) -> None:
            for row, value in zip(batch, _run(held, [pairs[row] for row in batch]), strict=True):
                scores[row] = value

        batches = list(self._batches([len(pair.ids) for pair in pairs]))
        with ThreadPoolExecutor(self._threads, thread_name_prefix="rerank") as pool:
            for _ in pool.map(run, batches):
                pass
        return scores

    def close(self) -> None:
        """Let go of the model; it is loaded again if it is used again."""
        with self._lock:
            self._held = None

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Yield rows of like length, longest first, so that padding stays small."""
        batch: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
            if batch and lengths[batch[0]] * (len(batch) + 1) > self._batch_tokens:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _loaded(self) -> _Loaded:
        with self._lock:
            if self._held is None:
                alone, tokenizer = (_tokenizer(self._folder / "tokenizer.json") for _ in range(2))
                tokenizer.enable_truncation(self._length, strategy="only_second")
                session = _session(self._graph)
                inputs = frozenset(each.name for each in session.get_inputs())
                if not {"input_ids", "attention_mask"} <= inputs:
                    raise UnsupportedCapability(
                        f"{str(self._graph)!r} takes {', '.join(sorted(inputs))}; a cross-encoder "
                        "takes input_ids and attention_mask"
                    )
                self._held = _Loaded(tokenizer, alone, session, inputs, _pad(tokenizer))
            return self._held


def _run(held: _Loaded, pairs: Sequence[Any]) -> list[float]:
    longest = max(len(pair.ids) for pair in pairs)
    ids = np.full((len(pairs), longest), held.pad, dtype=np.int64)
    mask, kinds = np.zeros_like(ids), np.zeros_like(ids)
    for row, pair in enumerate(pairs):
        size = len(pair.ids)
        ids[row, :size], mask[row, :size], kinds[row, :size] = pair.ids, 1, pair.type_ids
    every = {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}
    logits = held.session.run(None, {name: every[name] for name in held.inputs if name in every})[0]
    if logits.ndim == 1:
        logits = logits[:, None]
    if logits.ndim != 2 or logits.shape[1] not in (1, 2):
        raise UnsupportedCapability(
            f"the model gives an array of shape {logits.shape!r}; a cross-encoder gives one label "
            "for each pair, or two"
        )
    found = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
    return [float(value) for value in found]


def _graph(folder: Path, name: str) -> Path:
    names = (name,) if name else _GRAPHS
    if not (folder / "tokenizer.json").is_file():
        raise ModelUnavailable(
            f"{str(folder)!r} holds no tokenizer.json",
            hint="name a folder with an ONNX export of a cross-encoder and its tokenizer",
        )
    for each in names:
        if (folder / each).is_file():
            return folder / each
    raise ModelUnavailable(f"{str(folder)!r} holds none of: {', '.join(names)}")


def _length(folder: Path) -> int:
    """Return the tokens the model reads, as its own files say."""
    for file, key in (
        ("tokenizer_config.json", "model_max_length"),
        ("config.json", "max_position_embeddings"),
    ):
        try:
            found = json.loads((folder / file).read_text("utf-8")).get(key)
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(found, int) and not isinstance(found, bool) and 8 <= found < _NO_LIMIT:
            return min(found, _LENGTH)
    return _LENGTH


def _tokenizer(path: Path) -> Any:
    try:
        found = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ModelError(f"{str(path)!r} is not a tokenizer: {error}") from error
    found.no_padding()
    found.no_truncation()
    # Else a passage that holds "[SEP]" would end its own text.
    found.encode_special_tokens = True
    return found


def _pad(tokenizer: Any) -> int:
    for token in ("[PAD]", "<pad>"):
        found = tokenizer.token_to_id(token)
        if found is not None:
            return int(found)
    return 0  # masked anyway


def _session(graph: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base
        raise ModelError(f"onnxruntime cannot open {str(graph)!r}: {error}") from error


def _plain(text: str) -> str:
    # The tokenizer takes no lone surrogates.
    return text.encode("utf-8", "replace").decode()
