"""A model's file in, that of the projector that reads images for it out, by their headers alone."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ragstack.engine.gguf import read_header
from ragstack.engine.kinds import kind_of
from ragstack.errors import ModelError

__all__ = [
    "AUTO",
    "OFF",
    "Chosen",
    "check_projector",
    "choose",
    "projector_beside",
    "projector_name",
]

AUTO, OFF = "auto", "off"
"""The projector that lies beside the model, where there is one that can be used; none at all."""

_PATTERN = "*mmproj*.gguf"
_KEY = "clip.projector_type"
_VISION_KEY = "clip.vision.projector_type"
# Where a tile's rows depend on where in the prompt it stands, or on the images before it.
_NOT_ALONE = frozenset(("deepseek4v", "hunyuanvl"))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The projector of a model.

    Attributes:
        path: None where there is none.
        reason: Why there is none; ``hint`` says what to do.
    """

    path: Path | None
    reason: str = ""
    hint: str = ""


def choose(model: Path, wanted: str) -> Chosen:
    """Return the projector of a model.

    Args:
        wanted: ``auto``, ``off``, or the path of a GGUF file.

    Raises:
        ModelError: The file that is named is no projector that can be used.
    """
    if wanted == OFF:
        return Chosen(None, 'projector is "off"', 'set projector = "auto" or its path')
    if wanted != AUTO:
        named = Path(wanted).expanduser().absolute()
        check_projector(named)
        return Chosen(named)
    beside = projector_beside(model)
    if beside is None:
        return Chosen(
            None,
            "no projector lies beside the model",
            "a model that reads images comes with one (mmproj-….gguf): put it into the model's "
            "folder, or set projector under [generate] to its path",
        )
    try:
        check_projector(beside)
    except ModelError as error:
        return Chosen(None, error.message, error.hint)
    return Chosen(beside)


def projector_beside(path: Path) -> Path | None:
    """Return the vision projector that lies in a model's folder, if one does."""
    for file in sorted(path.parent.glob(_PATTERN)):
        try:
            if file != path and kind_of(read_header(file)).name == "vision projector":
                return file
        except ModelError:
            continue
    return None


def projector_name(path: Path) -> str:
    """Return what a projector is called in its model's folder, so that it is found there."""
    return path.name if fnmatch(path.name, _PATTERN) else f"mmproj-{path.name}"


def check_projector(path: Path) -> None:
    """Refuse a file that is no vision projector, or of a kind that is not read here.

    Raises:
        ModelError: Says what it is.
    """
    header = read_header(path)
    kind = kind_of(header)
    if kind.name != "vision projector":
        raise ModelError(
            f"{str(path)!r} is no vision projector: it is {kind.description}",
            hint="the projector comes beside the model, as mmproj-….gguf",
        )
    made = header.metadata.get(_KEY) or header.metadata.get(_VISION_KEY)
    if made in _NOT_ALONE:
        raise ModelError(
            f"the projector {path.name!r} is of the kind {made!r}, which is not read here: what it "
            "makes of an image depends on where in the prompt it stands",
            hint="llama.cpp's own server reads it; docs/guides/models.md says how",
        )
