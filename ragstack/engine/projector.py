"""Images in, the ids that stand for them in a prompt and the rows that a model reads there out.

llama.cpp's mtmd cuts an image to tiles and turns each into rows of the model's width. It works on
its callers' threads, beside the engine's: one cuts while another turns into rows. Pixels are held
by those two alone; what waits is a `Picture`.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.engine.images import Image, ids_of, runs
from ragstack.engine.library import image_library, llama, log_callback, physical_cores, take_error
from ragstack.engine.model import Model
from ragstack.engine.pictures import Picture, check_pixels
from ragstack.engine.projector_file import check_projector
from ragstack.errors import EngineBusy, GenerationError, InputError, ModelError

__all__ = ["Projector", "Prompt", "Tile"]

_KEPT = 256_000_000  # bytes of images that are kept for prompts that show them again
_LOOK_S = 0.05  # how soon who waits for another's image finds out that nobody wants his


class Tile:
    """An image, or a part of one, that takes one run of a prompt.

    Attributes:
        number: Among the chunks of its image.
        ids: One for each position it takes.
        cells: Rows that it fills.
        whole: Its rows look at each other whatever their order.
        picture: What it is cut from; None once its rows are there.
        rows: What the model reads, once someone asked for it: (cells, width).
    """

    def __init__(self, projector: Projector, picture: Picture, chunk: int, number: int) -> None:
        mtmd, handle = projector.mtmd, projector.handle
        self.number = number
        self.cells = int(mtmd.mtmd_input_chunk_get_n_tokens(chunk))
        self.ids = ids_of(
            picture.digest + number.to_bytes(4), int(mtmd.mtmd_input_chunk_get_n_pos(chunk))
        )
        self.whole = bool(mtmd.mtmd_decode_use_non_causal(handle, chunk))
        self.picture: Picture | None = picture
        self.rows: NDArray[np.float32] | None = None
        self._projector = projector
        self._places = (
            _places(mtmd, chunk, self.cells) if mtmd.mtmd_decode_use_mrope(handle) else None
        )

    @property
    def bytes(self) -> int:
        """Memory that its rows take."""
        return self.cells * self._projector.width * np.float32().itemsize

    @property
    def extra(self) -> int:
        """Rows beyond one a position."""
        return self.cells - len(self.ids)

    def placed(self, at: int, wanted: Callable[[], bool]) -> Image | None:
        """Return it as it stands in a prompt; the first call turns it into rows.

        Args:
            wanted: Whether it still is; None is returned if not.

        Raises:
            GenerationError: llama.cpp cannot; or the projector is closed.
        """
        rows = self._projector.rows(self, wanted)
        return None if rows is None else Image(at, self.ids, rows, self._places, self.whole)


class Prompt(list[int]):
    """Tokens of a prompt, and the tiles among them, which are not forgotten while it lives."""

    def __init__(self, tokens: Iterable[int] = (), tiles: Iterable[Tile] = ()) -> None:
        super().__init__(tokens)
        self.tiles = tuple(tiles)

    @classmethod
    def joined(cls, pieces: Iterable[Sequence[int]]) -> Prompt:
        """Return pieces one after another, images among them."""
        found = cls()
        for piece in pieces:
            found += piece
            found.tiles += piece.tiles if isinstance(piece, Prompt) else ()
        return found

    @property
    def cells(self) -> int:
        """Rows of the cache that it fills: more than tokens where images have two dimensions."""
        return len(self) + sum(tile.extra for tile in self.tiles)


@dataclass(frozen=True, slots=True)
class _Cut:
    """An image that is kept: marks of the model's, and tiles.

    Attributes:
        held: Bytes of its picture.
    """

    parts: tuple[int | Tile, ...]
    held: int

    @property
    def tiles(self) -> list[Tile]:
        return [part for part in self.parts if isinstance(part, Tile)]

    @property
    def bytes(self) -> int:
        waits = any(tile.rows is None for tile in self.tiles)
        return sum(tile.bytes for tile in self.tiles) + (self.held if waits else 0)


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
        # Taken in this order: of turning into rows, of cutting, of what is kept.
        self._turning, self._cutting, self._lock = (threading.Lock() for _ in range(3))
        self._tiles: weakref.WeakValueDictionary[int, Tile] = weakref.WeakValueDictionary()
        self._kept: OrderedDict[bytes, _Cut] = OrderedDict()
        self._open: tuple[bytes, int] | None = None  # the image that is turned into rows
        self.width = int(llama.llama_model_n_embd_inp(model.handle))
        if not self.mtmd.mtmd_support_vision(handle):
            self.close()
            raise ModelError(f"the projector {str(path)!r} is for sound, not for images")

    def tokens(self, picture: Picture) -> Prompt:
        """Return what stands for an image in a prompt: marks of the model's, and ids of tiles.

        Raises:
            InputError: It is too small, too large or too long; or what makes its pixels says so.
            GenerationError: llama.cpp cannot cut it; or the projector is closed.
            ModelError: The model's vocabulary lacks the marks that go around images.
        """
        found = self._known(picture.digest)
        if found is None:
            with self._cutting:
                found = self._known(picture.digest)  # another may have cut it meanwhile
                if found is None:
                    found = _Cut(tuple(self._cut(picture)), picture.bytes)
                    with self._lock:
                        self._kept[picture.digest] = found
                        self._make_room()
        return Prompt(
            (
                token
                for part in found.parts
                for token in (part.ids if isinstance(part, Tile) else (part,))
            ),
            found.tiles,
        )

    def find(self, tokens: Sequence[int]) -> list[tuple[int, Tile]]:
        """Return the tiles of a prompt and where each begins.

        Raises:
            EngineBusy: One was forgotten: nobody held the `Prompt` that shows it.
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

    def rows(self, tile: Tile, wanted: Callable[[], bool]) -> NDArray[np.float32] | None:
        """Return what the model is to read of a tile: (cells, width); one at a time.

        Args:
            wanted: Asked while others are before it; None is returned once it is not.
        """
        while wanted():
            if not self._turning.acquire(timeout=_LOOK_S):
                continue
            try:
                if tile.rows is None:
                    tile.rows = self._turned(tile)
                    tile.picture = None
                return tile.rows
            finally:
                self._turning.release()
        return None

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
        with self._turning, self._cutting, self._lock:
            if self._handle is not None:
                self._shut()
                self._kept.clear()
                self.mtmd.mtmd_free(self._handle)
                self._handle = None

    def _known(self, digest: bytes) -> _Cut | None:
        with self._lock:
            found = self._kept.get(digest)
            if found is not None:
                self._kept.move_to_end(digest)
            return found

    def _cut(self, picture: Picture) -> Iterator[int | Tile]:
        """Yield the marks and tiles of an image."""
        mtmd = self.mtmd
        chunks = self._chunks(picture)
        try:
            for number in range(mtmd.mtmd_input_chunks_size(chunks)):
                chunk = mtmd.mtmd_input_chunks_get(chunks, number)
                if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                    tile = Tile(self, picture, chunk, number)
                    # Forgotten, but in a prompt at work: there is one of each.
                    yield self._tiles.setdefault(tile.ids[0], tile)
                else:
                    yield from self._marks(chunk)
        finally:
            mtmd.mtmd_input_chunks_free(chunks)

    def _turned(self, tile: Tile) -> NDArray[np.float32]:
        """Return a tile's rows; the pixels of its image stay for the next of its tiles."""
        mtmd, handle, picture = self.mtmd, self.handle, tile.picture
        assert picture is not None
        if self._open is None or self._open[0] != picture.digest:
            self._shut()
            with self._cutting:
                self._open = picture.digest, self._chunks(picture)
        chunks = self._open[1]
        count = mtmd.mtmd_input_chunks_size(chunks)
        chunk = mtmd.mtmd_input_chunks_get(chunks, tile.number) if tile.number < count else None
        if not chunk or mtmd.mtmd_input_chunk_get_n_tokens(chunk) != tile.cells:
            self._shut()
            raise GenerationError("the image came to other pixels when it was read again")
        take_error()
        if mtmd.mtmd_encode_chunk(handle, chunk) != 0:
            raise GenerationError(f"llama.cpp cannot read the image: {_reason()}")
        made: NDArray[np.float32] = np.ctypeslib.as_array(
            mtmd.mtmd_get_output_embd(handle), (tile.cells, self.width)
        ).copy()
        later = (mtmd.mtmd_input_chunks_get(chunks, i) for i in range(tile.number + 1, count))
        kinds = {mtmd.mtmd_input_chunk_get_type(each) for each in later}
        if mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE not in kinds:
            self._shut()
        if not np.isfinite(made).all():
            raise GenerationError("the projector makes numbers of the image that are none")
        return made

    def _chunks(self, picture: Picture) -> int:
        """Return mtmd's own of an image, to be freed; whoever calls holds the lock of cutting."""
        mtmd, handle = self.mtmd, self.handle
        pixels = np.ascontiguousarray(picture.pixels())
        check_pixels(pixels)
        height, width, _ = pixels.shape
        data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap = mtmd.mtmd_bitmap_init(width, height, data)
        chunks = mtmd.mtmd_input_chunks_init()
        marker = mtmd.mtmd_default_marker()
        text = mtmd.mtmd_input_text(
            text=marker, text_len=len(marker), add_special=False, parse_special=True
        )
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
        take_error()
        failed = mtmd.mtmd_tokenize(handle, chunks, ctypes.byref(text), bitmaps, 1)
        mtmd.mtmd_bitmap_free(bitmap)
        if failed:
            mtmd.mtmd_input_chunks_free(chunks)
            raise GenerationError(f"llama.cpp cannot cut the image to tiles: {_reason()}")
        return int(chunks)

    def _shut(self) -> None:
        """Let go of the pixels of the image that was turned into rows."""
        if self._open is not None:
            self.mtmd.mtmd_input_chunks_free(self._open[1])
            self._open = None

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
        sizes = {digest: cut.bytes for digest, cut in self._kept.items()}
        held = sum(sizes.values())
        while held > _KEPT and len(self._kept) > 1:
            digest, _ = self._kept.popitem(last=False)
            held -= sizes[digest]


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
