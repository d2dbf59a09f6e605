"""Images in, the ids that stand for them in a prompt and the rows that a model reads there out.

llama.cpp's mtmd cuts an image to tiles and turns each into rows of the model's width. It works on
its caller's thread, beside the engine's, for one image at a time.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.engine.images import Image, ids_of, runs
from ragstack.engine.library import image_library, llama, log_callback, physical_cores, take_error
from ragstack.engine.model import Model
from ragstack.engine.projector_file import check_projector
from ragstack.errors import EngineBusy, GenerationError, InputError, ModelError

__all__ = ["MOST_SIDE", "Pixels", "Projector", "Tile", "check_pixels"]

Pixels = NDArray[np.uint8]

MOST_SIDE = 8192
"""Pixels of an image's longer side."""

_LONGEST = 64  # times as long as wide: some projectors round the short side to nothing
_KEPT = 256_000_000  # bytes of tiles that are kept for prompts that show them again


class Tile:
    """An image, or a part of one, that takes one run of a prompt.

    Attributes:
        chunk: mtmd's own, with its pixels: about as large as the rows, and freed by
            ``forget_pixels`` once those are there.
        ids: One for each position it takes.
        cells: Rows that it fills.
        whole: Its rows look at each other whatever their order.
        rows: What the model reads, once someone asked for it: (cells, width).
    """

    def __init__(self, projector: Projector, chunk: int, digest: bytes) -> None:
        mtmd, handle = projector.mtmd, projector.handle
        self.chunk = chunk
        self.cells = int(mtmd.mtmd_input_chunk_get_n_tokens(chunk))
        self.ids = ids_of(digest, int(mtmd.mtmd_input_chunk_get_n_pos(chunk)))
        self.rows: NDArray[np.float32] | None = None
        self._projector = projector
        self._places = (
            _places(mtmd, chunk, self.cells) if mtmd.mtmd_decode_use_mrope(handle) else None
        )
        self.whole = bool(mtmd.mtmd_decode_use_non_causal(handle, chunk))
        self.forget_pixels = weakref.finalize(self, mtmd.mtmd_input_chunk_free, chunk)

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return self.cells * self._projector.width * np.float32().itemsize

    @property
    def extra(self) -> int:
        """Rows beyond one a position."""
        return self.cells - len(self.ids)

    def placed(self, at: int) -> Image:
        """Return it as it stands in a prompt; the first call turns it into rows.

        Raises:
            GenerationError: llama.cpp cannot; or the projector is closed.
        """
        return Image(at, self.ids, self._projector.rows(self), self._places, self.whole)


