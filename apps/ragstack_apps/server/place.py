"""Where a server listens, to whom, and the limits of what it takes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from ragstack.errors import ConfigError
from ragstack.types.hosts import is_loopback

__all__ = ["Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens, and to whom.

    Attributes:
        port: 0 is any that is free.
        api_key: What clients must show; empty is nothing, on loopback alone.
        max_body: Bytes of a request's body, where it is JSON.
        max_upload: Bytes of a request's body, where it carries files.
        deadline_s: Seconds a request of the model may take, its time in the queue with it.
        certificate: File of the certificate, with those that vouch for it, in PEM; none is no TLS.
        private_key: File of its key; empty where the certificate's file holds it too.
        ping_s: Seconds after which a stream with nothing to say shows that it is alive.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str = ""
    max_body: int = 8 << 20
    max_upload: int = 512 << 20
    deadline_s: float = 600.0
    ping_s: float = 10.0
    certificate: str = ""
    private_key: str = ""

    def check(self, *, closed: bool = False) -> None:
        """Refuse to be open to others without a key.

        Args:
            closed: Whether accounts ask everyone who they are.

        Raises:
            ConfigError: It would be, or a number is out of range.
        """
        if not 0 <= self.port <= 65535 or self.max_body < 1 or self.max_upload < 1:
            raise ConfigError(
                f"port={self.port}, max_body={self.max_body}, max_upload={self.max_upload}: "
                "expected 0 to 65535, and 1 or more"
            )
        if self.private_key and not self.certificate:
            raise ConfigError("a key of TLS without its certificate", hint="name --tls-cert too")
        if self.certificate:
            _check_files(self.certificate, self.private_key)
        if not (self.api_key or closed) and not is_loopback(self.host):
            raise ConfigError(
                f"without an API key the server listens on loopback alone, not on {self.host!r}",
                hint="ragstack users add, ragstack keys add, RAGSTACK_API_KEY; or leave --host out",
            )


def _check_files(certificate: str, private_key: str) -> None:
    """Refuse files that TLS cannot be spoken with.

    Raises:
        ConfigError: They cannot be read, are none, or do not belong together.
    """

    def no_password() -> str:
        raise ConfigError(f"the key of {certificate!r} wants a password: give one without")

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private_key or None, no_password)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"TLS cannot be spoken with {certificate!r} and {private_key or 'no other file'!r}: "
            f"{error}",
            hint="expected a certificate and its key in PEM",
        ) from error
