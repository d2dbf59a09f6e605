"""A model file tried in a process of its own: what llama.cpp would abort over is found out there.

A header can be well formed and still hold numbers that llama.cpp divides by or indexes with; and a
library that was compiled for another processor, or by a compiler that breaks its kernels, ends the
process at its first step. So every file is tried once with every build of llama.cpp.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from ragstack.engine import gguf
from ragstack.engine.adapters import Adapters, check_adapter
from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.encoder import Encoder, encoding
from ragstack.engine.model import Model
from ragstack.engine.pictures import Picture
from ragstack.engine.projector import Projector
from ragstack.engine.projector_file import check_projector
from ragstack.errors import ModelError, RagstackError

__all__ = ["check_loads"]

_SECONDS = 600
_WINDOW = 32
_NAME = "adapter"
_OK = "loads"
_IMAGES = "images"  # in place of a pooling
_SIDES = (64, 96)  # pixels
_ASSERT = "GGML_ASSERT"


def check_loads(
    path: Path,
    adapter: Path | None = None,
    *,
    pooling: str = "",
    projector: Path | None = None,
) -> None:
    """Load a file, read a few tokens with it, and forget it, all in another process.

    Args:
        adapter: Is tried too, with this model.
        pooling: It is to turn texts into rows, pooled so.
        projector: Is tried in place of an adapter, on an image of noise.

    Raises:
        ModelError: It is broken, or brought the other process down; says which.
    """
    header = gguf.read_header(path)
    files = [str(path)]
    if projector is not None:
        check_projector(projector)
        files.append(str(projector))
    elif adapter is not None:
        check_adapter(adapter, header)
        files.append(str(adapter))
    how = _IMAGES if projector is not None else pooling
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ragstack.engine.probe", how, *files],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},  # else a debugger is called, if there
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{files[-1]!r} did not load within {_SECONDS} s") from error
    if done.returncode == 0 and done.stdout.strip() == _OK:
        return
    if done.returncode == -signal.SIGILL:
        raise ModelError(
            "llama.cpp as it is installed holds an instruction that this processor refuses",
            hint="it was compiled for another processor, or by a GCC that breaks AMX (12.2 does): "
            'compile it here, by make demo or CMAKE_ARGS="-DCMAKE_CXX_FLAGS=-mno-amx-int8" pip '
            "install --force-reinstall --no-deps --no-cache-dir llama-cpp-python",
        )
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    raise ModelError(
        f"{files[-1]!r} cannot be used: llama.cpp "
        + (f"aborts over it (signal {-done.returncode})" if done.returncode < 0 else "refuses it")
        + (f": {next((line for line in said if _ASSERT in line), said[0])}" if said else ""),
        hint="the file is damaged, or of a kind newer than the installed llama-cpp-python",
    )


def _try_encoder(path: Path, pooling: str) -> str:
    """Return ``_OK``, or why the file cannot turn texts into rows."""
    try:
        length = min(gguf.read_header(path).context_length or _WINDOW, _WINDOW)
        chosen = encoding(gguf.read_header(path), pooling=pooling, length=length)
        encoder = Encoder(path, chosen, gpu_layers=0)
        vocabulary = encoder.model.vocabulary
        tokens = vocabulary.opening + vocabulary.tokenize("A few words, to see.")
        encoder.encode([tokens[:length]])
    except RagstackError as error:
        return error.message
    return _OK


def _try(path: Path, adapter: Path | None = None) -> str:
    """Return ``_OK``, or why the file cannot be used."""
    try:
        model = Model(path, gpu_layers=0)
        adapters = Adapters(model, {} if adapter is None else {_NAME: adapter})
        context = Context(model, Options(size=_WINDOW))
        context.adapt(adapters.handle("" if adapter is None else _NAME))
        tokens = model.vocabulary.tokenize("A few words, to see.")[: _WINDOW - 1]
        context.decode([Piece(0, 0, tokens, rows=1)])
        context.logits(len(tokens) - 1)
        for token in range(0, model.vocabulary.size, max(1, model.vocabulary.size // 1000)):
            model.vocabulary.piece(token, special=True)
    except RagstackError as error:
        return error.message
    return _OK


def _try_projector(path: Path, projector: Path) -> str:
    """Return ``_OK``, or why the file cannot read images for the model."""
    try:
        model = Model(path, gpu_layers=0)
        eye = Projector(projector, model, gpu=False)
        pixels = np.random.default_rng(0).integers(0, 256, (*_SIDES, 3), dtype=np.uint8)
        tokens = eye.tokens(Picture.of(pixels))
        at, tile = eye.find(tokens)[0]
        size = len(tokens) + tile.cells
        context = Context(model, Options(size=size, batch=size, kept=1, streams=1))
        image = tile.placed(at, lambda: True)
        assert image is not None
        context.look(0, replace(image, at=0), 0, tile.cells)
    except RagstackError as error:
        return error.message
    return _OK


if __name__ == "__main__":
    how, *paths = sys.argv[1:]
    if how == _IMAGES:
        said = _try_projector(*map(Path, paths))
    else:
        said = _try_encoder(Path(paths[0]), how) if how else _try(*map(Path, paths))
    sys.stdout.write(said + "\n")
