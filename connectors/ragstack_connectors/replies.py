"""A server's answer in, a value or an error of ours out. Knows nothing of connections."""

from __future__ import annotations

import email.utils
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from ragstack.errors import RemoteError
from ragstack.types.hosts import retry_after_s
from ragstack_connectors.credentials import shown_url

__all__ = [
    "RETRIED",
    "Fetched",
    "Refused",
    "body_of",
    "deadline_passed",
    "moment_of",
    "refused",
    "said_in",
    "unreachable",
]

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_PIECE = 1 << 20
_SHOWN = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_HINTS = {
    401: 'the server wants to know who asks: check the credentials, { env = "NAME" }',
    403: "these credentials may not read that",
    404: "check the address",
    429: "the server says that it was asked too often; come back later, or ask more slowly",
}


class Refused(RemoteError):
    """The server answered with a status that is no success.

    Attributes:
        status: The status.
        wait_s: Seconds that the server asks to wait; 0 where it asks for none.
        headers: The answer's headers.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        hint: str = "",
        wait_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retryable=status in RETRIED)
        self.status = status
        self.wait_s = wait_s
        self.headers = headers or httpx.Headers()


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer.

    Attributes:
        status: 200 to 299, or 304.
        headers: By name in any case: ``headers["etag"]``.
        body: Unpacked bytes.
        url: Where it came from at last, after redirects.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300

    @property
    def media_type(self) -> str:
        """What the server says it is, in small letters and without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def modified(self) -> datetime | None:
        """When the server says it changed (``Last-Modified``), if it says so."""
        return moment_of(self.headers.get("last-modified", ""))

    @property
    def wait_s(self) -> float:
        """Seconds that ``Retry-After`` asks to wait; 0 where it asks for none."""
        return retry_after_s(self.headers.get("retry-after", ""))

    def json(self) -> Any:
        """Return the body read as JSON.

        Raises:
            RemoteError: It is none.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise RemoteError(
                f"{shown_url(self.url)} answered {self.media_type or 'something'!r}, "
                "which cannot be read as JSON",
                hint="check the address: a page to log in looks like this",
            ) from None


def moment_of(text: str) -> datetime | None:
    """Return the moment an HTTP date names, in UTC; None for what is no date."""
    try:
        found = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def body_of(
    pieces: Iterator[bytes], headers: Mapping[str, str], url: str, most: int, until: float
) -> bytes:
    """Return a body, unpacked, within its limits of bytes and of time.

    Raises:
        RemoteError: It is larger, takes longer, or is packed in a way that was not asked for.
    """
    packing = headers.get("content-encoding", "").strip().lower()
    if packing not in ("", "identity", "gzip", "x-gzip"):
        raise RemoteError(f"{shown_url(url)} is packed as {packing!r}, which was not asked for")
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and not packing and len(declared) < 19:
        _check_size(int(declared), most, url)
    body = bytearray()
    for piece in _unpacked(pieces, url) if "gzip" in packing else pieces:
        body += piece
        _check_size(len(body), most, url)
        if time.monotonic() > until:
            raise deadline_passed(url)
    return bytes(body)


def _unpacked(pieces: Iterator[bytes], url: str) -> Iterator[bytes]:
    unpacker, fresh = zlib.decompressobj(wbits=31), True
    for piece in pieces:
        while piece:
            try:
                # At most so much at a time: a small piece may hold a thousand times its size.
                yield unpacker.decompress(piece, _PIECE)
            except zlib.error as error:
                raise RemoteError(f"{shown_url(url)} is broken: {error}", retryable=True) from None
            piece, fresh = unpacker.unconsumed_tail, False
            if unpacker.eof:
                piece, unpacker, fresh = unpacker.unused_data, zlib.decompressobj(wbits=31), True
    if not fresh:
        raise RemoteError(f"{shown_url(url)} broke off in the middle", retryable=True)


def _check_size(size: int, most: int, url: str) -> None:
    if size > most:
        raise RemoteError(
            f"{shown_url(url)} has more than {most:,} bytes, which is the limit",
            hint="raise max_bytes, if it is wanted",
        )


def deadline_passed(url: str, seconds: float = 0.0) -> RemoteError:
    """Return the error for a server that takes longer than it is given."""
    given = f" {seconds:g} s" if seconds else ""
    return RemoteError(
        f"{shown_url(url)} took longer than the{given} it is given",
        hint="try again later, or raise the limit",
    )


def refused(reply: Fetched, said: str) -> Refused:
    """Return the error for an answer that is no success."""
    words = f": {said}" if said else ""
    wait = f" (it asks to wait {reply.wait_s:.0f} s)" if reply.wait_s else ""
    return Refused(
        f"{shown_url(reply.url)} answered {reply.status}{wait}{words}",
        status=reply.status,
        hint=_HINTS.get(reply.status, ""),
        wait_s=reply.wait_s,
        headers=reply.headers,
    )


def said_in(reply: Fetched) -> str:
    """Return a server's reason in one short line; of a page, nothing."""
    text = reply.body[:4_000].decode("utf-8", "replace")
    if reply.media_type.endswith("json"):
        text = _reason(reply.body) or text
    elif reply.media_type.endswith(("html", "xml")):
        return ""
    return _CONTROL.sub(" ", text).strip()[:_SHOWN]


def _reason(body: bytes) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    while isinstance(value, dict):
        value = next((value[k] for k in ("error", "message", "detail") if value.get(k)), None)
    return value if isinstance(value, str) else ""


def unreachable(url: str, error: Exception, clean: Callable[[str], str]) -> RemoteError:
    """Return the error for one of httpx's."""
    reason, retryable = clean(str(error)) or type(error).__name__, True
    if isinstance(error, httpx.ConnectTimeout):
        reason = "no connection in time"
    elif isinstance(error, httpx.TimeoutException):
        reason = "it fell silent"
    elif "CERTIFICATE" in reason.upper():
        retryable = False
    return RemoteError(
        f"{shown_url(url)} cannot be reached: {_CONTROL.sub(' ', reason)[:_SHOWN]}",
        hint="" if retryable else "its certificate does not hold; SSL_CERT_FILE names your own",
        retryable=retryable,
    )
