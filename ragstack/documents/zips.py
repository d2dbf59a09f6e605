"""A zip in, what is in it out, within limits: nothing is unpacked before its size is known."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable

from ragstack.documents.limits import Limits
from ragstack.errors import BrokenDocument, DocumentTooLarge, EncryptedDocument

__all__ = ["Package", "zip_kind"]

_RATIO_FROM = 50_000_000
_MAX_MEMBERS = 50_000
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
_ENCRYPTED = 0x1


class Package:
    """A zip based document: its members by name, read within the limits.

    Raises:
        BrokenDocument: It is no zip, or its directory is damaged.
        EncryptedDocument: A member is encrypted.
        DocumentTooLarge: It would unpack to more than the limits allow.
    """

    def __init__(self, data: bytes, *, limits: Limits, source: str) -> None:
        self._source = source
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            members = self._zip.infolist()
        except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError) as error:
            raise BrokenDocument(f"{source!r} is a damaged zip: {error}") from error
        self._members = {member.filename: member for member in members}
        expanded = sum(member.file_size for member in members)
        self._check(expanded, len(data), len(members), limits)
        if any(member.flag_bits & _ENCRYPTED for member in members):
            raise EncryptedDocument(
                f"{source!r} is encrypted; a password is needed to open it",
                hint="save a copy without a password",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members, in the order of the file."""
        return tuple(self._members)

    def read(self, name: str) -> bytes:
        """Return the bytes of a member; never more than its directory entry announced.

        Raises:
            BrokenDocument: It is not there, or damaged.
        """
        member = self._members.get(name)
        if member is None:
            raise BrokenDocument(f"{self._source!r} lacks its part {name!r}")
        try:
            with self._zip.open(member) as stream:
                return stream.read(member.file_size)
        except (
            zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError,
            RuntimeError,
        ) as error:  # fmt: skip
            raise BrokenDocument(
                f"the part {name!r} of {self._source!r} is damaged: {error}"
            ) from error

    def rewritten(self, replaced: Iterable[tuple[str, bytes]]) -> bytes:
        """Return the same package with other bytes for some members."""
        new = dict(replaced)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
            for name in self._members:
                target.writestr(name, new.get(name) or self.read(name))
        return out.getvalue()

    def _check(self, expanded: int, packed: int, count: int, limits: Limits) -> None:
        if count > _MAX_MEMBERS:
            raise DocumentTooLarge(
                f"{self._source!r} has {count:,} parts; the limit is {_MAX_MEMBERS:,}"
            )
        if expanded > limits.max_expanded_bytes:
            raise DocumentTooLarge(
                f"{self._source!r} unpacks to {expanded:,} bytes; the limit is "
                f"{limits.max_expanded_bytes:,}"
            )
        if expanded > _RATIO_FROM and expanded > limits.max_ratio * packed:
            raise DocumentTooLarge(
                f"{self._source!r} unpacks to {expanded / packed:,.0f} times its "
                f"{packed:,} bytes; the limit is {limits.max_ratio:,.0f} times"
            )


def zip_kind(package: Package) -> str:
    """Return ``docx``, ``pptx``, ``xlsx``, ``epub``, ``odt``…; an empty string for another zip."""
    names = package.names
    if "mimetype" in names:
        said = package.read("mimetype")[:200].strip().decode("ascii", "replace")
        if said == "application/epub+zip":
            return "epub"
        if said.startswith(_OPEN_DOCUMENT):
            kinds = {"text": "odt", "spreadsheet": "ods", "presentation": "odp"}
            return kinds.get(said.removeprefix(_OPEN_DOCUMENT).removesuffix("-template"), "")
    for folder, kind in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx")):
        if any(name.startswith(folder) for name in names):
            return kind
    if "META-INF/container.xml" in names:
        return "epub"
    return ""
