"""A folder of an encoder in, how it reads texts out: pooling, prefixes, length. Runs nothing.

The files are those that sentence-transformers and the hub write: ``modules.json``,
``1_Pooling/config.json``, ``sentence_bert_config.json``, ``config_sentence_transformers.json``,
``tokenizer_config.json`` and ``config.json``. Each may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragstack.errors import ConfigError, ModelError, ModelUnavailable

__all__ = ["POOLINGS", "Asked", "Reading", "choose_graph", "find_graph", "merged", "read_folder"]

POOLINGS = ("mean", "cls", "last", "graph")
"""``graph``: the graph gives the vector of a text itself."""

_LENGTH = 512
_GRAPHS = ("onnx/model.onnx", "model.onnx", "onnx/model_quantized.onnx", "model_quantized.onnx")
_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_OTHER_FLAGS = (
    "pooling_mode_max_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
)
_SPELLINGS = {"mean": "mean", "cls": "cls", "lasttoken": "last", "last": "last"}
# Their position table begins behind the padding's number.
_SHIFTED = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl"})


@dataclass(frozen=True, slots=True)
class Reading:
    """How an encoder reads texts.

    Attributes:
        pooling: One of ``POOLINGS``; empty where nothing says it.
        query_prefix: Stands before every question.
        document_prefix: Stands before every other text.
        length: Tokens read of a text, special ones and the prefix counted.
    """

    pooling: str = ""
    query_prefix: str = ""
    document_prefix: str = ""
    length: int = _LENGTH


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user said of it; empty, None and 0 leave it to the files."""

    pooling: str = ""
    query_prefix: str | None = None
    document_prefix: str | None = None
    length: int = 0

    def __post_init__(self) -> None:
        if self.pooling not in ("", *POOLINGS):
            raise ConfigError(f"pooling is one of {', '.join(POOLINGS)}, got {self.pooling!r}")
        if self.length < 0 or 0 < self.length < 8:
            raise ConfigError(f"length is 8 tokens or more, or 0, got {self.length!r}")

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return self == Asked()


def merged(found: Reading, asked: Asked) -> Reading:
    """Return what was found, with what was asked for in its place.

    Raises:
        ConfigError: A length that the model does not have.
    """
    if asked.length > found.length:
        raise ConfigError(
            f"the model reads {found.length} tokens of a text, got length = {asked.length!r}"
        )
    return Reading(
        pooling=asked.pooling or found.pooling,
        query_prefix=found.query_prefix if asked.query_prefix is None else asked.query_prefix,
        document_prefix=found.document_prefix
        if asked.document_prefix is None
        else asked.document_prefix,
        length=asked.length or found.length,
    )


def read_folder(folder: Path) -> Reading:
    """Return what the files of a folder say.

    Raises:
        ModelError: A file is broken, or the model has a step behind its graph that is not run here.
    """
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts")
    named: Mapping[str, Any] = prompts if isinstance(prompts, Mapping) else {}
    return Reading(
        pooling=_pooling(folder),
        query_prefix=str(named.get("query") or named.get("search_query") or ""),
        document_prefix=str(named.get("document") or named.get("passage") or ""),
        length=_length(folder),
    )


def find_graph(folder: Path, name: str = "") -> Path:
    """Return the graph of a folder: the one named, else the full one, else the only one.

    Raises:
        ModelUnavailable: It is not there.
        ConfigError: There are several, none of them under a usual name.
    """
    there = [path.relative_to(folder).as_posix() for path in folder.rglob("*.onnx")]
    return folder / choose_graph(there, name, origin=str(folder))


def choose_graph(there: list[str], name: str, *, origin: str) -> str:
    """Return which of these graphs is meant; see ``find_graph``."""
    known = ", ".join(sorted(there)) or "none"
    if name:
        if name in there:
            return name
        raise ModelUnavailable(f"{origin!r} holds no graph {name!r}; there: {known}")
    for usual in _GRAPHS:
        if usual in there:
            return usual
    if len(there) == 1:
        return there[0]
    if not there:
        raise ModelUnavailable(
            f"{origin!r} holds no ONNX graph",
            hint='a model without one runs with use = "sentence_transformers" or "gguf"',
        )
    raise ConfigError(f"{origin!r} holds several graphs: {known}", hint='say which: file = "NAME"')


def _pooling(folder: Path) -> str:
    modules = _json(folder / "modules.json", list)
    place = "1_Pooling"
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind == "Pooling":
            place = str(module.get("path") or place)
        elif kind not in ("Transformer", "Normalize"):
            raise ModelError(
                f"the model in {str(folder)!r} has a step {kind!r} behind its graph; "
                "expected pooling and normalisation alone",
                hint='it runs with use = "sentence_transformers"',
            )
    stated = _json(folder / place / "config.json")
    if not stated:
        return ""
    spelt = stated.get("pooling_mode")
    found = [name for flag, name in _FLAGS.items() if stated.get(flag)]
    found += [_SPELLINGS.get(str(spelt), "")] if spelt else []
    others = [flag for flag in _OTHER_FLAGS if stated.get(flag)]
    if others or len(found) != 1 or not found[0]:
        raise ModelError(
            f"{str(folder / place)!r} asks for a pooling that is not run here: "
            f"{(others or [str(spelt or found)])[0]!r}; expected one of mean, cls, last",
            hint='it runs with use = "sentence_transformers"',
        )
    return found[0]


def _length(folder: Path) -> int:
    stated = _whole(_json(folder / "sentence_bert_config.json").get("max_seq_length"))
    if stated:
        return stated
    config = _json(folder / "config.json")
    table = _whole(config.get("max_position_embeddings"))
    if table and config.get("model_type") in _SHIFTED:
        table -= _whole(config.get("pad_token_id")) + 1
    written = _whole(_json(folder / "tokenizer_config.json").get("model_max_length"))
    # Where nobody set it, the tokenizer's file says 1e30.
    limits = [limit for limit in (table, written) if 0 < limit < 1_000_000]
    return min(limits) if limits else _LENGTH


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _json(path: Path, kind: type[Any] = dict) -> Any:
    if not path.is_file():
        return kind()
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{str(path)!r} cannot be read: {error}") from error
    if not isinstance(found, kind):
        raise ModelError(f"{str(path)!r}: expected a JSON {kind.__name__}, got {str(found)[:40]!r}")
    return found
