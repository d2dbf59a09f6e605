"""Names, folders and hub repositories in, encoders that can be loaded out. Knows no batches.

There are two kinds: graphs that ragstack builds from weights (``BuiltEncoder``), and graphs that
are run as they were published (``FolderEncoder``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from ragstack import models
from ragstack.embedding import graph_store
from ragstack.embedding.bert_graph import VERSION, BertShape
from ragstack.embedding.encoder_files import Asked, Reading, find_graph, merged, read_folder
from ragstack.embedding.encoder_graph import EncoderGraph, is_shared_scale
from ragstack.embedding.graph_store import Recipe
from ragstack.embedding.wordpiece import OwnTokens, WordPiece
from ragstack.errors import ModelUnavailable
from ragstack.models.places import cache_folder
from ragstack.protocols import Vectors

__all__ = [
    "ENCODERS",
    "MODELS",
    "BuiltEncoder",
    "Encoder",
    "FolderEncoder",
    "KnownEncoder",
    "Loaded",
    "OnnxModel",
]

_READING = 1  # raised when the same folder would be read otherwise
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A BERT with mean pooling whose graph is built here.

    Attributes:
        digest: SHA-256 of its weights.
        dimensions: Length of a vector.
        shape: What its weights do not tell.
        length: Tokens it reads of a text, the opening and the closing one counted.
        reference: JSON file of ``texts`` and the ``vectors`` the publisher's own code gives them.
        folder: Where ``model.safetensors`` and ``tokenizer.json`` are; None asks the model table.
    """

    digest: str
    dimensions: int
    shape: BertShape
    length: int
    reference: Path
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class KnownEncoder:
    """An encoder of the model table, whose folder there holds its graph and its tokenizer alone.

    Attributes:
        graph: File name of its graph.
        digest: SHA-256 of the graph, as in the model table.
    """

    graph: str
    digest: str
    dimensions: int
    reading: Reading


MODELS: Mapping[str, OnnxModel] = {
    "all-minilm-l6-v2": OnnxModel(
        digest="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        dimensions=384,
        shape=BertShape(heads=12),
        length=256,
        reference=Path(__file__).parent / "data" / "all-minilm-l6-v2.json",
    )
}
"""The models whose graph is built here."""

ENCODERS: Mapping[str, KnownEncoder] = {
    "bge-small-en-v1.5": KnownEncoder(
        graph="model_quantized.onnx",
        digest="6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4",
        dimensions=384,
        reading=Reading(
            pooling="cls",
            query_prefix="Represent this sentence for searching relevant passages: ",
        ),
    ),
    "multilingual-e5-small": KnownEncoder(
        graph="model_quantized.onnx",
        digest="f80102d3f2a1229f387d3c81909990d8945513e347b0eab049f7de3c6f98c193",
        dimensions=384,
        reading=Reading(pooling="mean", query_prefix="query: ", document_prefix="passage: "),
    ),
}
"""The models whose published graph is run."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An encoder in memory.

    Attributes:
        pooled: Rows for lists of ids, run as one batch; of any length.
        by_token: Rows for one list of ids, one for each id but those that enclose the text.
    """

    tokens: WordPiece
    pooled: Callable[[Sequence[Sequence[int]]], Vectors]
    by_token: Callable[[Sequence[int]], Vectors]


