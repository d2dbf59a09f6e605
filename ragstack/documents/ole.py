"""An OLE compound file (the old binary office formats) in, the kind of document in it out."""

from __future__ import annotations

__all__ = ["OLE_MAGIC", "ole_kind"]

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

# Names of streams, as the directory holds them: UTF-16. Encryption hides the rest, so it is first.
_STREAMS = (
    ("EncryptedPackage", "encrypted"),
    ("WordDocument", "doc"),
    ("Workbook", "xls"),
    ("PowerPoint Document", "ppt"),
    ("__substg1.0_", "msg"),
    ("Book", "xls"),
)


def ole_kind(data: bytes) -> str:
    """Return ``doc``, ``xls``, ``ppt``, ``msg`` or ``encrypted``; an empty string for none."""
    if not data.startswith(OLE_MAGIC):
        return ""
    for name, kind in _STREAMS:
        if name.encode("utf-16-le") in data:
            return kind
    return ""
