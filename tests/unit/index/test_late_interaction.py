from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import ConfigError, EmbedderMismatch, IndexStateError, InputError
from ragstack.filters import Compare
from ragstack.index import late_interaction
from ragstack.index.late_interaction import LateInteractionIndex
from ragstack.index.maxsim import quantised
from ragstack.protocols import TokenVectors, Vectors
from ragstack.testing.indexes import chunk_of

COUNT, WIDTH = 1_500, 32


class Bags:
    """The text "7" has the tokens of bag 7; a bag of a subject has tokens near it."""

    fingerprint = "bags"
    dimensions = WIDTH

    def __init__(self) -> None:
        dice = np.random.default_rng(3)
        subjects = dice.standard_normal((40, 6, WIDTH))
        self.bags: list[Vectors] = []
        for _ in range(COUNT):
            some = subjects[dice.integers(0, 40)]
            rows = some[dice.integers(0, 6, int(dice.integers(3, 9)))]
            rows = rows + 0.5 * dice.standard_normal(rows.shape)
            self.bags.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4"))

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        return [TokenVectors(self.bags[int(t)], ((0, 1),) * len(self.bags[int(t)])) for t in texts]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        raise NotImplementedError

    embed_queries = embed_documents


BAGS = Bags()
CHUNKS = [chunk_of(f"d{n:04}", str(n), meta={"n": n}) for n in range(COUNT)]


def made(folder: Path, **options: int) -> LateInteractionIndex:
    return LateInteractionIndex(folder, embedder=BAGS, token_embedder=BAGS, **options)


def right(query: int, upto: int, k: int) -> list[str]:
    scores = [(BAGS.bags[query] @ BAGS.bags[n].T).max(axis=1).mean() for n in range(upto)]
    return [CHUNKS[n].id for n in np.argsort(-np.array(scores), kind="stable")[:k]]


def test_scores_are_those_of_numpy(tmp_path: Path) -> None:
    index = made(tmp_path)
    index.add(CHUNKS[:300])
    (hits,) = index.search(["5"], k=300)
    assert hits[0].chunk_id == CHUNKS[5].id
    assert hits[0].score == pytest.approx(1, abs=1e-6)
    for hit in hits:
        bag = BAGS.bags[int(hit.chunk_id[1:5])]
        assert hit.score == pytest.approx((BAGS.bags[5] @ bag.T).max(axis=1).mean(), abs=0.02)
    index.close()


def test_centroids_find_what_a_scan_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_interaction, "_FROM", 2_000)
    index = made(tmp_path, candidates=150)
    index.add(CHUNKS[:900])
    index.commit(1)
    assert len(list(tmp_path.glob("codes-*"))) == 1
    index.add(CHUNKS[900:])  # stand for centroids that were there before them
    asked = list(range(0, COUNT, 50))
    for one in (index, None):
        if one is None:
            index.commit(2)
            index.close()
            one = index = made(tmp_path, candidates=150)
        shares = [
            len({hit.chunk_id for hit in hits} & set(right(query, COUNT, 10))) / 10
            for query, hits in zip(asked, one.search([str(q) for q in asked], k=10), strict=True)
        ]
        assert np.mean(shares) >= 0.9
    where = Compare("n", "lt", 700)
    (hits,) = index.search(["1400"], k=5, where=where)
    assert len({hit.chunk_id for hit in hits} & set(right(1_400, 700, 5))) >= 4
    (few,) = index.search(["1400"], k=9, where=Compare("n", "lt", 3))
    assert len(few) == 3
    index.delete([chunk.id for chunk in CHUNKS[:800]])
    before = index.search(["1400", "1000"], k=20)
    index.commit(3)
    again = made(tmp_path, candidates=150)
    assert [h[:10] for h in again.search(["1400", "1000"], k=20)] == [h[:10] for h in before]
    assert {path.name.split("-")[1].split(".")[0] for path in tmp_path.glob("tokens-*")} == {"2"}
    index.close()
    again.close()


def test_equals_come_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_interaction, "_FROM", 500)
    index = made(tmp_path, candidates=20)
    same = [chunk_of(f"a{n:03}", "7") for n in range(200)]
    index.add([*reversed(same), *CHUNKS[8:]])
    index.commit(1)
    (hits,) = index.search(["7"], k=5)
    assert [hit.chunk_id for hit in hits] == [chunk.id for chunk in same[:5]]
    index.close()


def test_eight_bits_keep_a_vector_s_length() -> None:
    numbers, scales = quantised(np.concatenate([BAGS.bags[0], np.zeros((1, WIDTH), "f4")]))
    lengths = np.linalg.norm(numbers.astype(np.float64), axis=1) * scales
    assert lengths[:-1] == pytest.approx(1, abs=1e-6)
    assert lengths[-1] == 0


@pytest.mark.parametrize("name", ["tokens-1.i8", "scales-1.f32", "lengths-1.i32", "codes", "cent"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_damage_is_seen(
    tmp_path: Path, name: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_interaction, "_FROM", 100)
    index = made(tmp_path)
    index.add(CHUNKS[:100])
    index.commit(1)
    index.close()
    (path,) = tmp_path.glob(f"{name}*")
    data = path.read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(data[:-4])
    with pytest.raises(IndexStateError, match="cannot be used"):
        made(tmp_path)


def test_what_is_no_token_embedder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no vectors of tokens"):
        LateInteractionIndex(tmp_path, embedder=BAGS, token_embedder=object())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="candidates"):
        made(tmp_path, candidates=0)


def test_wrong_vectors_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = made(tmp_path)
    index.add(CHUNKS[:3])
    for wrong in (np.full((2, WIDTH), np.nan), np.zeros((2, WIDTH + 1)), np.zeros(WIDTH)):
        monkeypatch.setattr(BAGS, "bags", [*BAGS.bags[:4], wrong.astype("f4")])
        with pytest.raises(InputError):
            index.add([CHUNKS[4]])
    assert len(index) == 3
    assert len(index.search(["1"], k=9)[0]) == 3
    index.close()


def test_another_embedder_is_refused(tmp_path: Path) -> None:
    index = made(tmp_path)
    index.add(CHUNKS[:3])
    index.commit(1)
    index.close()
    other = HashingEmbedder(dimensions=WIDTH)
    with pytest.raises(EmbedderMismatch):
        LateInteractionIndex(tmp_path, embedder=other, token_embedder=other)
