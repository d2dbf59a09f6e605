"""A model in, seconds until it begins to answer about an image out, beside llama.cpp's own loop.

Run: ``python -m ragstack_evals.bench_images --model NAME``. The projector has random weights and
the shape of CLIP's large one (336 pixels, 576 rows), with fewer layers: what a step takes does not
hang on what is seen. mtmd's own helper reads the same prompts, in turns and on the same build.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ragstack import models
from ragstack.engine.context import Context, Options
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.engine.gguf import read_header
from ragstack.engine.library import image_library
from ragstack.engine.model import Model
from ragstack.engine.pictures import Picture, Pixels
from ragstack.engine.projector import Projector
from ragstack.errors import ModelError, RagstackError
from ragstack.testing.tiny_projector import TinyProjector
from ragstack.types import Sampling

__all__ = ["bench", "main"]

_BEFORE, _AFTER = "Look at this: ", " What does it show?"
_SHAPE = TinyProjector(side=336, patch=14, inner=1024, heads=16, feed=4096)
_SIZE = (400, 500)
_BATCH = 512
_WRITERS, _LONG = 4, 400
_QUIET = Manner(speculate=False)


def bench(model: Path, *, layers: int = 6, threads: int = 0, rounds: int = 3) -> dict[str, float]:
    """Return seconds, medians over the rounds: what each is called says what it is.

    Args:
        layers: Of the vision network.
        threads: 0 is one for each physical core.
    """
    mtmd = image_library()
    if mtmd is None:
        raise ModelError("this llama.cpp was built without its image library (mtmd)")
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        width = read_header(model).number("embedding_length")
        path = replace(_SHAPE, width=width, layers=layers).write(Path(folder, "eye.gguf"))
        options = Options(size=2048, cells=8192, threads=threads, batch=_BATCH)
        engine = Engine(model, options, projector=path)
        weights = Model(model)
        projector = Projector(path, weights, threads=threads)
        alone = Context(weights, Options(size=2048, threads=threads, streams=1, kept=1))
        try:
            for number in range(rounds + 1):
                pixels = _noise(number)
                took = {
                    "ragstack, first token": _timed(partial(_ask, engine, pixels)),
                    "ragstack, asked again": _timed(partial(_ask, engine, pixels)),
                    "mtmd's helper, first token": _timed(
                        partial(_read, mtmd, projector, alone, pixels)
                    ),
                }
                for name, seconds in took.items() if number else ():  # the first one warms up
                    found.setdefault(name, []).append(seconds)
            pauses = _beside(engine, rounds)
        finally:
            engine.close()
            alone.close()
            projector.close()
            weights.close()
    return {name: statistics.median(seconds) for name, seconds in found.items()} | pauses


def _noise(number: int) -> Pixels:
    return np.random.default_rng(number % 2**32).integers(0, 256, (*_SIZE, 3), np.uint8)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ask(engine: Engine, pixels: Pixels) -> None:
    words = engine.model.vocabulary.tokenize
    tokens = (*words(_BEFORE), *engine.see(Picture.of(pixels)), *words(_AFTER))
    generation = engine.generate(Request(tokens, Sampling(max_tokens=2), manner=_QUIET))
    next(generation, None)
    generation.close()


def _read(mtmd: ModuleType | Any, projector: Projector, context: Context, pixels: Pixels) -> None:
    """Read the same prompt as mtmd's own helper does."""
    context.clear()
    height, width, _ = pixels.shape
    data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
    text = (_BEFORE + mtmd.mtmd_default_marker().decode() + _AFTER).encode()
    asked = mtmd.mtmd_input_text(
        text=text, text_len=len(text), add_special=False, parse_special=True
    )
    bitmap, chunks = mtmd.mtmd_bitmap_init(width, height, data), mtmd.mtmd_input_chunks_init()
    bitmaps, end = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap), ctypes.c_int(0)
    try:
        failed = mtmd.mtmd_tokenize(projector.handle, chunks, ctypes.byref(asked), bitmaps, 1)
        failed = failed or mtmd.mtmd_helper_eval_chunks(
            projector.handle, context.handle, chunks, 0, 0, _BATCH, True, ctypes.byref(end)
        )
        if failed:
            raise ModelError(f"mtmd cannot read the image: {failed}")
    finally:
        mtmd.mtmd_input_chunks_free(chunks)
        mtmd.mtmd_bitmap_free(bitmap)


def _beside(engine: Engine, rounds: int) -> dict[str, float]:
    """Return how long those who write wait for a token while images are read."""
    vocabulary = engine.model.vocabulary
    on = dict.fromkeys(vocabulary.ends, float("-inf"))
    writers = [
        engine.generate(
            Request(
                tuple(vocabulary.tokenize(f"A long story, number {number}:")),
                Sampling(max_tokens=_LONG, logit_bias=on),
                manner=_QUIET,
            )
        )
        for number in range(_WRITERS)
    ]
    waits: list[float] = []
    reading = threading.Event()

    def follow(writer: Any) -> None:
        last = time.perf_counter()
        for _ in writer:
            now = time.perf_counter()
            if reading.is_set():
                waits.append(now - last)
            last = now

    threads = [threading.Thread(target=follow, args=(writer,)) for writer in writers]
    for writer in writers:
        next(writer)
    for thread in threads:
        thread.start()
    reading.set()
    # Images that nobody has asked about yet.
    took = [_timed(partial(_ask, engine, _noise(-1 - number))) for number in range(rounds)]
    reading.clear()
    for writer in writers:
        writer.close()
    for thread in threads:
        thread.join()
    name = f"beside {_WRITERS} who write"
    return {
        f"ragstack, first token {name}": statistics.median(took),
        f"{name}: a token, p95": float(np.percentile(waits, 95)),
        f"{name}: a token, longest": max(waits),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a name of the table, or a GGUF file")
    parser.add_argument("--layers", type=int, default=6, help="of the vision network; CLIP has 24")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    try:
        path = models.path(given.model)
        found = bench(path, layers=given.layers, threads=given.threads, rounds=given.rounds)
    except RagstackError as error:
        parser.exit(1, f"error: {error}\n")
    console = Console()
    if given.json:
        console.print_json(json.dumps(found))
        return
    table = Table("576 rows of an image", "s")
    for name, seconds in found.items():
        table.add_row(name, f"{seconds:.3f}")
    console.print(table)


if __name__ == "__main__":
    main()
