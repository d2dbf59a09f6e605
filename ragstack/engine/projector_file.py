"""A model's file in, that of the projector that reads images for it out, by their headers alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ragstack.engine.gguf import Header, read_header
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

_HOW_TO = (
    "a model that reads images comes with a projector (mmproj-….gguf): put it into the model's "
    "folder, or set projector under [generate] to its path"
)
_PATTERN = "*mmproj*.gguf"
_PRECISION = re.compile(r"[-_.](?:b?f16|f32|i?q\d)", re.IGNORECASE)  # ends a file's name
_NAME = "general.name"
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
    found = _beside(model)
    if found.path is not None:
        try:
            check_projector(found.path)
        except ModelError as error:
            return Chosen(None, error.message, error.hint)
    return found


def projector_beside(path: Path) -> Path | None:
    """Return the vision projector of a model that lies in its folder, if one does."""
    return _beside(path).path


def _beside(path: Path) -> Chosen:
    """Return the projector in a model's folder that makes rows of the model's width.

    Where other models lie there too, it has to have this one's name as well.
    """
    files = {file for file in path.parent.glob("*.gguf") if file != path}
    projectors = {file: header for file in sorted(files) if (header := _projector_header(file))}
    if not projectors:
        return Chosen(None, "no projector lies beside the model", _HOW_TO)
    model = read_header(path)
    width = model.number("embedding_length")
    fitting = [file for file, header in projectors.items() if _makes(header, width)]
    if not fitting:
        name = next(iter(projectors)).name
        return Chosen(
            None,
            f"the projector {name!r} that lies beside the model is of another one: it makes no "
            f"rows of {width} numbers",
            _HOW_TO,
        )
    named = [file for file in fitting if _is_named_as(projectors[file], model)]
    if named or len(files) == len(projectors):
        return Chosen((named or fitting)[0])
    return Chosen(
        None,
        f"the projector {fitting[0].name!r} lies beside several models, and its name is not this "
        "one's",
        _HOW_TO,
    )


def _projector_header(file: Path) -> Header | None:
    if not fnmatch(file.name, _PATTERN):
        return None
    try:
        header = read_header(file)
        return header if kind_of(header).name == "vision projector" else None
    except ModelError:
        return None


def _makes(projector: Header, width: int) -> bool:
    """Return whether rows may be of so many numbers: a matrix behind the vision network has them.

    Its ``projection_dim`` says so in files of today, and something else in older ones.
    """
    behind = [tensor for tensor in projector.tensors if not tensor.name.startswith("v.")]
    sizes = {size for tensor in behind for size in tensor.shape}
    return not width or not sizes or width in sizes


def _is_named_as(projector: Header, model: Header) -> bool:
    """Return whether a projector says, or its file's name, that it belongs to a model."""
    names = {_plain(str(header.metadata.get(_NAME, ""))) for header in (projector, model)}
    called = _plain(re.split(_PRECISION, projector.path.stem)[0])
    file = _plain(model.path.stem)
    return (len(names) == 1 and "" not in names) or (called != "" and file.startswith(called))


def _plain(name: str) -> str:
    return re.sub(r"mmproj|[^a-z0-9]", "", name.lower())


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
