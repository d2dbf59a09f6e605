"""The llama.cpp library: loaded once, its log routed to ``logging``, what it can do.

Everything else in this room calls ``llama`` (the C functions) through here, so that no call comes
before the backend is up and the log has somewhere to go.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import logging
import os
import threading
from pathlib import Path
from types import ModuleType

# Before libgomp is loaded: by default its threads spin for milliseconds at each of a token's 300
# barriers. On an idle machine the wait is far shorter; on a busy one whoever spins keeps the
# other thread off its core: two threads beside six busy processes wrote 2 tokens/s so, and 24
# with this. A build with ``scripts/kernels`` learns how long to wait; this holds for the rest.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "300")

from ragstack.engine.builds import best_build, builds_folder
from ragstack.engine.machine import physical_cores, processor_features

# Where llama-cpp-python looks for its libraries. A user's own choice wins.
if _build := best_build(builds_folder(), processor_features()):
    os.environ.setdefault("LLAMA_CPP_LIB_PATH", str(_build))

import llama_cpp.llama_cpp as llama

__all__ = [
    "gpu_build",
    "image_library",
    "library_file",
    "llama",
    "log_callback",
    "multiplies",
    "own_kernels",
    "physical_cores",
    "start",
    "take_error",
    "tells_positions",
]

_logger = logging.getLogger(__name__)

# ggml_log_level (ggml.h): none, debug, info, warn, error, continue. Each goes down: llama.cpp tells
# every tensor as info, warns of what its user can do nothing about, and what fails is raised here.
_LEVELS = (logging.DEBUG, logging.DEBUG, logging.DEBUG, logging.INFO, logging.INFO)
_ERROR, _CONTINUE = 4, 5

# Of llama_cpp.mtmd_cpp, the youngest of what is called.
_MTMD = ("mtmd_log_set", "mtmd_helper_log_set", "mtmd_image_tokens_get_decoder_pos")


class _Log(threading.local):
    """Receives llama.cpp's log lines, which come in pieces; each thread reads its own error."""

    def __init__(self) -> None:
        self.level = 0
        self.pieces: list[str] = []
        self.first_error = ""

    def __call__(self, level: int, text: bytes | None, _data: object) -> None:
        self.level = self.level if level == _CONTINUE else level
        self.pieces.append((text or b"").decode("utf-8", "replace"))
        if not self.pieces[-1].endswith("\n"):
            return
        line = "".join(self.pieces).strip()
        self.pieces.clear()
        if line.strip(". "):
            _logger.log(_LEVELS[self.level % len(_LEVELS)], "%s", line)
        if self.level == _ERROR:
            self.first_error = self.first_error or line


_log = _Log()
log_callback = llama.llama_log_callback(_log)
"""What llama.cpp's libraries write their lines to; lives as long as they do."""


@functools.cache
def start() -> None:
    """Bring the backend up; a second call does nothing."""
    llama.llama_log_set(log_callback, ctypes.c_void_p(0))
    llama.llama_backend_init()


def take_error() -> str:
    """Return llama.cpp's first error line on this thread since the last call.

    It says why a call of llama.cpp that failed did so.
    """
    line, _log.first_error = _log.first_error, ""
    return line.partition(": ")[2] or line


@functools.cache
def library_file() -> Path:
    """Return the file with the processor's kernels: another one means another build."""
    folder = os.environ.get("LLAMA_CPP_LIB_PATH") or Path(llama.__file__).parent / "lib"
    found = sorted(Path(folder).glob("*ggml-cpu*")) or sorted(Path(folder).glob("*llama*"))
    return found[0] if found else Path(llama.__file__)


@functools.cache
def image_library() -> ModuleType | None:
    """Return the library that turns images into vectors (mtmd), None where it was not built.

    Also None where it is older than what is called here.
    """
    try:
        library = importlib.import_module("llama_cpp.mtmd_cpp")
    except (OSError, RuntimeError, AttributeError):  # not built, or of another version
        return None
    young = all(hasattr(library, name) for name in _MTMD)
    return library if young and hasattr(library.mtmd_input_text, "text_len") else None


@functools.cache
def own_kernels() -> str:
    """Return what the kernels of ``scripts/kernels`` are compiled for; nothing without them.

    `make` puts them in: `AVX-512 VNNI`, `AVX-512`, `AVX-VNNI` or `AVX2`; `attention alone` where
    the products of weights are llama.cpp's.
    """
    try:
        kernels = ctypes.CDLL(str(library_file())).ragstack_compiled_for
    except (OSError, AttributeError):  # as it comes from a package index
        return ""
    kernels.restype = ctypes.c_char_p
    return str(kernels().decode("ascii"))


def multiplies(kind: int, rows: int) -> bool:
    """Return whether weights are multiplied by ragstack's own kernels.

    Args:
        kind: Their ``ggml_type``.
        rows: Of their matrix: its second size.
    """
    if not own_kernels():
        return False
    takes = ctypes.CDLL(str(library_file())).ragstack_takes
    takes.restype, takes.argtypes = ctypes.c_bool, (ctypes.c_int, ctypes.c_int64)
    return bool(takes(kind, rows))


def tells_positions() -> bool:
    """Return whether ragstack's attention knows the positions of what it looks at in the cache.

    Not in a build for another device beside the processor.
    """
    return hasattr(llama._lib, "ragstack_tells_positions")


def gpu_build() -> bool:
    """Return whether this build can put layers on a GPU."""
    return bool(llama.llama_supports_gpu_offload())
