"""A server's refusal in, the error of ours that it stands for out. Knows no connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ragstack import errors
from ragstack.errors import MissingExtra, RagstackError, RemoteError
from ragstack.generate.sse import decoded

__all__ = ["error_of", "refusal"]

_SHOWN = 300
_RETRIED = frozenset({408, 425, 429, 502, 503, 504})


def _name(kind: type) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


_KINDS: Mapping[str, type[RagstackError]] = {
    _name(getattr(errors, name)): getattr(errors, name) for name in errors.__all__
}
# What OpenAI's clients know some of them by.
_ALIASES = {
    "document": "document_error",
    "forbidden": "not_allowed",
    "context_length_exceeded": "context_overflow",
    "invalid_api_key": "not_signed_in",
    "invalid_grammar": "grammar_error",
    "rate_limit_exceeded": "rate_limited",
    "unsupported": "unsupported_capability",
}
_STATUS = {
    400: "input_error",
    401: "not_signed_in",
    403: "not_allowed",
    404: "not_found",
    413: "input_error",
    422: "input_error",
    429: "rate_limited",
}
# Events of a stream come without a status of their own.
_TYPES = {
    "authentication_error": 401,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "permission_error": 403,
    "rate_limit_error": 429,
    "timeout_error": 504,
}
_HINTS = {
    401: "give Client an api_key, or call login",
    403: "ask whoever runs the server for the right",
}


def error_of(body: object, *, status: int = 0) -> RagstackError:
    """Return the error that a server's ``{"error": {"message", "code", "hint"}}`` stands for.

    Its class is the one of the code; else the one of the status; else RemoteError, which is
    retryable where the status says so.

    Args:
        status: Of HTTP; 0 where the error came as an event.
    """
    told = body.get("error", body.get("detail")) if isinstance(body, Mapping) else None
    fields: Mapping[str, Any] = told if isinstance(told, Mapping) else {"message": told}
    code = str(fields.get("code") or "")
    status = status or _TYPES.get(str(fields.get("type")), 500)
    code = _ALIASES.get(code, code)
    kind = _KINDS.get(code) or _KINDS.get(_STATUS.get(status, ""), RemoteError)
    said = fields.get("message") or f"the server answered {status}"
    hint = str(fields.get("hint") or _HINTS.get(status, ""))
    message = str(said).removesuffix(f" ({hint})") if hint else str(said)
    if kind is RagstackError or issubclass(kind, RemoteError):
        return RemoteError(message, hint=hint, retryable=status in _RETRIED)
    # A missing package is the server's: its name, which the class wants, is in the message.
    kind = errors.ConfigError if issubclass(kind, MissingExtra) else kind
    made = kind.__new__(kind)
    RagstackError.__init__(made, message, hint=hint)
    return made


def refusal(status: int, text: str) -> RagstackError:
    """Return the error that an answer with a status of failure stands for.

    Args:
        text: The answer's body, or its beginning.
    """
    body = decoded(text)
    if isinstance(body, Mapping) and ("error" in body or "detail" in body):
        return error_of(body, status=status)
    said = " ".join(text.split())[:_SHOWN]
    hint = "is it the address of a ragstack server?" if status in (200, 404, 405) else ""
    told = {"message": f"the server answered {status}{f': {said}' if said else ''}", "hint": hint}
    # Whatever answered, it was no ragstack server: its 404 is not that of a document.
    return error_of({"error": told}, status=status if status in (401, 403, 413, 429, 503) else 500)
