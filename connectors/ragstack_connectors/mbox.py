"""Mailboxes in files (mbox) in, a Source for each mail out."""

from __future__ import annotations

import hashlib
import mailbox
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ragstack.errors import InputError, NotFound
from ragstack.types import Failure, Gone, Source
from ragstack_connectors.choose import Known, is_older

__all__ = ["MboxConnector"]

_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r?\n[ \t]+)?<?([^<>\r\n]+)", re.I | re.M)
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.M)
_HEAD = 64_000


class MboxConnector:
    """Reads mbox files: Thunderbird's folders, an export of Google, ``/var/mail``.

    A mail's address is its file and its Message-ID, so that it stays when the file is compacted; a
    mail without one is named by its digest. A mail is dated by its file, since one that is old may
    be moved there today.

    Args:
        paths: The files.
        max_bytes: A larger mail is a failure.

    Raises:
        NotFound: A file that is not there.
    """

    def __init__(self, paths: Sequence[str | Path], *, max_bytes: int = 50_000_000) -> None:
        if isinstance(paths, (str, Path)):
            raise InputError(
                f"paths is {str(paths)!r}; a list was expected", hint=f"[{str(paths)!r}]"
            )
        self._paths = [Path(path).expanduser().resolve() for path in paths]
        for path in self._paths:
            if not path.is_file():
                raise NotFound(f"there is no file {str(path)!r}")
        self._max_bytes = max_bytes
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield the mails of each file in its order; of files changed after ``since``."""
        self.failures, self.present = [], None
        met: set[str] = set()
        whole = True
        for path in dict.fromkeys(self._paths):
            try:
                modified = datetime.fromtimestamp(os.stat(path).st_mtime, UTC)
                yield from self._mails(path, modified, since, met)
            except (OSError, mailbox.Error) as error:
                whole = False
                reason = getattr(error, "strerror", None) or str(error)
                self.failures.append(Failure(path.as_posix(), f"it cannot be read: {reason}"))
        self.present = frozenset(met) if whole else None

    def _mails(
        self, path: Path, modified: datetime, since: datetime | None, met: set[str]
    ) -> Iterator[Source]:
        # Closed at the end; it is not locked, for nothing is written.
        box = mailbox.mbox(path, factory=None, create=False)
        try:
            for key in box.iterkeys():
                with box.get_file(key) as reader:
                    data = reader.read(self._max_bytes + 1)
                uri = f"{path.as_posix()}#{_name_of(data)}"
                if uri in met:
                    continue  # the same mail twice
                met.add(uri)
                if is_older(uri, modified, since, self.known):
                    continue
                if len(data) > self._max_bytes:
                    limit = f"it has more than {self._max_bytes:,} bytes, which is the limit"
                    self.failures.append(Failure(uri, limit))
                    continue
                yield Source(uri, _QUOTED_FROM.sub(rb"\1", data), "message/rfc822", modified)
        finally:
            box.close()


def _name_of(mail: bytes) -> str:
    head = re.split(rb"\r?\n\r?\n", mail[:_HEAD], maxsplit=1)[0]
    found = _MESSAGE_ID.search(head)
    if found:
        name = found[1].decode("utf-8", "replace").strip()
        if name.isprintable():
            return name
    return hashlib.sha256(mail).hexdigest()[:24]
