"""A model's weights in, its ONNX graph on disk out, built once and checked. Knows no cache folder.

A store is ``graph.onnx`` (operators), ``graph.data`` (weights, mapped when loaded),
``tokenizer.json`` and ``manifest.json``, in a folder that names what went in. It is made beside its
place and renamed into it, so that a reader sees all of it or nothing, whoever else is building.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from ragstack.embedding import bert_graph, safetensors
from ragstack.embedding.bert_graph import BertShape
from ragstack.embedding.inputs import unit
from ragstack.embedding.wordpiece import WordPiece
from ragstack.errors import ModelError
from ragstack.protocols import Vectors

__all__ = [
    "LEAST_COSINE",
    "Recipe",
    "embed",
    "embed_tokens",
    "open_graph",
    "open_session",
    "prepare",
]

LEAST_COSINE = {"fp32": 0.999, "int8": 0.98}
"""A graph whose vectors are further than this from the reference is refused."""


_STALE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a graph is made from.

    Attributes:
        name: The model's name.
        digest: SHA-256 of its weights.
        precision: ``fp32`` or ``int8``.
        length: Tokens read of a text, the opening and the closing one counted.
        reference: Texts and the vectors that the publisher's own code gives them.
        version: Of the graph.
    """

    name: str
    digest: str
    shape: BertShape
    precision: str
    length: int
    reference: tuple[Sequence[str], Vectors]
    version: int = bert_graph.VERSION

    @property
    def folder(self) -> str:
        """Name of the folder that keeps the graph."""
        return f"{self.name}-{self.digest[:12]}-{self.precision}-v{self.version}"


def prepare(root: Path, recipe: Recipe, *, files: Callable[[], tuple[Path, Path]]) -> Path:
    """Return the folder of a recipe's graph, building it if it is not there.

    Args:
        files: Gives the weights (safetensors) and tokenizer.json; called only to build.

    Raises:
        ModelError: The weights cannot be used, the folder cannot be written, or the graph's
            vectors are not the model's.
    """
    place = root / recipe.folder
    if (place / "manifest.json").is_file():
        return place
    weights, tokenizer = files()
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        made = Path(tempfile.mkdtemp(prefix=f".{recipe.folder}-", dir=root))
    except OSError as error:
        raise _unwritable(root, error) from error
    try:
        _build(made, recipe, weights, tokenizer)
        _publish(made, place)
    except OSError as error:
        raise _unwritable(root, error) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return place


def open_session(folder: Path, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """Return a session that runs the folder's graph.

    Raises:
        ModelError: onnxruntime refuses it.
    """
    return open_graph(
        folder / "graph.onnx",
        threads=threads,
        hint="remove that folder; it is built again when it is next needed",
    )


def open_graph(path: Path, *, threads: int = 1, hint: str = "") -> onnxruntime.InferenceSession:
    """Return a session that runs a graph.

    Raises:
        ModelError: onnxruntime refuses it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads win microseconds on an idle machine and lose a core on a busy one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base
        raise ModelError(
            f"onnxruntime cannot open the graph in {str(path.parent)!r}: {error}",
            hint=hint or "it may be broken or need a newer onnxruntime: fetch it again",
        ) from error


def embed(session: onnxruntime.InferenceSession, ids: Sequence[Sequence[int]]) -> Vectors:
    """Return one unit row for each list of ids, run as one batch."""
    longest = max(len(row) for row in ids)
    padded = np.zeros((len(ids), longest), dtype=np.int32)
    mask = np.zeros_like(padded)
    for row, values in enumerate(ids):
        padded[row, : len(values)] = values
        mask[row, : len(values)] = 1
    (pooled,) = session.run(["pooled"], {"ids": padded, "mask": mask})
    return unit(pooled)


def embed_tokens(session: onnxruntime.InferenceSession, ids: Sequence[int]) -> Vectors:
    """Return one unit row for each id but the first and the last, which enclose the text."""
    row = np.array([ids], dtype=np.int32)
    (tokens,) = session.run(["tokens"], {"ids": row, "mask": np.ones_like(row)})
    return unit(tokens[0, 1:-1])


def _build(folder: Path, recipe: Recipe, weights: Path, tokenizer: Path) -> None:
    tensors = safetensors.read(weights)
    int8 = recipe.precision == "int8"
    bert_graph.save(folder, tensors, recipe.shape, int8=int8, version=recipe.version)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    cosine = _check(folder, recipe)
    manifest = {
        "model": recipe.name,
        "weights": recipe.digest,
        "precision": recipe.precision,
        "builder": recipe.version,
        "cosine": round(cosine, 6),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")


def _check(folder: Path, recipe: Recipe) -> float:
    texts, expected = recipe.reference
    session, tokens = open_session(folder), WordPiece(folder / "tokenizer.json")
    rows = [embed(session, [row])[0] for row in tokens.ids(texts, length=recipe.length)]
    cosine = float((np.stack(rows) * unit(expected)).sum(axis=1).min())
    if not cosine >= LEAST_COSINE[recipe.precision]:
        raise ModelError(
            f"the {recipe.precision} graph of {recipe.name!r} gives vectors with cosine "
            f"{cosine:.4f} to the reference; expected {LEAST_COSINE[recipe.precision]} or more",
            hint='use precision = "fp32"'
            if recipe.precision == "int8"
            else "the weights may be another model's: fetch it again with `ragstack models pull`",
        )
    return cosine


def _sweep(root: Path) -> None:
    """Remove what a build that was killed left behind."""
    for folder in root.glob(".*-v*-*"):
        if time.time() - folder.stat().st_mtime > _STALE_S:
            shutil.rmtree(folder, ignore_errors=True)


def _publish(made: Path, place: Path) -> None:
    try:
        os.rename(made, place)
    except OSError:
        # Another process was first, and its graph is as good.
        if not (place / "manifest.json").is_file():
            raise


def _unwritable(root: Path, error: OSError) -> ModelError:
    return ModelError(
        f"the graph cannot be kept in {str(root)!r}: {error.strerror or error}",
        hint="free some disk, or name another cache folder with RAGSTACK_CACHE",
    )
