"""A vision projector of random weights, of 100 kB or any size: it sees noise, always the same.

Tensors are those that llama.cpp's ``tools/mtmd/clip.cpp`` asks for, by kind of projector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragstack.testing.tiny_kinds import TinyKind
from ragstack.testing.tiny_model import TinyModel, write_gguf

__all__ = ["PROJECTORS", "TinyProjector", "write_seeing"]

PROJECTORS = ("mlp", "gemma3", "idefics3", "qwen2vl_merger")
"""Rows in order; rows that all see each other; tiles; rows with a place in two dimensions."""

_MERGE = 2  # patches of a side that become one row
_TILE_MARKS = ("<fake_token_around_image>", "<global-img>")


def write_seeing(folder: Path, kind: str) -> tuple[Path, Path]:
    """Write a tiny model that reads images; return its path, and that of the projector beside it.

    Args:
        kind: One of ``PROJECTORS``.
    """
    text = TinyKind("qwen2vl") if kind == "qwen2vl_merger" else TinyModel(marks=_TILE_MARKS)
    return text.write(folder / "seeing.gguf"), TinyProjector(kind).write(folder / "mmproj.gguf")


@dataclass(frozen=True, slots=True)
class TinyProjector:
    """How a tiny projector is made.

    Attributes:
        kind: One of ``PROJECTORS``.
        width: Of the model of text beside it.
        side: Pixels of an image's side; ``patch`` of those that are one row at first.
        inner: Width of the vision network, of ``heads`` heads, with ``feed`` numbers between.
        metadata: Laid over what its header has; None takes a key away.
    """

    kind: str = "mlp"
    width: int = 64
    side: int = 32
    patch: int = 8
    inner: int = 32
    heads: int = 2
    layers: int = 2
    feed: int = 48
    seed: int = 0
    metadata: Mapping[str, object] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write it as GGUF and return the path."""
        said: dict[str, object] = {
            "general.architecture": "clip",
            "general.type": "mmproj",
            "general.name": f"tiny {self.kind}",
            "clip.has_vision_encoder": True,
            "clip.projector_type": self.kind,
            "clip.use_gelu": True,
            "clip.vision.image_size": self.side,
            "clip.vision.patch_size": self.patch,
            "clip.vision.embedding_length": self.inner,
            "clip.vision.feed_forward_length": self.feed,
            "clip.vision.block_count": self.layers,
            "clip.vision.projection_dim": self.width,
            "clip.vision.attention.head_count": self.heads,
            "clip.vision.attention.layer_norm_epsilon": 1e-5,
            "clip.vision.image_mean": [0.5, 0.5, 0.5],
            "clip.vision.image_std": [0.5, 0.5, 0.5],
        }
        if self.kind in ("gemma3", "idefics3"):
            said["clip.vision.projector.scale_factor"] = _MERGE
        if self.kind == "idefics3":
            said["clip.vision.preproc_image_size"] = 2 * self.side
        said |= self.metadata
        write_gguf(path, {k: v for k, v in said.items() if v is not None}, self._tensors())
        return path

    def _tensors(self) -> dict[str, NDArray[np.float32]]:
        inner, feed, patch = self.inner, self.feed, self.patch
        random = np.random.default_rng(self.seed)

        def matrix(*shape: int) -> NDArray[np.float32]:
            values = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
            return np.asarray(values, dtype=np.float32)

        def linear(name: str, rows: int, columns: int) -> dict[str, NDArray[np.float32]]:
            return {
                f"{name}.weight": matrix(rows, columns),
                f"{name}.bias": matrix(rows, 64)[:, 0].copy(),
            }

        def norm(name: str) -> dict[str, NDArray[np.float32]]:
            return {
                f"{name}.weight": np.ones(inner, np.float32),
                f"{name}.bias": np.zeros(inner, np.float32),
            }

        tensors = {"v.patch_embd.weight": matrix(inner, 3, patch, patch)}
        for layer in range(self.layers):
            block = f"v.blk.{layer}"
            for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
                tensors |= linear(f"{block}.{name}", inner, inner)
            tensors |= linear(f"{block}.ffn_up", feed, inner)
            tensors |= linear(f"{block}.ffn_down", inner, feed)
            tensors |= {**norm(f"{block}.ln1"), **norm(f"{block}.ln2")}
        tensors |= norm("v.post_ln")
        merged = inner * _MERGE**2
        if self.kind == "qwen2vl_merger":
            tensors["v.patch_embd.weight.1"] = matrix(inner, 3, patch, patch)
            tensors |= linear("mm.0", merged, merged)
            return tensors | linear("mm.2", self.width, merged)
        tensors["v.patch_embd.bias"] = matrix(inner, 64)[:, 0].copy()
        tensors["v.position_embd.weight"] = matrix((self.side // patch) ** 2, inner)
        if self.kind == "gemma3":
            tensors["mm.input_projection.weight"] = np.multiply(
                matrix(inner, self.width), np.float32(4)
            )
            tensors["mm.soft_emb_norm.weight"] = np.ones(inner, np.float32)
        elif self.kind == "idefics3":
            tensors["mm.model.fc.weight"] = matrix(self.width, merged)
        else:
            tensors |= linear("mm.0", self.width, inner)
            tensors |= linear("mm.2", self.width, self.width)
        return tensors
