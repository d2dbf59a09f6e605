"""A model file in, the same model in another number format out, whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock

from ragstack.engine.gguf import Header, read_header
from ragstack.engine.kinds import kind_of
from ragstack.engine.machine import logical_cores
from ragstack.engine.tools.formats import FORMATS, format_of, is_quantised, named_format
from ragstack.engine.tools.workbench import Report, require_whole, run_job
from ragstack.errors import (
    InputError,
    ModelError,
    ModelUnavailable,
    NotEnoughSpace,
    UnsupportedCapability,
)

__all__ = ["quantize", "quantized_bytes", "requantising_note"]

_MARGIN = 64 * 1024 * 1024  # room left for everything else on the disk
_NOT_FOR = ("adapter", "vision projector")


def _unwatched(_done: int, _total: int) -> None:
    """Steps that nobody watches."""


def quantize(path: Path, out: Path, to: str, *, progress: Report = _unwatched) -> Path:
    """Write a model in another format and return where it lies.

    Args:
        out: The file to write; it appears when it is whole.
        to: One of ``formats.FORMATS``, in any case.
        progress: Called with tensors done and tensors in all.

    Raises:
        InputError: No such format, the file is in it already, or something lies at ``out``.
        NotEnoughSpace: The disk is too full; nothing was written.
        UnsupportedCapability: The file is no model of its own.
        ModelError: The file is broken, or llama.cpp cannot write it so.
    """
    to = named_format(to)
    header = _require_source(path, to)
    _require_target(out)
    _require_space(out, quantized_bytes(path, to))
    partial = out.with_name(out.name + ".partial")
    with _alone(partial):
        try:
            run_job(_job(path, partial, to, dry=False), progress)
            written = read_header(partial)
            if len(written.tensors) != len(header.tensors):
                raise ModelError(
                    f"llama.cpp wrote {len(written.tensors)} tensors of {len(header.tensors)}"
                )
            _require_target(out)  # minutes have gone by
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
    return out


def quantized_bytes(path: Path, to: str) -> int:
    """Return the bytes of a file in another format, as llama.cpp reckons them.

    Raises:
        InputError: No such format.
        ModelError: llama.cpp cannot write the file so.
    """
    # The header stays as it is, but for a few bytes.
    head = min(tensor.start for tensor in read_header(path).tensors)
    return head + int(run_job(_job(path, path, named_format(to), dry=True))["bytes"])


def requantising_note(header: Header) -> str:
    """Return what is lost by starting from rounded weights; empty for a source that is whole."""
    if not is_quantised(header):
        return ""
    return (
        f"the source is {format_of(header)}, rounded before: what is made of it loses a little "
        "more than what is made of the original F16 or BF16 file"
    )


@contextlib.contextmanager
def _alone(partial: Path) -> Iterator[None]:
    """Keep other processes from writing the same file."""
    lock = filelock.FileLock(partial.with_name(partial.name + ".lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ModelUnavailable(f"another process is writing {str(partial)!r}") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _job(path: Path, out: Path, to: str, *, dry: bool) -> dict[str, object]:
    return {
        "job": "quantize",
        "path": str(path),
        "out": str(out),
        "ftype": FORMATS[to],
        "threads": logical_cores(),
        "dry": dry,
    }


def _require_source(path: Path, to: str) -> Header:
    header = require_whole(path)
    kind = kind_of(header).name
    if kind in _NOT_FOR:
        raise UnsupportedCapability(f"{path.name!r} is a file of kind {kind!r}, expected a model")
    if format_of(header) == to:
        raise InputError(f"{path.name!r} is in the format {to} already")
    return header


def _require_target(out: Path) -> None:
    if out.exists():
        raise InputError(
            f"there is a file at {str(out)!r} already", hint="delete it, or choose another"
        )
    if not out.parent.is_dir():
        raise InputError(f"there is no folder {str(out.parent)!r}")
    if out.suffix != ".gguf":
        raise InputError(f"{out.name!r} does not end in '.gguf', as a model file must")


def _require_space(out: Path, needed: int) -> None:
    free = shutil.disk_usage(out.parent).free
    if free < needed + _MARGIN:
        raise NotEnoughSpace(
            f"{(needed + _MARGIN) / 1e6:,.0f} MB are needed in {str(out.parent)!r}, "
            f"{free / 1e6:,.0f} MB are free",
            hint="make room, or choose a folder on another disk",
        )
