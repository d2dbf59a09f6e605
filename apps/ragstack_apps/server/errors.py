"""Errors in, OpenAI's status and error body out. Knows no request and no socket."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass

from ragstack.errors import (
    BaseLocked,
    Cancelled,
    ContextOverflow,
    DeadlineExceeded,
    DiskFull,
    DocumentError,
    EngineBusy,
    EngineDied,
    GrammarError,
    InputError,
    MissingExtra,
    NotAllowed,
    NotFound,
    NotSignedIn,
    RagstackError,
    RateLimited,
    RemoteError,
    UnknownPlugin,
    UnsupportedCapability,
)

__all__ = ["Failure", "HttpError", "failure_of"]

_logger = logging.getLogger(__name__)

_RETRY_S = 1
_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "timeout_error",
}
# The first that fits is taken, so the special ones come first.
_STATUS: tuple[tuple[type[RagstackError], int, str | None], ...] = (
    (NotSignedIn, 401, "invalid_api_key"),
    (NotAllowed, 403, "forbidden"),
    (RateLimited, 429, "rate_limited"),
    (EngineBusy, 429, "engine_busy"),
    (DeadlineExceeded, 504, "deadline_exceeded"),
    (ContextOverflow, 400, "context_length_exceeded"),
    (GrammarError, 400, "invalid_grammar"),
    (UnsupportedCapability, 400, "unsupported"),
    (UnknownPlugin, 400, "unknown_plugin"),
    (InputError, 400, None),
    (MissingExtra, 501, "missing_extra"),
    (DocumentError, 422, "document"),
    (NotFound, 404, "not_found"),
    (EngineDied, 503, "engine_died"),
    (BaseLocked, 503, "base_locked"),
    (DiskFull, 507, "disk_full"),
    (Cancelled, 503, "cancelled"),
)


class HttpError(RagstackError):
    """A request that HTTP itself has a status for: an unknown path, a missing key, a huge body."""

    def __init__(self, status: int, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Failure:
    """What a client is told: a status, OpenAI's error body, and headers beside it."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str]


def failure_of(error: BaseException) -> Failure:
    """Return what a client is told about an error; what is not its own fault, without internals."""
    if isinstance(error, HttpError):
        return _failure(error.status, error.message, error.code)
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            message = f"{error.message} ({error.hint})" if error.hint else error.message
            wait_s = error.retry_s if isinstance(error, RateLimited) else _RETRY_S
            return _failure(status, message, code, wait_s=wait_s)
    if isinstance(error, RemoteError) and error.retryable:
        _logger.warning("the remote generator failed: %s", error)
        return _failure(503, "the generator behind this server cannot be reached now", None)
    _logger.error("a request failed", exc_info=error)
    return _failure(500, "the server failed; its log says why", "internal_error")


def _failure(status: int, message: str, code: str | None, *, wait_s: float = _RETRY_S) -> Failure:
    kind = _KINDS.get(status, "invalid_request_error")
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    headers = {"Retry-After": str(math.ceil(wait_s))} if status in (429, 503) else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Failure(status, body, headers)
