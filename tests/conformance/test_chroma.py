"""The promises of an index, kept by Chroma: in the process, and as a server that really runs."""

from __future__ import annotations

import gc
import os
import random
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import ConfigError, IndexStateError, RemoteError
from ragstack.protocols import Index
from ragstack.testing.indexes import IndexSuite, chunk_of, random_chunks
from ragstack.types import Chunk

pytest.importorskip("chromadb", reason='pip install "ragstack[chroma]"')
chroma = pytest.importorskip("ragstack.index.chroma")


class ChromaSuite(IndexSuite):
    """Each call of Chroma takes milliseconds: fewer rounds, chunks together."""

    def test_many_changes_keep_it_whole(self, index: Index, opened: Callable[[], Index]) -> None:
        alive: dict[str, Chunk] = {}
        dice = random.Random(18)
        for round_ in range(20):
            fresh = [
                replace(chunk, document_id=f"d{dice.randrange(80)}", meta={"r": round_})
                for chunk in random_chunks(40, seed=round_)
            ]
            index.add(fresh)
            alive |= {chunk.id: chunk for chunk in fresh}
            gone = dice.sample(sorted(alive), len(alive) // 3)
            alive = {name: chunk for name, chunk in alive.items() if name not in gone}
            index.delete(gone)
            if round_ % 5 == 0:
                index.commit(round_)
        index.commit(1_000)
        for one in (index, opened()):
            (hits,) = one.search(["common"], k=500)
            assert sorted(hit.chunk_id for hit in hits) == sorted(alive)


class TestChroma(ChromaSuite):
    def make(self, folder: Path):
        return chroma.ChromaIndex(folder, embedder=HashingEmbedder(dimensions=64))


class TestChromaSearched(ChromaSuite):
    """With Chroma's own search at sizes where all would be compared."""

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chroma, "_FEW", 0)

    def make(self, folder: Path):
        return chroma.ChromaIndex(folder, embedder=HashingEmbedder(dimensions=64))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestChromaServer(ChromaSuite):
    """``chroma run``, started for real; each test has collections of its own on it."""

    @pytest.fixture(autouse=True)
    def at(self, server: str) -> Iterator[None]:
        self.url = server
        yield
        # Chroma's client never closes its connections; they may be shared, so neither do we.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    def make(self, folder: Path):
        return chroma.ChromaIndex(folder, embedder=HashingEmbedder(dimensions=64), url=self.url)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = "import sys; from chromadb.cli.cli import app; sys.argv[0] = 'chroma'; app()"
    command = [sys.executable, "-c", start, "run", "--path", str(folder)]
    environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            env=environment,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert server.poll() is None, (folder / "log").read_text()
            try:
                httpx.get(f"{url}/api/v2/heartbeat").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


def test_no_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    index = chroma.ChromaIndex(tmp_path, embedder=HashingEmbedder(dimensions=8), url=url)
    with pytest.raises(RemoteError, match="is it running"):
        index.add(random_chunks(2, seed=1))
    index.close()


@pytest.mark.parametrize("options", [{"url": "localhost"}, {"effort": 0}])
def test_options_that_cannot_be_used(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        chroma.ChromaIndex(tmp_path, embedder=HashingEmbedder(dimensions=8), **options)


def test_what_chroma_lost_is_said(tmp_path: Path) -> None:
    embedder = HashingEmbedder(dimensions=8)
    index = chroma.ChromaIndex(tmp_path, embedder=embedder)
    index.add(random_chunks(30, seed=1))
    index.commit(1)
    index._collection.delete(ids=["3"])
    with pytest.raises(IndexStateError, match="delete the folder"):
        index.search(["common"], k=30)
    index.close()


def test_what_a_killed_writer_left_is_no_hit(tmp_path: Path) -> None:
    embedder = HashingEmbedder(dimensions=8)
    index = chroma.ChromaIndex(tmp_path, embedder=embedder)
    index.add(random_chunks(30, seed=1))
    index.commit(1)
    index.add([chunk_of(f"x{n}", "rose") for n in range(40)])  # in Chroma, in no commit
    index.close()
    index = chroma.ChromaIndex(tmp_path, embedder=embedder)
    assert len(index.search(["rose"], k=99)[0]) == 30 == len(index)
    index.add([chunk_of("y", "rose")])
    assert index.search(["rose"], k=1)[0][0].chunk_id == chunk_of("y", "rose").id
    index.close()


def test_dead_rows_are_given_back(tmp_path: Path) -> None:
    embedder = HashingEmbedder(dimensions=8)
    index = chroma.ChromaIndex(tmp_path, embedder=embedder)
    chunks = random_chunks(700, seed=2)
    index.add(chunks)
    index.commit(1)
    index.delete([chunk.id for chunk in chunks[:300]])
    before = index.search(["common rose"], k=500)
    index.commit(2)
    assert index.search(["common rose"], k=500) == before
    assert index._collection.count() == 400
    assert [each.name for each in index._client.list_collections()] == [index._collection.name]
    index.close()
