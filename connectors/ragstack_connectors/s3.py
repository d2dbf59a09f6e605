"""A bucket of S3, or of what speaks as it does, in; a Source for each object out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ragstack.errors import ConfigError, RemoteError
from ragstack.types import Failure, Gone, Source
from ragstack_connectors.choose import Chosen, Known, is_older
from ragstack_connectors.credentials import Env, plain_url, scrubbed, secret
from ragstack_connectors.files import media_type_of

__all__ = ["S3Connector"]

_VAGUE = frozenset({"", "binary/octet-stream", "application/octet-stream"})
_HINTS = {
    "NoSuchBucket": "check the bucket's name, and the endpoint",
    "AccessDenied": "listing takes s3:ListBucket, reading s3:GetObject",
    "InvalidAccessKeyId": "check access_key",
    "SignatureDoesNotMatch": "check secret_key",
}


class S3Connector:
    """Reads the objects of a bucket, by key.

    Args:
        bucket: Its name.
        prefix: Only keys that begin so.
        endpoint: Address of a service that is not Amazon's: MinIO, Ceph, R2.
        region: Of the bucket.
        access_key: ``{ env = "NAME" }``; without it the usual places are looked at (the variables
            ``AWS_…``, the machine's role).
        secret_key: Goes with it.
        anonymous: Ask without credentials, for a public bucket.
        include: Only these keys, in the syntax of ``.gitignore``; empty is all.
        exclude: Not these.
        max_bytes: A larger object is a failure.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str = "",
        region: str = "",
        access_key: Env | None = None,
        secret_key: Env | None = None,
        anonymous: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        max_bytes: int = 200_000_000,
    ) -> None:
        key, word = secret(access_key, option="access_key"), secret(secret_key, option="secret_key")
        if bool(key) != bool(word):
            raise ConfigError("access_key and secret_key go together, and one of them is missing")
        self._bucket, self._prefix, self._max_bytes = bucket, prefix, max_bytes
        self._secrets = [each for each in (key, word) if each]
        self._chosen = Chosen(include, exclude)
        more: dict[str, Any] = {"signature_version": UNSIGNED} if anonymous else {}
        settings = Config(
            connect_timeout=10,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 4},
            s3={"addressing_style": "path"} if endpoint else {},
            **more,
        )
        place = plain_url(endpoint, option="endpoint") if endpoint else None
        try:
            self._client = boto3.session.Session().client(
                "s3",
                endpoint_url=place,
                region_name=region or None,
                aws_access_key_id=key or None,
                aws_secret_access_key=word or None,
                config=settings,
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"the bucket {bucket!r} cannot be reached so: {error}") from error
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield the objects by key; those written after ``since``, if it is given.

        Raises:
            RemoteError: The bucket cannot be listed.
        """
        try:
            yield from self._fetched(since)
        finally:
            self.close()  # the next fetch opens what it needs

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._client.close()

    def _fetched(self, since: datetime | None) -> Iterator[Source | Gone]:
        self.failures, self.present = [], None
        seen: set[str] = set()
        for entry in self._listed():
            key = entry["Key"]
            if key.endswith("/") or not self._chosen.wants(key):
                continue  # a key that ends so is how a console draws a folder
            uri = f"s3://{self._bucket}/{key}"
            seen.add(uri)
            if is_older(uri, entry["LastModified"], since, self.known):
                continue
            if entry["Size"] > self._max_bytes:
                limit = f"it has {entry['Size']:,} bytes; the limit is {self._max_bytes:,}"
                self.failures.append(Failure(uri, limit))
                continue
            source = self._read(key, uri)
            if source is not None:
                yield source
        self.present = frozenset(seen)

    def _listed(self) -> Iterator[Mapping[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                yield from page.get("Contents", ())
        except (ClientError, BotoCoreError) as error:
            code, reason = self._reason(error)
            raise RemoteError(
                f"the bucket {self._bucket!r} cannot be listed: {reason}",
                hint=_HINTS.get(code, ""),
                retryable=not code,
            ) from None

    def _read(self, key: str, uri: str) -> Source | None:
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            data = found["Body"].read()
        except (ClientError, BotoCoreError, OSError) as error:
            code, reason = self._reason(error)
            if code not in ("NoSuchKey", "404"):  # deleted since it was listed
                self.failures.append(Failure(uri, f"it cannot be read: {reason}"))
            return None
        said = str(found.get("ContentType", "")).partition(";")[0].strip().lower()
        return Source(
            uri,
            data,
            media_type=media_type_of(key) or said if said in _VAGUE else said,
            modified=found["LastModified"].astimezone(UTC),
            meta={name: str(value) for name, value in found.get("Metadata", {}).items()},
        )

    def _reason(self, error: Exception) -> tuple[str, str]:
        if isinstance(error, ClientError):
            said = error.response.get("Error", {})
            code, text = str(said.get("Code", "")), str(said.get("Message", ""))
            return code, scrubbed(f"{code}: {text}", self._secrets)[:300]
        return "", scrubbed(str(error), self._secrets)[:300]

    def __repr__(self) -> str:
        return f"S3Connector({self._bucket!r}, prefix={self._prefix!r})"
