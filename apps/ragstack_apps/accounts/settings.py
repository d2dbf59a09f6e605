"""The table ``[serve]`` of ``ragstack.toml`` in, frozen settings out. Serves nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

from ragstack.config import secret, section
from ragstack.errors import ConfigError
from ragstack.types.ranges import Range, check_ranges
from ragstack_apps.accounts.caller import checked_rights

__all__ = ["OidcSettings", "RetainSettings", "ServeSettings", "TelemetrySettings", "serve_settings"]


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Single sign-on by OpenID Connect; off while there is no issuer.

    Attributes:
        issuer: The provider's address, exactly as it writes it itself.
        client_secret: ``{ env = "NAME" }``; none for a public client, which PKCE protects alone.
        redirect: This server's ``/api/login/oidc/callback`` as browsers reach it; else as asked.
        user_claim: What becomes the user's name; with ``email`` the provider must have verified it.
        groups_claim: The list of the user's groups.
        rights: Of everybody who signs on.
        group_rights: More rights, by group: ``{ "rag-admins" = ["admin"] }``.
        next: Addresses that a browser may be sent on to once it is signed on.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret: Mapping[str, Any] = field(default_factory=dict)
    redirect: str = ""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    user_claim: str = "email"
    groups_claim: str = "groups"
    rights: tuple[str, ...] = ("read", "ask")
    group_rights: Mapping[str, Any] = field(default_factory=dict)
    next: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetainSettings:
    """Days that things are kept; 0 is for ever."""

    runs_days: Annotated[float, Range(least=0)] = 90.0
    chats_days: Annotated[float, Range(least=0)] = 0.0
    uploads_days: Annotated[float, Range(least=0)] = 0.0
    audit_days: Annotated[float, Range(least=0)] = 365.0

    def __post_init__(self) -> None:
        check_ranges(self, where="serve.retain")


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Traces by OpenTelemetry.

    Attributes:
        endpoint: Of an OTLP/HTTP collector; else ``OTEL_EXPORTER_OTLP_ENDPOINT``; else none.
        contents: Questions and answers stand in the traces too.
        service: The name the server has there.
    """

    endpoint: str = ""
    contents: bool = False
    service: str = "ragstack"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Of ``ragstack serve``.

    Attributes:
        requests_per_minute: Of each key and each user; 0 is any number.
        answers_at_once: Of the same; 0 is any number.
        logins_per_minute: Tries of each machine, and for each name.
        session_hours: A sign-in ends after them; a year at most.
        max_upload_mb: Of one request that brings files.
        origins: Web pages of other addresses that may use the server: ``https://intranet.example``.
    """

    requests_per_minute: Annotated[int, Range(least=0)] = 1_200
    answers_at_once: Annotated[int, Range(least=0)] = 64
    logins_per_minute: Annotated[int, Range(least=1)] = 10
    session_hours: Annotated[float, Range(above=0, most=8_784)] = 12.0
    max_upload_mb: Annotated[int, Range(least=1)] = 200
    origins: tuple[str, ...] = ()
    oidc: OidcSettings = field(default_factory=OidcSettings)
    retain: RetainSettings = field(default_factory=RetainSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)

    def __post_init__(self) -> None:
        check_ranges(self, where="serve")


def serve_settings(table: Mapping[str, Any]) -> ServeSettings:
    """Return the settings that a table holds, checked.

    Raises:
        ConfigError: An unknown key, a wrong type, a number out of range, an address that is none.
    """
    found: ServeSettings = section(
        ServeSettings(), table, where="serve", origin="the configuration"
    )
    for origin in found.origins:
        _check_origin(origin)
    if found.oidc.issuer or found.oidc.client_id:
        _check_oidc(found.oidc)
    return found


def _check_origin(origin: str) -> None:
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
        raise ConfigError(
            f"serve.origins takes addresses such as https://intranet.example, got {origin!r}",
            hint="no path and no * : every page of the web could read the base",
        )


def _check_oidc(oidc: OidcSettings) -> None:
    if not oidc.issuer or not oidc.client_id:
        raise ConfigError("[serve.oidc] needs both issuer and client_id")
    for url in (oidc.issuer, *filter(None, (oidc.redirect,)), *oidc.next):
        check_url(url)
    if "openid" not in oidc.scopes:
        raise ConfigError(f"serve.oidc.scopes must hold 'openid', got {list(oidc.scopes)!r}")
    checked_rights(oidc.rights)
    for group, rights in oidc.group_rights.items():
        if not isinstance(rights, list | tuple):
            raise ConfigError(f"serve.oidc.group_rights.{group} is a list of rights")
        checked_rights(rights)
    secret(oidc.client_secret or None)


def check_url(url: str) -> None:
    """Refuse an address that secrets must not be sent to.

    Raises:
        ConfigError: It is not of https, nor of this machine.
    """
    parts = urlsplit(url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "https" and parts.hostname:
        return
    if not (parts.scheme == "http" and here):
        raise ConfigError(
            f"{url!r} cannot be used for signing in: expected https://…",
            hint="http is for this machine alone",
        )