class Projector:
    """A vision projector beside a model of text. Safe to call from many threads.

    Attributes:
        mtmd: llama.cpp's library for images.
        width: Numbers of a row.
    """

    def __init__(self, path: Path, model: Model, *, threads: int = 0, gpu: bool = True) -> None:
        """Load it.

        Raises:
            ModelError: It is broken, of another model, or this build reads no images.
        """
        check_projector(path)
        self.mtmd = _library()
        parameters = self.mtmd.mtmd_context_params_default()
        parameters.use_gpu = gpu and model.on_gpu
        parameters.print_timings = False
        parameters.n_threads = threads or physical_cores()
        parameters.warmup = False  # the first image does it
        take_error()
        handle = self.mtmd.mtmd_init_from_file(str(path).encode(), model.handle, parameters)
        if not handle:
            raise ModelError(
                f"llama.cpp cannot use the projector {str(path)!r}: "
                f"{take_error() or 'it gives no reason'}",
                hint="take the projector (mmproj) that was published with this very model",
            )
        self._handle: int | None = handle
        self._vocabulary = model.vocabulary
        self._lock = threading.Lock()  # of what is kept; mtmd may cut while it turns into rows
        self._turning = threading.Lock()
        self._tiles: weakref.WeakValueDictionary[int, Tile] = weakref.WeakValueDictionary()
        self._kept: OrderedDict[bytes, list[int | Tile]] = OrderedDict()
        self.width = int(llama.llama_model_n_embd_inp(model.handle))
        if not self.mtmd.mtmd_support_vision(handle):
            self.close()
            raise ModelError(f"the projector {str(path)!r} is for sound, not for images")

    def tokens(self, pixels: Pixels) -> list[int]:
        """Return what stands for an image in a prompt: marks of the model's, and ids of tiles.

        Args:
            pixels: (height, width, 3) of red, green and blue.

        Raises:
            InputError: It is too small, too large or too long.
            GenerationError: llama.cpp cannot cut it; or the projector is closed.
            ModelError: The model's vocabulary lacks the marks that go around images.
        """
        check_pixels(pixels)
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        with self._lock:
            found = self._kept.get(digest)
            if found is None:
                found = self._kept[digest] = list(self._cut(pixels, digest))
            self._kept.move_to_end(digest)
            self._make_room()
        return [
            token for part in found for token in (part.ids if isinstance(part, Tile) else (part,))
        ]

    def find(self, tokens: Sequence[int]) -> list[tuple[int, Tile]]:
        """Return the tiles of a prompt and where each begins.

        Raises:
            EngineBusy: One was forgotten: more images were asked for at once than are kept.
            InputError: An id stands for no tile, or for half of one.
        """
        found = []
        for at, first in runs(tokens):
            tile = self._tiles.get(first)
            if tile is None:
                raise EngineBusy(
                    "an image of the prompt is not kept any more",
                    hint="ask again; fewer images at once, or smaller ones, are kept longer",
                )
            if tuple(tokens[at : at + len(tile.ids)]) != tuple(tile.ids):
                raise InputError("a prompt holds part of an image, expected all of it")
            found.append((at, tile))
        return found

    def rows(self, tile: Tile) -> NDArray[np.float32]:
        """Return what the model is to read of a tile: (cells, width); one at a time."""
        with self._turning:
            if tile.rows is not None:
                return tile.rows
            handle = self.handle
            take_error()
            if self.mtmd.mtmd_encode_chunk(handle, tile.chunk) != 0:
                raise GenerationError(f"llama.cpp cannot read the image: {_reason()}")
            made: NDArray[np.float32] = np.ctypeslib.as_array(
                self.mtmd.mtmd_get_output_embd(handle), (tile.cells, self.width)
            ).copy()
            if not np.isfinite(made).all():
                raise GenerationError("the projector makes numbers of the image that are none")
            tile.rows = made
            tile.forget_pixels()
            return made

    @property
    def handle(self) -> int:
        """The C pointer.

        Raises:
            GenerationError: It is closed.
        """
        if self._handle is None:
            raise GenerationError("the generator is closed")
        return self._handle

    def close(self) -> None:
        """Give the memory back, once nobody is in it. A second call does nothing."""
        with self._turning, self._lock:
            if self._handle is not None:
                self._kept.clear()
                self.mtmd.mtmd_free(self._handle)
                self._handle = None

    def _cut(self, pixels: Pixels, digest: bytes) -> Iterator[int | Tile]:
        """Yield the marks and tiles of an image."""
        mtmd, handle = self.mtmd, self.handle
        height, width, _ = pixels.shape
        flat = np.ascontiguousarray(pixels)
        data = flat.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap = mtmd.mtmd_bitmap_init(width, height, data)
        chunks = mtmd.mtmd_input_chunks_init()
        marker = mtmd.mtmd_default_marker()
        text = mtmd.mtmd_input_text(
            text=marker, text_len=len(marker), add_special=False, parse_special=True
        )
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
        try:
            take_error()
            if mtmd.mtmd_tokenize(handle, chunks, ctypes.byref(text), bitmaps, 1) != 0:
                raise GenerationError(f"llama.cpp cannot cut the image to tiles: {_reason()}")
            for number in range(mtmd.mtmd_input_chunks_size(chunks)):
                chunk = mtmd.mtmd_input_chunks_get(chunks, number)
                if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                    own = mtmd.mtmd_input_chunk_copy(chunk)
                    tile = Tile(self, own, digest + number.to_bytes(4))
                    self._tiles[tile.ids[0]] = tile
                    yield tile
                else:
                    yield from self._marks(chunk)
        finally:
            mtmd.mtmd_input_chunks_free(chunks)
            mtmd.mtmd_bitmap_free(bitmap)

    def _marks(self, chunk: int) -> list[int]:
        count = ctypes.c_size_t(0)
        found = self.mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
        marks = [int(found[i]) for i in range(count.value)]
        try:
            self._vocabulary.check(marks)
        except InputError as error:
            raise ModelError(
                "the model's vocabulary lacks a mark that its projector puts around images",
                hint="take a model and a projector that were published together",
            ) from error
        return marks

    def _make_room(self) -> None:
        """Forget the images that were not asked for longest; what is at work holds its own."""
        sizes = {
            key: sum(part.bytes for part in parts if isinstance(part, Tile))
            for key, parts in self._kept.items()
        }
        held = sum(sizes.values())
        while held > _KEPT and len(self._kept) > 1:
            key, _ = self._kept.popitem(last=False)
            held -= sizes[key]


def check_pixels(pixels: Pixels) -> None:
    """Refuse an image that a projector cannot cut, or would not survive.

    Raises:
        InputError: Says what sizes are expected.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"pixels are {pixels.dtype} of shape {pixels.shape}, expected uint8 x 3")
    height, width, _ = pixels.shape
    short, long = sorted((height, width))
    if not (short > 0 and long <= MOST_SIDE and long <= _LONGEST * short):
        raise InputError(
            f"an image has {width} x {height} pixels, expected 1 to {MOST_SIDE} a side, and no "
            f"side more than {_LONGEST} times the other"
        )


@functools.cache
def _library() -> ModuleType | Any:
    """Return the bindings of mtmd, its log routed to ``logging``."""
    mtmd = image_library()
    if mtmd is None:
        raise ModelError(
            "this llama.cpp was built without its image library (mtmd)",
            hint="`make` builds it; llama-cpp-python from a package index has it as well, unless "
            "CMAKE_ARGS says -DLLAVA_BUILD=OFF",
        )
    mtmd.mtmd_log_set(log_callback, ctypes.c_void_p(0))
    mtmd.mtmd_helper_log_set(log_callback, ctypes.c_void_p(0))
    return mtmd


def _places(mtmd: ModuleType | Any, chunk: int, cells: int) -> NDArray[np.int32]:
    """Return where the rows of a chunk stand: (4, cells)."""
    image = mtmd.mtmd_input_chunk_get_tokens_image(chunk)
    told = (mtmd.mtmd_image_tokens_get_decoder_pos(image, 0, row) for row in range(cells))
    # The order that llama_batch has them in (mtmd-helper-common.h, set_position_mrope_2d).
    return np.array([(one.t, one.y, one.x, one.z) for one in told], np.int32).T


def _reason() -> str:
    return take_error() or "it gives no reason"
