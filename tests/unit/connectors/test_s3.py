from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from ragstack.errors import ConfigError, InputError, RemoteError
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Source
from ragstack_connectors.s3 import S3Connector

SECRETS = ("AKIA-FOR-TESTS-ONLY", "the-word-for-tests-only")


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Moto's server, on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def client(service: str) -> Iterator[Any]:
    """Made once: it takes a while to read what Amazon's services are."""
    found = boto3.client(
        "s3", endpoint_url=service, region_name="us-east-1",
        aws_access_key_id=SECRETS[0], aws_secret_access_key=SECRETS[1],
    )  # fmt: skip
    yield found
    found.close()


@pytest.fixture
def bucket(client: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("S3_KEY", SECRETS[0])
    monkeypatch.setenv("S3_WORD", SECRETS[1])
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    for entry in ("b.txt", "sub/été 1.md", "sub/", "z.pdf"):
        with suppress(client.exceptions.NoSuchBucket):
            client.delete_object(Bucket="papers", Key=entry)
    client.create_bucket(Bucket="papers")
    client.put_object(Bucket="papers", Key="b.txt", Body=b"b")
    client.put_object(
        Bucket="papers", Key="sub/été 1.md", Body=b"# A", ContentType="text/markdown; x=y",
        Metadata={"author": "Ann"},
    )  # fmt: skip
    client.put_object(Bucket="papers", Key="sub/", Body=b"")
    client.put_object(Bucket="papers", Key="z.pdf", Body=b"%PDF")
    return client


def made(service: str, bucket: str = "papers", **options: Any) -> S3Connector:
    keys = {"access_key": {"env": "S3_KEY"}, "secret_key": {"env": "S3_WORD"}}
    given: dict[str, Any] = {"endpoint": service, "region": "us-east-1", **keys, **options}
    return S3Connector(bucket, **given)


class TestS3(ConnectorSuite):
    secrets = SECRETS

    @pytest.fixture(autouse=True)
    def _bucket(self, service: str, bucket: Any) -> None:
        self.service, self.client = service, bucket

    def make(self) -> S3Connector:
        return made(self.service, max_bytes=100)

    def change(self) -> str:
        self.client.delete_object(Bucket="papers", Key="b.txt")
        return "s3://papers/b.txt"

    def spoil(self) -> str:
        self.client.put_object(Bucket="papers", Key="b.txt", Body=b"b" * 101)
        return "s3://papers/b.txt"


def sources(connector: S3Connector) -> list[Source]:
    return [each for each in connector.fetch() if isinstance(each, Source)]


def test_objects_are_told_by_key(service: str, bucket: Any) -> None:
    first, second, third = sources(made(service))
    assert (first.uri, first.data, first.media_type) == ("s3://papers/b.txt", b"b", "text/plain")
    assert second.uri == "s3://papers/sub/été 1.md"
    assert (second.media_type, second.meta) == ("text/markdown", {"author": "Ann"})
    assert third.media_type == "application/pdf"
    assert first.modified is not None and (datetime.now(UTC) - first.modified).total_seconds() < 60


def test_prefix_and_patterns(service: str, bucket: Any) -> None:
    assert [s.uri for s in sources(made(service, prefix="sub/"))] == ["s3://papers/sub/été 1.md"]
    assert [s.uri for s in sources(made(service, exclude=["*.pdf", "sub/"]))] == [
        "s3://papers/b.txt"
    ]


def test_what_goes_wrong_is_told(service: str, bucket: Any) -> None:
    with pytest.raises(RemoteError, match=r"'none' cannot be listed: NoSuchBucket"):
        sources(made(service, "none"))
    with pytest.raises(ConfigError, match="go together"):
        made(service, secret_key=None)
    with pytest.raises(ConfigError, match="secret itself"):
        made(service, secret_key="word")
    with pytest.raises(InputError, match="endpoint"):
        made("ftp://example.org")
    with pytest.raises(ConfigError, match="cannot be reached so"):
        made(service, "a bucket/with a slash", region="not a region")
