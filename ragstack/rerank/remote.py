"""Passages in, scores out from a server's ``/rerank``: Cohere's dialect, Jina's, or TEI's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from ragstack.errors import ConfigError, RemoteError
from ragstack.http import SHOWN, JsonService
from ragstack.types import Passage

__all__ = ["DIALECTS", "RemoteReranker"]

DIALECTS: Mapping[str, str] = {"cohere": "/v2/rerank", "jina": "/v1/rerank", "tei": "/rerank"}
"""Dialects and the path of each: ``cohere`` (Cohere), ``jina`` (Jina, llama-server, vLLM,
Infinity), ``tei`` (Hugging Face text-embeddings-inference)."""


class RemoteReranker:
    """A Reranker behind HTTP: the question and the passages leave this machine."""

    def __init__(
        self,
        *,
        url: str,
        model: str = "",
        dialect: str = "jina",
        key: Mapping[str, str] | None = None,
        batch: int = 64,
        timeout_s: float = 30.0,
    ) -> None:
        """Choose a server; nothing is sent yet.

        Args:
            url: Address up to the path of the dialect (``https://api.jina.ai``).
            model: As the server names it; TEI serves one and needs none.
            dialect: ``cohere``, ``jina`` or ``tei``.
            key: ``{ env = "NAME" }``, the environment variable that holds the key.
            batch: Passages of one request.
            timeout_s: Of one request.

        Raises:
            ConfigError: One of them cannot be used.
        """
        if dialect not in DIALECTS:
            raise ConfigError(f"no dialect is named {dialect!r}; known: {', '.join(DIALECTS)}")
        if dialect != "tei" and not model:
            raise ConfigError(f"the dialect {dialect!r} names a model: model = NAME")
        if batch < 1 or not timeout_s > 0:
            raise ConfigError(f"batch={batch!r}, timeout_s={timeout_s!r}: expected above 0")
        self._dialect, self._model, self._batch = dialect, model, batch
        self._service = JsonService("rerank server", url, key=key, timeout_s=timeout_s)

    def score(self, query: str, passages: Sequence[Passage]) -> list[float]:
        """Return one score for each passage, in order; higher is better.

        Raises:
            RemoteError: The server refused, or could not be reached after several attempts.
        """
        # Servers refuse the empty text, and a search should not fail for one.
        texts = [passage.chunk.indexed_text or " . " for passage in passages]
        found: list[float] = []
        for start in range(0, len(texts), self._batch):
            found += self._request(query, texts[start : start + self._batch])
        return found

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def _request(self, query: str, texts: list[str]) -> list[float]:
        body: dict[str, Any] = {"query": query, "texts": texts, "raw_scores": True}
        if self._dialect == "tei":
            body["truncate"] = True
        else:
            body = {"model": self._model, "query": query, "documents": texts, "top_n": len(texts)}
        return _scores(self._service.post(DIALECTS[self._dialect], body), len(texts))


def _scores(response: httpx.Response, expected: int) -> list[float]:
    """Return the scores in the order of the passages; servers give them best first."""
    try:
        data = response.json()
        rows = data if isinstance(data, list) else data["results"]
        found = {
            int(row["index"]): float(row["relevance_score"] if "score" not in row else row["score"])
            for row in rows
        }
    except (ValueError, KeyError, TypeError) as error:
        raise RemoteError(
            f"the rerank server answered {response.text[:SHOWN]!r}; expected an index and a score "
            "for each passage"
        ) from error
    if sorted(found) != list(range(expected)) or not all(map(math.isfinite, found.values())):
        raise RemoteError(
            f"the rerank server gave scores for {len(found)} of {expected} passages; "
            "expected one finite number for each"
        )
    return [found[row] for row in range(expected)]
