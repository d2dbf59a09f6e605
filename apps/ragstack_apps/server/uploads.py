"""Files that clients send in, kept under their SHA-256 in the base, and as sources of an ingest."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ragstack.errors import InputError, NotFound
from ragstack.pipeline.catchup import no_space_reported
from ragstack.protocols import Catalog
from ragstack.types import Failure, Record, Source, document_id_of

__all__ = ["Upload", "UploadConnector", "Uploads", "address_of"]

_KIND = "upload"
_JOB = "job"  # ingests, which may wait for a file that a document of the same bytes had
_PIECE = 1 << 20
_LONGEST = 400  # characters of a name


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was sent."""

    name: str
    sha256: str
    size: int
    media_type: str = ""

    @property
    def uri(self) -> str:
        """The address of the document it becomes."""
        return address_of(self.name)


def address_of(name: str) -> str:
    """Return the address of a document that was sent under a name.

    Raises:
        InputError: The name is no relative path.
    """
    clean = name.replace("\\", "/").strip("/")
    parts = PurePosixPath(clean).parts
    control = re.search(r"[\x00-\x1f\x7f]", clean)
    if not parts or ".." in parts or control or len(clean) > _LONGEST:
        raise InputError(f"a file is named {name[:80]!r}, expected a name or a relative path")
    return f"upload:{PurePosixPath(*parts)}"


class Uploads:
    """The uploads of one base. Safe to use from many threads."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._folder = folder
        self._catalog = catalog

    def take(self, file: BinaryIO) -> tuple[str, int]:
        """Keep what a file holds; return its SHA-256 and its bytes.

        Raises:
            DiskFull: There is no room for it.
        """
        state, size = hashlib.sha256(), 0
        with no_space_reported("the folder of uploads"):
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._folder / f"{secrets.token_hex(8)}.part"
            try:
                with part.open("wb") as kept:
                    while piece := file.read(_PIECE):
                        state.update(piece)
                        size += len(piece)
                        kept.write(piece)
                os.replace(part, self.path(state.hexdigest()))
            finally:
                with suppress(FileNotFoundError):
                    part.unlink()
        return state.hexdigest(), size

    def path(self, sha256: str) -> Path:
        """Return where a file of this digest is kept."""
        return self._folder / sha256

    def remember(
        self, upload: Upload, collection: str, readers: Sequence[str], meta: Mapping[str, object]
    ) -> None:
        """Note of which document a file is the original."""
        body = {
            "collection": collection,
            "name": upload.name,
            "sha256": upload.sha256,
            "size": upload.size,
            "type": upload.media_type,
            "readers": list(readers),
            "meta": dict(meta),
        }
        key = f"{collection}/{document_id_of(upload.uri)}"
        self._catalog.put_record(Record(_KIND, key, body, datetime.now(UTC)))

    def of(self, collection: str, document_id: str) -> Record | None:
        """Return what is known of a document's original, or None."""
        return self._catalog.record(_KIND, f"{collection}/{document_id}")

    def forget(self, collection: str, document_ids: Sequence[str]) -> None:
        """Forget originals; a file that no document has any more is deleted."""
        keys = [f"{collection}/{one}" for one in document_ids]
        gone = [r for r in (self._catalog.record(_KIND, key) for key in keys) if r]
        self._catalog.remove_records(_KIND, keys)
        left = {str(r.body.get("sha256")) for r in self._catalog.records(_KIND, limit=1_000_000)}
        for job in self._catalog.records(_JOB, limit=10_000):
            if job.body.get("state") in ("queued", "running"):
                left |= {str(one["sha256"]) for one in job.body.get("uploads", ())}
        for record in gone:
            if record.body["sha256"] not in left:
                with suppress(FileNotFoundError):
                    self.path(str(record.body["sha256"])).unlink()


class UploadConnector:
    """Yields uploads as sources.

    Attributes:
        failures: Uploads that could not be read, and why.
    """

    def __init__(self, uploads: Uploads, some: Sequence[Upload], *, max_bytes: int) -> None:
        self._uploads = uploads
        self._some = some
        self._max_bytes = max_bytes
        self.failures: list[Failure] = []

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source]:
        """Yield every upload."""
        for upload in self._some:
            if upload.size > self._max_bytes:
                reason = f"it has {upload.size} bytes, expected {self._max_bytes} at most"
                self.failures.append(Failure(upload.uri, reason))
                continue
            try:
                data = self._uploads.path(upload.sha256).read_bytes()
            except FileNotFoundError as error:
                raise NotFound(f"the upload of {upload.name!r} is there no longer") from error
            yield Source(upload.uri, data, upload.media_type)
