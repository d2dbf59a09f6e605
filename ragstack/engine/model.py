"""A GGUF file in, weights and vocabulary out. Knows nothing of contexts or sampling."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from ragstack.engine import gguf
from ragstack.engine.library import gpu_build, llama, start, take_error
from ragstack.engine.vocabulary import Vocabulary
from ragstack.errors import ModelError

__all__ = ["Model"]

_logger = logging.getLogger(__name__)
_ALL_LAYERS = -1


class Model:
    """Weights in memory. Several contexts may share one; close them first.

    Attributes:
        header: The file's own metadata.
        load_s: Seconds it took to load.
        on_gpu: Whether layers were put on a GPU.
    """

    def __init__(self, path: Path, *, gpu_layers: int = _ALL_LAYERS) -> None:
        """Load a model, mapped into memory.

        Args:
            gpu_layers: Layers to put on a GPU where the build has one; -1 is all.

        Raises:
            ModelError: The file is broken, or of a kind this llama.cpp does not know.
        """
        self.header = gguf.read_header(path)
        start()
        parameters = llama.llama_model_default_params()
        self.on_gpu = gpu_layers != 0 and gpu_build()
        parameters.n_gpu_layers = gpu_layers if self.on_gpu else 0
        began = time.perf_counter()
        take_error()
        handle = llama.llama_model_load_from_file(str(path).encode(), parameters)
        if not handle:
            raise ModelError(
                f"llama.cpp cannot load {str(path)!r}: {take_error() or 'it gives no reason'}",
                hint="the file may be of a kind newer than the installed llama-cpp-python",
            )
        self._handle: int | None = handle
        self.load_s = time.perf_counter() - began
        vocabulary = llama.llama_model_get_vocab(handle)
        self.vocabulary = Vocabulary(vocabulary)
        if self.vocabulary.size < 1 or not llama.llama_model_has_decoder(handle):
            self.close()
            raise ModelError(f"{str(path)!r} holds no model that writes text")
        _logger.info("loaded %s in %.2f s", path.name, self.load_s)

    @property
    def handle(self) -> int:
        """The C pointer."""
        if self._handle is None:
            raise ModelError("the model is closed")
        return self._handle

    @property
    def bytes(self) -> int:
        """Bytes of all tensors."""
        return int(llama.llama_model_size(self.handle))

    @property
    def can_forget(self) -> bool:
        """Whether the end of a sequence can be dropped: not where a state runs through it."""
        return not (
            llama.llama_model_is_recurrent(self.handle) or llama.llama_model_is_hybrid(self.handle)
        )

    def close(self) -> None:
        """Give the memory back. A second call does nothing."""
        if self._handle is not None:
            self.vocabulary.close()
            llama.llama_model_free(self._handle)
            self._handle = None
