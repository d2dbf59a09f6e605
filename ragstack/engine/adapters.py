"""LoRA adapters: GGUF files in, loaded ones by name out. Knows no requests.

llama.cpp asserts on what it does not expect of an adapter, so its header is checked here first,
and a file that was never tried is tried in a process of its own (``probe``).
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Mapping
from pathlib import Path

from ragstack.engine import gguf
from ragstack.engine.library import llama, take_error
from ragstack.engine.model import Model
from ragstack.errors import InputError, ModelError

__all__ = ["Adapters", "check_adapter"]

_A, _B = ".lora_a", ".lora_b"
_IGNORED = "_norm.weight"  # llama.cpp passes over them
_KINDS = (0, 1, 8, 30)  # float32, float16, Q8_0, bfloat16: what converters write
_EMBEDDING = "token_embd.weight"
_ACTIVATED = "adapter.alora.invocation_tokens"


class Adapters:
    """The adapters of a model, loaded before any context is made: its graphs have room for them."""

    def __init__(self, model: Model, paths: Mapping[str, Path]) -> None:
        """Load them all; they are freed with the model.

        Raises:
            ModelError: One is broken, or of another model.
        """
        self._paths = dict(paths)
        self._handles: dict[str, int] = {}
        for name, path in paths.items():
            check_adapter(path, model.header)
            take_error()
            handle = llama.llama_adapter_lora_init(model.handle, str(path).encode())
            if not handle:
                reason = take_error() or "it gives no reason"
                raise ModelError(f"llama.cpp cannot load the adapter {str(path)!r}: {reason}")
            self._handles[name] = int(ctypes.cast(handle, ctypes.c_void_p).value or 0)

    def check(self, name: str) -> None:
        """Refuse a name that is none; the empty one is no adapter.

        Raises:
            InputError: It is unknown.
        """
        if name and name not in self._handles:
            known = ", ".join(map(repr, self._handles)) or "none"
            raise InputError(f"no adapter is named {name!r}; there are: {known}")

    def handle(self, name: str) -> int | None:
        """Return the C pointer of an adapter, None of the empty name."""
        self.check(name)
        return self._handles[name] if name else None

    def digest(self, name: str) -> str:
        """Return the SHA-256 of an adapter's file, an empty string of the empty name.

        Raises:
            ModelError: The file cannot be read any more.
        """
        self.check(name)
        if not name:
            return ""
        try:
            with self._paths[name].open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"the adapter {name!r} cannot be read: {error}") from error


def check_adapter(path: Path, model: gguf.Header) -> None:
    """Refuse a file that is no LoRA adapter of a model, as far as its header tells.

    Raises:
        ModelError: Says what does not fit.
    """
    header = gguf.read_header(path)
    metadata = header.metadata
    for key, wanted in (
        ("general.type", "adapter"),
        ("adapter.type", "lora"),
        ("general.architecture", model.architecture),
    ):
        if metadata.get(key) != wanted:
            raise _refused(path, f"its {key} is {metadata.get(key)!r}, expected {wanted!r}")
    if not isinstance(metadata.get("adapter.lora.alpha", 0.0), float):
        raise _refused(path, "its adapter.lora.alpha is no float")
    if _ACTIVATED in header.lengths or _ACTIVATED in metadata:
        raise _refused(path, "it is to work from certain tokens on, which is not supported")
    shapes = {tensor.name: tensor.shape for tensor in model.tensors}
    for name, pair in _pairs(path, header).items():
        _check_pair(path, name, pair, shapes.get(name))


def _pairs(path: Path, header: gguf.Header) -> Mapping[str, Mapping[str, gguf.Tensor]]:
    """Return what stands for each tensor of the model that an adapter changes."""
    pairs: dict[str, dict[str, gguf.Tensor]] = {}
    for tensor in header.tensors:
        side = tensor.name[-len(_A) :]
        if side in (_A, _B):
            if tensor.kind not in _KINDS:
                raise _refused(path, f"the tensor {tensor.name!r} has the type {tensor.kind}")
            pairs.setdefault(tensor.name[: -len(_A)], {})[side] = tensor
        elif not tensor.name.endswith(_IGNORED):
            raise _refused(path, f"the tensor {tensor.name!r} is no part of an adapter")
    if not pairs:
        raise _refused(path, "it changes nothing")
    return pairs


def _check_pair(
    path: Path, name: str, pair: Mapping[str, gguf.Tensor], base: tuple[int, ...] | None
) -> None:
    if base is None:
        raise _refused(path, f"the model has no tensor {name!r}")
    if len(pair) < 2:
        raise _refused(path, f"half of the pair for {name!r} is missing")
    a, b = pair[_A].shape, pair[_B].shape
    # Dimensions run fastest first. A lookup takes rows of the embedding, so there A stands on end.
    inner = (a[0], b[0]) if name == _EMBEDDING else (a[1] if len(a) > 1 else 1, b[0])
    outer = (b[1:2] + a[1:2]) if name == _EMBEDDING else (a[:1] + b[1:2])
    if not len(a) == len(b) == len(base) or inner[0] != inner[1] or outer != base[:2]:
        raise _refused(path, f"its pair for {name!r} has the shapes {a} and {b}, the model {base}")
    if a[2:] != base[2:] or b[2:] != base[2:]:
        raise _refused(path, f"its pair for {name!r} has the shapes {a} and {b}, the model {base}")


def _refused(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{str(path)!r} is no adapter for this model: {reason}",
        hint="convert it with llama.cpp's convert_lora_to_gguf.py, from this very base model",
    )
