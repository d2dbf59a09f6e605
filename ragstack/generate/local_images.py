"""An image's bytes in, the tokens that stand for it in a prompt out; Pillow decodes.

Knows which projector belongs to a model; the engine knows pixels and tokens.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import threading
import warnings
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ragstack import models
from ragstack.engine import gguf
from ragstack.engine.engine import Engine
from ragstack.engine.library import image_library, library_file
from ragstack.engine.machine import available
from ragstack.engine.pictures import Picture, Pixels
from ragstack.engine.probe import check_loads
from ragstack.engine.projector import Prompt
from ragstack.engine.projector_file import AUTO, choose
from ragstack.errors import (
    InputError,
    MissingExtra,
    ModelError,
    NotEnoughSpace,
    RagstackError,
    UnsupportedCapability,
)
from ragstack.types import image_type

__all__ = ["Images", "pixels_of"]

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_MOST_PIXELS = 50_000_000  # of a file: 200 MB as Pillow holds them, 400 MB while it shrinks them
_MOST_SIDE = 4096  # larger ones are shrunk; no projector looks at as many pixels
_REDUCED = 2.0  # a JPEG is unpacked at this multiple of what it is shrunk to, where it is larger
_WHITE = (255, 255, 255)
_REBUILD = (
    "`make` builds it; with pip: CMAKE_ARGS=-DLLAVA_BUILD=ON pip install --force-reinstall "
    "--no-deps --no-cache-dir --no-binary llama-cpp-python llama-cpp-python"
)


# One image is unpacked at a time, whoever asks: its pixels are large, and its bytes may be few.
_unpacking = threading.Lock()


@dataclass(slots=True)
class Images:
    """What reads images for a model, before any is read. Safe to call from many threads.

    Attributes:
        model: The model's file, in whatever format it is used.
        projector: The projector's; None where images are not read.
        named: It was asked for by its path, not found beside the model.
        reason: Why they are not; ``hint`` says what to do.
    """

    model: Path
    projector: Path | None
    named: bool = False
    reason: str = ""
    hint: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _refused: ModelError | None = None

    @classmethod
    def chosen(cls, named: Path, projector: str, *, model: Path) -> Images:
        """Find the projector of a model.

        Args:
            named: The model's file as it was asked for: its projector lies beside that.
            projector: ``auto``, ``off``, or the path of a GGUF file.

        Raises:
            ModelError: The file that is named is no projector that can be used.
            UnsupportedCapability: One is named, and this build reads no images.
        """
        found = choose(named, projector)
        if found.path is None:
            return cls(model, None, reason=found.reason, hint=found.hint)
        if image_library() is None:
            reason = (
                f"the projector {found.path.name!r} cannot be used, this llama.cpp was built "
                "without its image library (mtmd), or is too old"
            )
            if projector != AUTO:
                raise UnsupportedCapability(reason, hint=_REBUILD)
            return cls(model, None, reason=reason, hint=_REBUILD)
        return cls(model, found.path, named=projector != AUTO)

    @property
    def read(self) -> bool:
        """Whether they are, for all that is known."""
        return self.projector is not None

    def tokens(self, engine: Engine, data: bytes) -> Prompt:
        """Return what stands for an image in a prompt.

        Raises:
            InputError: The bytes are no image, or one that is too large, small or long.
            ModelError: The projector that was named does not go with the model.
            NotEnoughSpace: The projector does not fit into memory.
            UnsupportedCapability: Images are not read.
        """
        picture = Picture(hashlib.sha256(data).digest(), partial(pixels_of, data), len(data))
        if not engine.sees:
            with self._lock:
                self._try()
        return engine.see(picture)

    def _try(self) -> None:
        """Refuse a projector that would bring the process down, or the machine."""
        if self.projector is None:
            raise UnsupportedCapability(
                f"this model reads text alone, a message holds an image: {self.reason}",
                hint=self.hint,
            )
        header = gguf.read_header(self.projector)
        takes, free = sum(tensor.bytes for tensor in header.tensors), available()
        if free is not None and takes > free:
            raise NotEnoughSpace(
                f"the projector {self.projector.name!r} needs {takes / 1e6:,.0f} MB of memory, "
                f"{free / 1e6:,.0f} MB are free",
                hint="a smaller context_size leaves more",
            )
        if self._refused is not None:  # it is not tried again for each image that somebody sends
            raise self._refused
        trial = partial(check_loads, self.model, projector=self.projector)
        try:
            models.try_once(self.projector, trial, beside=(self.model, library_file()))
        except ModelError as error:
            self._refused = error
            if self.named:
                raise
            self.reason = f"the projector that lies beside it cannot be used: {error.message}"
            self.hint = f'{error.hint or "put its own there"}, or set projector to a path or "off"'
            self.projector = None
            self._try()


def pixels_of(data: bytes) -> Pixels:
    """Return an image's pixels, upright and on white: (height, width, 3), uint8.

    Of one that moves, the first frame. One of more than 4,096 pixels a side is shrunk.

    Raises:
        InputError: The bytes are no image, or one of too many pixels.
        MissingExtra: Pillow is not installed.
    """
    kind = image_type(data)
    image, ops = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and of what is refused below
            with _unpacking, image.open(io.BytesIO(data), formats=_FORMATS) as file:
                width, height = file.size
                if width * height > _MOST_PIXELS:
                    raise InputError(
                        f"an image has {width} x {height} pixels, expected {_MOST_PIXELS:,} at most"
                    )
                return _upright(file, image, ops)
    except RagstackError:
        raise
    # Pillow's decoders raise whatever their own formats bring up.
    except Exception as error:
        raise InputError(f"an image of the type {kind} cannot be read: {error}") from error


def _upright(file: Any, image: Any, ops: Any) -> Pixels:
    """Return a file's pixels; shrunk first, so that what follows copies little."""
    file.thumbnail((_MOST_SIDE, _MOST_SIDE), reducing_gap=_REDUCED)
    ops.exif_transpose(file, in_place=True)
    if file.mode.startswith("I"):  # greys of 16 bits, which Pillow would cut off at 255
        greys = (np.asarray(file).astype(np.int64).clip(0, 65_535) >> 8).astype(np.uint8)
        return np.repeat(greys[:, :, None], 3, axis=2)
    shown = file
    if "A" in file.getbands() or "transparency" in file.info:
        layer = file.convert("RGBA")
        shown = image.new("RGB", layer.size, _WHITE)
        shown.paste(layer, mask=layer.getchannel("A"))
    return np.ascontiguousarray(np.asarray(shown.convert("RGB"), dtype=np.uint8))


def _pillow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("PIL.Image"), importlib.import_module("PIL.ImageOps")
    except ImportError as error:
        raise MissingExtra("pillow", extra="local") from error
