"""A Source in, the Document that its loader reads out, with what the source says of itself.

The only module of the room that knows every loader, by name and through the registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from importlib import metadata

from ragstack import registry
from ragstack.documents.language import detect_language
from ragstack.documents.limits import Limits, check_bytes
from ragstack.documents.meta import checked
from ragstack.documents.sniff import sniff
from ragstack.errors import (
    BrokenDocument,
    DocumentError,
    DocumentTooLarge,
    MissingExtra,
    UnsupportedDocument,
)
from ragstack.protocols import Loader
from ragstack.types import Document, Scalar, Source

__all__ = ["INLINE", "Limits", "fingerprint", "load_document", "merged", "parse"]

# Raise a loader's number whenever it would read the same bytes otherwise.
_VERSIONS: Mapping[str, int] = {
    "code": 1, "csv": 1, "html": 1, "image": 1, "json": 1, "mail": 1, "markdown": 1, "office": 2,
    "pdf": 2, "text": 1, "xml": 1, "dispatch": 1,
}  # fmt: skip
_LIBRARIES = (
    "charset-normalizer", "kreuzberg", "pillow", "py3langid", "pypdfium2", "rapidocr", "selectolax",
)  # fmt: skip

INLINE = frozenset(["text", "markdown", "code", "json", "csv"])
"""Loaders of pure Python whose time is linear in the bytes: no need for a process of their own."""


def load_document(source: Source, *, limits: Limits | None = None, loader: str = "") -> Document:
    """Return the document in a source's bytes, read in this process.

    The loader is chosen by content. What the source says of itself (``meta``, ``readers``) wins
    over what the loader finds; ``modified`` is the date of a document that names none.

    Args:
        loader: Name of the loader to take, whatever the content looks like.

    Raises:
        DocumentError: Whatever is wrong with it; says what.
    """
    limits = limits or Limits()
    return merged(parse(source, limits=limits, loader=loader), source)


def parse(source: Source, *, limits: Limits, loader: str = "") -> Document:
    """Return what the loader finds, before the source's own metadata are merged."""
    check_bytes(len(source.data), limits, source.uri)
    name = loader or sniff(source.data, name=source.uri, media_type=source.media_type)
    try:
        chosen: Loader = registry.create("loaders", name, {}, limits=limits)
    except MissingExtra as error:
        raise UnsupportedDocument(
            f"{source.uri!r} needs the loader {name!r}, and {error.message}", hint=error.hint
        ) from error
    try:
        return chosen.load(source.data, source=source.uri)
    except DocumentError:
        raise
    except MemoryError as error:
        raise DocumentTooLarge(
            f"reading {source.uri!r} took more than {limits.max_memory:,} bytes of memory",
            hint="raise max_memory",
        ) from error
    # A loader is the edge to other people's parsers, which fail in ways of their own.
    except Exception as error:
        raise BrokenDocument(f"{source.uri!r} cannot be read: {error!r}") from error


def merged(document: Document, source: Source) -> Document:
    """Return the document with what its source says of itself, and its language if none says it."""
    said = checked(source.meta, source.uri)
    meta: dict[str, Scalar] = {**document.meta, **{k: v for k, v in said.items() if v is not None}}
    if meta.get("date") is None and source.modified is not None:
        moment = source.modified
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        meta["date"] = zoned.astimezone(UTC).replace(microsecond=0).isoformat()
    if meta.get("language") is None and meta.get("type") != "code":
        meta["language"] = detect_language(document.text)
    kept = {key: value for key, value in meta.items() if value is not None}
    return replace(document, meta=kept, readers=tuple(source.readers))


def fingerprint() -> str:
    """Return a text that changes when documents would be read otherwise.

    It joins the version of each loader, of the libraries they stand on, and the names of loaders
    that other packages register.
    """
    parts = [f"{name}={version}" for name, version in sorted(_VERSIONS.items())]
    foreign = set(registry.names("loaders")) - set(registry.TABLE["loaders"])
    return ";".join([*parts, *map(_version, _LIBRARIES), *sorted(foreign)])


def _version(library: str) -> str:
    try:
        return f"{library}={metadata.version(library)}"
    except metadata.PackageNotFoundError:
        return f"{library}=none"
