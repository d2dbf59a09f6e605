"""What this build of llama.cpp can do: processor features, devices. Knows no model."""

from __future__ import annotations

import ctypes
import importlib.metadata
from typing import Any

from ragstack.engine.library import gpu_build, image_library, llama, own_kernels
from ragstack.engine.machine import logical_cores, physical_cores

__all__ = ["describe"]

_PACKAGE = "llama_cpp_python"
# ggml_backend_dev_type (ggml-backend.h): CPU, GPU, integrated GPU, accelerator.
_KINDS = ("cpu", "gpu", "integrated gpu", "accelerator")


def describe() -> dict[str, Any]:
    """Return the package's version, the features compiled in, and the devices found."""
    text = llama.llama_print_system_info().decode("utf-8", "replace")
    return {
        "version": importlib.metadata.version(_PACKAGE),
        "features": _features(text),
        "gpu_build": gpu_build(),
        "images": image_library() is not None,
        "own_kernels": own_kernels(),
        "devices": _devices(),
        "cores": physical_cores(),
        "threads": logical_cores(),
    }


def _features(text: str) -> dict[str, list[str]]:
    """Return what is switched on, by backend: ``CPU : AVX2 = 1 | FMA = 0 | ...``."""
    found: dict[str, list[str]] = {}
    backend = "CPU"
    for piece in text.split("|"):
        name, _, value = piece.partition("=")
        if " : " in name:
            backend, _, name = (part.strip() for part in name.partition(" : "))
        if name.strip() and value.strip() not in ("", "0"):
            shown = name.strip() if value.strip() == "1" else f"{name.strip()} {value.strip()}"
            found.setdefault(backend, []).append(shown)
    return found


def _devices() -> list[dict[str, Any]]:
    """Return each device's name, kind and memory in bytes; none where they cannot be asked."""
    library = llama._lib
    try:
        count, get = library.ggml_backend_dev_count, library.ggml_backend_dev_get
        name, kind = library.ggml_backend_dev_name, library.ggml_backend_dev_type
        described, memory = library.ggml_backend_dev_description, library.ggml_backend_dev_memory
    except AttributeError:  # a system whose linker does not look into the libraries behind
        return []
    count.restype, get.restype = ctypes.c_size_t, ctypes.c_void_p
    get.argtypes = [ctypes.c_size_t]
    name.restype = described.restype = ctypes.c_char_p
    name.argtypes = described.argtypes = kind.argtypes = [ctypes.c_void_p]
    kind.restype = ctypes.c_int
    memory.restype = None
    memory.argtypes = [ctypes.c_void_p] + [ctypes.POINTER(ctypes.c_size_t)] * 2
    devices = []
    for i in range(count()):
        device = get(i)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        memory(device, ctypes.byref(free), ctypes.byref(total))
        number = kind(device)
        devices.append(
            {
                "name": (name(device) or b"?").decode("utf-8", "replace"),
                "description": (described(device) or b"").decode("utf-8", "replace"),
                "kind": _KINDS[number] if 0 <= number < len(_KINDS) else "other",
                "free": free.value,
                "total": total.value,
            }
        )
    return devices
