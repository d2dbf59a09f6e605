"""Files, folders and connectors of this side in, forms that a server takes in out.

What is read is sent in parts, so that a folder never has to fit into memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ragstack import registry
from ragstack.client.connection import Upload
from ragstack.errors import InputError
from ragstack.pipeline.sources import fetched
from ragstack.protocols import Connector
from ragstack.types import Failure, Gone, IngestReport, Meta, Source

__all__ = ["Batch", "Reading", "merged"]

_MOST_FILES = 100  # of one request
_MOST_BYTES = 32_000_000
_TYPE = "application/octet-stream"


@dataclass
class Batch:
    """Sources that go up together, since they share metadata and readers."""

    meta: Meta
    readers: tuple[str, ...]
    files: list[Upload] = field(default_factory=list)
    size: int = 0

    def form(self, collection: str) -> dict[str, str]:
        """Return the form's fields beside the files."""
        return {
            "collection": collection,
            "meta": json.dumps(dict(self.meta)),
            "readers": json.dumps(list(self.readers)),
        }

    def full(self, source: Source, meta: Meta, readers: tuple[str, ...]) -> bool:
        """Return whether a source has to go up with another batch."""
        crowded = len(self.files) >= _MOST_FILES or self.size + len(source.data) > _MOST_BYTES
        return bool(self.files) and (crowded or (self.meta, self.readers) != (meta, readers))


class Reading:
    """What is to be taken in, read one batch after the other.

    Args:
        sources: Paths of files and folders, and connectors.
        meta: Of every source; a source's own wins.
        readers: Of every source that names none.

    Attributes:
        failures: What could not be read here, and why; grows while it is read.
        gone: Addresses that a connector says are gone.

    Raises:
        NotFound: A path that is not there.
        InputError: What is neither.
    """

    def __init__(
        self, sources: Sequence[str | Path | Connector], meta: Meta, readers: Sequence[str]
    ) -> None:
        self.failures: list[Failure] = []
        self.gone: list[str] = []
        self._meta = dict(meta)
        self._readers = tuple(readers)
        self._connectors: list[Any] = []
        self._roots: dict[str, str] = {}
        for source in sources:
            if isinstance(source, (str, Path)):
                root = Path(source).expanduser().resolve()
                self._connectors.append(registry.load("connectors", "files")([source]))
                self._roots[root.as_posix()] = f"{root.parent.as_posix().rstrip('/')}/"
            elif callable(getattr(source, "fetch", None)):
                self._connectors.append(source)
            else:
                raise InputError(f"a source is a path or a connector, got {source!r}")

    def batches(self) -> Iterator[Batch]:
        """Yield what is there, in parts that fit into memory."""
        batch = Batch(self._meta, self._readers)
        for item in fetched(self._connectors, self.failures.append):
            if isinstance(item, Gone):
                self.gone.append(item.uri)
                continue
            meta, readers = {**self._meta, **item.meta}, item.readers or self._readers
            if batch.full(item, meta, readers):
                yield batch
                batch = Batch(meta, readers)
            if not batch.files:
                batch = Batch(meta, readers)
            name = self.name_of(item.uri)
            batch.files.append(("files", (name, item.data, item.media_type or _TYPE)))
            batch.size += len(item.data)
        if batch.files:
            yield batch

    def name_of(self, uri: str) -> str:
        """Return how a source is named at the server: a path from the folder that was given on."""
        for root, parent in self._roots.items():
            if uri == root or uri.startswith(f"{root.rstrip('/')}/"):
                uri = uri.removeprefix(parent)
                break
        return uri.encode("utf-8", "replace").decode()


def merged(reports: Sequence[IngestReport]) -> IngestReport:
    """Return what several ingests did, as of one."""
    whole = {
        one.name: [value for report in reports for value in getattr(report, one.name)]
        for one in fields(IngestReport)
        if one.name not in ("chunks", "seconds")
    }
    return IngestReport(
        **{name: tuple(values) for name, values in whole.items()},
        chunks=sum(report.chunks for report in reports),
        seconds=sum(report.seconds for report in reports),
    )