class Encoder(Protocol):
    """What the embedder asks of either kind."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def reading(self) -> Reading:
        """How it reads texts."""
        ...

    @property
    def identity(self) -> str:
        """All that a vector depends on."""
        ...

    @property
    def alone(self) -> bool:
        """Whether each text must be a batch of its own, lest its neighbours count."""
        ...

    def load(self) -> Loaded:
        """Return it in memory."""
        ...


class BuiltEncoder:
    """A graph that is built from weights at first use, checked and kept in the cache folder."""

    def __init__(
        self, name: str, model: OnnxModel, *, precision: str, pull: bool, version: int = VERSION
    ) -> None:
        """Note what to build; nothing is built yet."""
        self._version = version
        self._name, self._model = name, model
        self._precision, self._pull = precision, pull
        self.dimensions = model.dimensions
        self.reading = Reading(pooling="mean", length=model.length)
        # In int8 one scale serves a whole batch: a vector would depend on its neighbours.
        self.alone = precision == "int8"

    @property
    def identity(self) -> str:
        """Model, weights, version, precision, pooling and length."""
        model = self._model
        return (
            f"onnx:{self._name}:{model.digest[:16]}:v{self._version}:"
            f"{self._precision}:mean:{model.length}"
        )

    def earlier(self) -> Iterator[BuiltEncoder]:
        """Yield the same with each earlier version of the graph, the latest first."""
        for version in range(self._version - 1, 0, -1):
            yield BuiltEncoder(
                self._name,
                self._model,
                precision=self._precision,
                pull=self._pull,
                version=version,
            )

    def load(self) -> Loaded:
        """Build the graph unless it is there, and open it."""
        recipe = Recipe(
            name=self._name,
            digest=self._model.digest,
            shape=self._model.shape,
            precision=self._precision,
            length=self._model.length,
            reference=_reference(self._model.reference),
            version=self._version,
        )
        folder = graph_store.prepare(cache_folder() / "graphs", recipe, files=self._files)
        session = graph_store.open_session(folder)
        return Loaded(
            WordPiece(folder / "tokenizer.json"),
            lambda ids: graph_store.embed(session, ids),
            lambda ids: graph_store.embed_tokens(session, ids),
        )

    def _files(self) -> tuple[Path, Path]:
        folder = self._model.folder or models.path(self._name, pull=self._pull)
        return folder / "model.safetensors", folder / "tokenizer.json"


class FolderEncoder:
    """A published graph beside its tokenizer. What its files do not say, the options do."""

    def __init__(
        self,
        name: str,
        place: Callable[[], Path],
        *,
        asked: Asked,
        file: str = "",
        known: KnownEncoder | None = None,
    ) -> None:
        """Note where it is; nothing is fetched or read yet.

        Args:
            place: Gives its folder; called when it is first needed.
            file: Its graph in there; empty looks for one.
            known: What is known of it without its files.
        """
        self._name, self._place, self._asked = name, place, asked
        self._file, self._known = file, known
        # A bad length of a known model is told at once; of another one when its files are read.
        self._early = merged(known.reading, asked) if known else None

    @cached_property
    def reading(self) -> Reading:
        """What the files say, and the options in their place."""
        return self._early or merged(read_folder(self._folder), self._asked)

    @cached_property
    def dimensions(self) -> int:
        """Length of a vector; of a model not in the table, its graph tells."""
        return self._known.dimensions if self._known else self._facts[1]

    @cached_property
    def identity(self) -> str:
        """Name, bytes of graph and tokenizer, pooling, length and prefixes."""
        reading = self.reading
        digest = self._known.digest if self._known else self._digest()
        pooling = self._early.pooling if self._early else self._facts[0]
        prefixes = json.dumps([reading.query_prefix, reading.document_prefix])
        mark = hashlib.sha256(prefixes.encode("utf-8", "replace")).hexdigest()[:8]
        return (
            f"onnx:{self._name}:{digest[:16]}:f{_READING}:published:"
            f"{pooling}:{reading.length}:{mark}"
        )

    @cached_property
    def alone(self) -> bool:
        """Whether its graph rounds a whole batch by one scale."""
        return is_shared_scale(self._graph)

    def load(self) -> Loaded:
        """Read the tokenizer and open the graph."""
        _ = self._known or self._facts  # asked for later, when the graph may be let go of
        graph = self.__dict__.pop("_opened", None) or self._open()
        tokens = self._tokens

        def by_token(ids: Sequence[int]) -> Vectors:
            end = len(ids) - (tokens.added - tokens.leading)
            return graph.by_token(ids)[tokens.leading : end]

        return Loaded(tokens, graph.pooled, by_token)

    @cached_property
    def _folder(self) -> Path:
        return self._place()

    @cached_property
    def _graph(self) -> Path:
        return find_graph(self._folder, self._known.graph if self._known else self._file)

    @cached_property
    def _tokenizer(self) -> Path:
        for place in (self._folder, self._graph.parent):
            if (place / "tokenizer.json").is_file():
                return place / "tokenizer.json"
        raise ModelUnavailable(
            f"{str(self._folder)!r} holds no tokenizer.json",
            hint="the hub has it beside the model; a vocab.txt or a .model file will not do",
        )

    @cached_property
    def _tokens(self) -> OwnTokens:
        return OwnTokens(self._tokenizer)

    @cached_property
    def _facts(self) -> tuple[str, int]:
        """Pooling and dimensions, which of an unknown model only its graph tells."""
        return self._opened.pooling, self._opened.dimensions

    @cached_property
    def _opened(self) -> EncoderGraph:
        return self._open()

    def _open(self) -> EncoderGraph:
        return EncoderGraph(self._graph, pooling=self.reading.pooling, pad=self._tokens.pad)

    def _digest(self) -> str:
        state = hashlib.sha256()
        # A graph over 2 GB keeps its weights beside it, under a name that begins like its own.
        graphs = sorted(self._graph.parent.glob(f"{self._graph.name}*"))
        for path in (*graphs, self._tokenizer):
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    state.update(block)
        return state.hexdigest()


def _reference(file: Path) -> tuple[list[str], Vectors]:
    data = json.loads(file.read_text("utf-8"))
    return data["texts"], np.array(data["vectors"], dtype=np.float32)
