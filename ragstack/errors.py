"""Every error ragstack raises on purpose. One root, one line per branch.

RagstackError
├── InputError                  an argument that cannot be used (also a ValueError)
├── ConfigError                 ragstack.toml, environment, options
│   ├── UnknownPlugin           a name that no room registers
│   └── MissingExtra            a package that an extra installs is not there
├── DocumentError               one document could not be read; a run goes on without it
│   ├── UnsupportedDocument     no loader for these bytes
│   ├── BrokenDocument          the bytes are not what they claim to be
│   ├── EncryptedDocument       a password is needed
│   ├── EmptyDocument           no text in it
│   └── DocumentTooLarge        over a limit: bytes, pages, ratio, seconds
├── BaseError                   the folder that keeps a base
│   ├── BaseLocked              another process is writing (retryable)
│   ├── DiskFull                no space is left where the base lies (retryable)
│   ├── BaseVersionError        written by a newer or unknown format
│   ├── EmbedderMismatch        built with another embedder
│   ├── IndexStateError         an index's files do not hold together
│   └── NotFound                a document, chunk, collection or chat that is not there
├── AccessError                 who asks, and what they may do
│   ├── NotSignedIn             no key, session or password that is known
│   ├── NotAllowed              a right or a collection the caller has not
│   └── RateLimited             more requests than are allowed (retryable)
├── ModelError                  model files
│   ├── UnknownModel            no such name in the table
│   ├── ModelUnavailable        no source could deliver it (retryable)
│   ├── HashMismatch            the bytes are not the publisher's
│   └── NotEnoughSpace          disk or memory
└── GenerationError             a generator, embedder or scorer at work
    ├── ContextOverflow         more tokens than the window holds
    ├── UnsupportedCapability   the generator cannot do what was asked
    ├── GrammarError            a grammar that cannot be compiled
    ├── Cancelled               the caller stopped it
    ├── EngineBusy              too many requests wait for the model (retryable)
    ├── EngineDied              the model's process ended; it is started again (retryable)
    ├── DeadlineExceeded        it took longer than it was given (retryable)
    └── RemoteError             a server answered with an error (retryable where it says so)
"""

from __future__ import annotations

__all__ = [
    "AccessError",
    "BaseError",
    "BaseLocked",
    "BaseVersionError",
    "BrokenDocument",
    "Cancelled",
    "ConfigError",
    "ContextOverflow",
    "DeadlineExceeded",
    "DiskFull",
    "DocumentError",
    "DocumentTooLarge",
    "EmbedderMismatch",
    "EmptyDocument",
    "EncryptedDocument",
    "EngineBusy",
    "EngineDied",
    "GenerationError",
    "GrammarError",
    "HashMismatch",
    "IndexStateError",
    "InputError",
    "MissingExtra",
    "ModelError",
    "ModelUnavailable",
    "NotAllowed",
    "NotEnoughSpace",
    "NotFound",
    "NotSignedIn",
    "RagstackError",
    "RateLimited",
    "RemoteError",
    "UnknownModel",
    "UnknownPlugin",
    "UnsupportedCapability",
    "UnsupportedDocument",
]


class RagstackError(Exception):
    """What happened, what was expected, and a hint on a line of its own.

    Attributes:
        message: What happened, without the hint.
        hint: What to do about it, or an empty string.
        retryable: Whether the same call may succeed later.
    """

    retryable: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message}\nhint: {hint}" if hint else message)


class InputError(RagstackError, ValueError):
    """An argument that cannot be used."""


class ConfigError(RagstackError):
    """The configuration cannot be used."""


class UnknownPlugin(ConfigError):
    """A name that no room registers."""


class MissingExtra(ConfigError):
    """A package is missing that an extra of ragstack installs."""

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is not installed",
            hint=f'pip install "ragstack[{extra}]"',
        )
        self.package = package
        self.extra = extra


class DocumentError(RagstackError):
    """One document could not be read; a run goes on without it."""


class UnsupportedDocument(DocumentError):
    """No loader reads this kind of bytes."""


class BrokenDocument(DocumentError):
    """The bytes are not what they claim to be."""


class EncryptedDocument(DocumentError):
    """A password is needed to read it."""


class EmptyDocument(DocumentError):
    """There is no text in it."""


class DocumentTooLarge(DocumentError):
    """It passes a limit: bytes, pages, decompression ratio, seconds."""


class BaseError(RagstackError):
    """The folder that keeps a base cannot be used as it is."""


class BaseLocked(BaseError):
    """Another process is writing to this base."""

    retryable = True


class DiskFull(BaseError):
    """No space is left where the base lies; what was committed is whole."""

    retryable = True

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            hint="make space and do the same again: what was stored is whole, and it goes on there",
        )


class BaseVersionError(BaseError):
    """The base was written by a newer or unknown format."""


class EmbedderMismatch(BaseError):
    """The base was built with another embedder."""


class IndexStateError(BaseError):
    """An index's files do not hold together."""


class NotFound(BaseError):
    """A document, chunk, collection or chat that is not there."""


class AccessError(RagstackError):
    """The caller is not known, or may not do this."""


class NotSignedIn(AccessError):
    """No key, session or password that is known came with the request."""


class NotAllowed(AccessError):
    """The caller has not the right, or not to this collection."""


class RateLimited(AccessError):
    """More requests than the caller is allowed.

    Attributes:
        retry_s: Seconds until one is allowed again.
    """

    retryable = True

    def __init__(self, message: str, *, hint: str = "", retry_s: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_s = retry_s


class ModelError(RagstackError):
    """A model file cannot be had or used."""


class UnknownModel(ModelError):
    """No model of that name is in the table."""


class ModelUnavailable(ModelError):
    """No source could deliver the model."""

    retryable = True


class HashMismatch(ModelError):
    """The bytes are not the ones the publisher signed."""


class NotEnoughSpace(ModelError):
    """Too little disk or memory."""


class GenerationError(RagstackError):
    """A generator, embedder or scorer failed at work."""


class ContextOverflow(GenerationError):
    """More tokens than the context window holds."""


class UnsupportedCapability(GenerationError):
    """The generator cannot do what was asked of it."""


class GrammarError(GenerationError):
    """The grammar cannot be compiled."""


class Cancelled(GenerationError):
    """The caller stopped the work."""


class EngineBusy(GenerationError):
    """Too many requests wait for the model already."""

    retryable = True


class EngineDied(GenerationError):
    """The process that ran the model ended; the next request finds a new one."""

    retryable = True


class DeadlineExceeded(GenerationError):
    """It took longer than the caller gave it."""

    retryable = True


class RemoteError(GenerationError):
    """A server answered with an error, or not at all."""

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
