"""Rerankers made of others: a second embedder, a chain, and the time a reranker may take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import ConfigError, UnknownPlugin
from ragstack.rerank.chain import ChainReranker
from ragstack.rerank.dense import DenseReranker
from ragstack.rerank.second import SKIPPED, Second
from ragstack.testing.rerankers import RerankerSuite, passage
from ragstack.types import Passage

_HASHING = {"use": "hashing"}


class TestDense(RerankerSuite):
    def make(self) -> DenseReranker:
        return DenseReranker(embed=_HASHING)


class TestChain(RerankerSuite):
    def make(self) -> ChainReranker:
        return ChainReranker(
            stages=[{"use": "dense", "embed": _HASHING, "keep": 3}, {"use": "late_interaction"}],
            token_embedder=HashingEmbedder(),
        )


class _Longest:
    """Prefers long passages, notes what it saw, and takes its time."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def score(self, _query: str, passages: Sequence[Passage]) -> list[float]:
        self.seen.append(len(passages))
        return [float(len(each.chunk.text)) for each in passages]


def _passages(count: int) -> list[Passage]:
    return [passage(n, "x" * (n + 1), score=1.0 - n / 100) for n in range(count)]


def test_a_later_stage_sees_what_the_one_before_kept() -> None:
    chain = ChainReranker(
        stages=[
            {"use": "dense", "embed": _HASHING, "keep": 2},
            {"use": "mmr", "balance": 1.0, "keep": 1},
            {"use": "dense", "embed": {"use": "hashing", "dimensions": 64}},
        ],
        embedder=HashingEmbedder(),
    )
    texts = ("who pays for the roof", "who pays", "bread", "")
    scores = chain.score("who pays for the roof", [passage(n, t) for n, t in enumerate(texts)])
    assert 2 <= scores[0] < 3 and 1 <= scores[1] < 2
    assert all(0 <= score < 1 for score in scores[2:])
    chain.close()


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "one reranker or more"),
        ("mmr", "one reranker or more"),
        ([{"keep": 1}], "use ="),
        ([{"use": "mmr"}, {"use": "mmr"}], "keep=None"),
        ([{"use": "mmr", "keep": 0}, {"use": "mmr"}], "keep=0"),
        ([{"use": "mmr", "keep": True}, {"use": "mmr"}], "keep=True"),
        ([{"use": "mmr", "hue": 1}], "no option 'hue'"),
    ],
)
def test_wrong_stages_are_refused(stages: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ChainReranker(stages=stages, embedder=HashingEmbedder())


def test_a_second_embedder_has_a_name() -> None:
    with pytest.raises(ConfigError, match="names an embedder"):
        DenseReranker(embed={"model": "x"})
    with pytest.raises(UnknownPlugin):
        DenseReranker(embed={"use": "hush"})


def test_without_a_budget_all_are_reranked() -> None:
    reranker = _Longest()
    second = Second(reranker)
    found = second.best("q", _passages(12), k=3)
    assert reranker.seen == [12]
    assert [len(each.chunk.text) for each in found] == [12, 11, 10]
    assert second.wanted(3) == 12 and Second(reranker, 50).wanted(3) == 50
    assert Second(reranker, 2).wanted(3) == 3


def test_a_budget_cuts_the_list_and_the_trail_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 4.0, 10.0, 16.0, 20.0, 21.0])  # one second for each of four, then of six
    monkeypatch.setattr("ragstack.rerank.second.time.perf_counter", lambda: next(moments))
    reranker = _Longest()
    second = Second(reranker, 0, 6_500)
    found = second.best("q", _passages(12), k=6)
    assert reranker.seen == [4]
    assert [len(each.chunk.text) for each in found] == [4, 3, 2, 1, 5, 6]
    assert [SKIPPED in each.trail for each in found] == [False] * 4 + [True] * 2
    second.best("q", _passages(12), k=6)
    assert reranker.seen == [4, 6]
    second.best("q", [], k=6)
    assert reranker.seen == [4, 6]


def test_at_least_one_is_reranked(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 400.0, 400.0, 500.0])
    monkeypatch.setattr("ragstack.rerank.second.time.perf_counter", lambda: next(moments))
    reranker = _Longest()
    second = Second(reranker, 0, 1)
    for _ in range(2):
        second.best("q", _passages(5), k=2)
    assert reranker.seen == [4, 1]


@pytest.mark.parametrize("options", [(-1, 0.0), (0, -1.0), (0, float("nan"))])
def test_limits_are_checked(options: Any) -> None:
    with pytest.raises(ConfigError, match="below 0"):
        Second(_Longest(), *options)
