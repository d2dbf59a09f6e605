"""What a step costs decides how many share it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.engine.costs import Costs


def _costs(**seconds: float) -> Costs:
    costs = Costs()
    for size, value in seconds.items():
        costs.learn(int(size[1:]), value)
    return costs


def test_two_that_cost_more_than_twice_one_go_apart() -> None:
    costs = _costs(n1=1.0, n2=2.5, n4=2.8)
    assert costs.group(1) == 1
    assert costs.group(2) == 1
    assert costs.group(4) == 4


def test_what_is_not_known_is_tried() -> None:
    costs = _costs(n1=1.0)
    assert costs.group(8) == 8
    assert Costs().group(3) == 3
    assert Costs().group(0) == 0


def test_costs_follow_what_is_measured() -> None:
    costs = _costs(n1=1.0)
    for _ in range(300):
        costs.learn(1, 3.0)
    assert costs.step(1) == pytest.approx(3.0, rel=0.01)


def test_what_else_the_machine_does_is_forgotten_at_once() -> None:
    costs = _costs(n1=1.0)
    for _ in range(5):
        costs.learn(1, 9.0)
    assert 1.5 < costs.step(1) < 2.5
    for _ in range(5):
        costs.learn(1, 1.0)
    assert costs.step(1) == pytest.approx(1.0, rel=0.01)


def test_more_tokens_never_take_less() -> None:
    costs = _costs(n1=1.0, n4=9.0, n8=3.0)
    assert [costs.step(n) for n in (1, 2, 4, 8, 9)] == [1.0, 1.0, 3.0, 3.0, 3.0]
    assert costs.group(8) == 8


def test_a_step_is_split_only_where_that_clearly_gains() -> None:
    assert _costs(n1=1.0, n2=2.1).group(2) == 2
    assert _costs(n1=1.0, n2=2.5).group(2) == 1


def test_a_step_for_all_is_tried_again_now_and_then() -> None:
    """What a busy moment, or long prompts, made dear is not held dear for good."""
    costs = _costs(n4=0.09, n5=0.3, n8=0.3)
    assert [costs.group(8) for _ in range(60)] == [4] * 60
    for _ in range(10):
        costs.learn(costs.group(8), 0.15)
    assert [costs.group(8) for _ in range(60)] == [8] * 60


def test_where_a_step_for_all_is_dear_indeed_it_is_done_seldom() -> None:
    costs = _costs(n4=0.09, n5=0.3, n8=0.3)
    sizes = []
    for _ in range(1_000):
        sizes.append(costs.group(8))
        costs.learn(sizes[-1], 0.09 if sizes[-1] == 4 else 0.3)
    assert set(sizes) == {4, 8}
    assert sizes.count(8) < 20


def test_reading_keeps_within_its_time() -> None:
    costs = _costs(n32=0.1, n64=0.2, n128=0.4, n256=0.8)
    assert costs.reading(512, within=0.3, patience=1.2) == 64
    assert costs.reading(512, within=0.01, patience=0.04) == 32
    assert costs.reading(20, within=0.3, patience=1.2) == 20
    assert costs.reading(200, within=9.0, patience=9.0) == 128


def test_reading_is_not_cut_so_small_that_all_wait_longer() -> None:
    costs = _costs(n32=0.64, n64=0.65, n128=1.02, n256=2.5, n512=4.5)
    # 125 tokens a second; 32 would be read at 50.
    assert costs.reading(512, within=0.5, patience=2.0) == 128
    assert costs.reading(512, within=0.2, patience=0.8) == 64
    assert costs.reading(512, within=0.1, patience=0.4) == 32
    assert costs.reading(64, within=0.5, patience=2.0) == 64
    # The best speed of all takes too long; what comes near it counts nevertheless.
    costs = _costs(n32=0.606, n64=0.845, n128=1.159, n256=2.079, n512=5.373)
    assert costs.reading(512, within=0.5, patience=2.0) == 128


def test_part_of_a_size_tells_of_the_whole() -> None:
    costs = _costs(n300=3.0)
    assert costs.step(512) == pytest.approx(5.12)
    assert costs.step(400) == costs.step(512)


def test_few_who_write_waste_time() -> None:
    costs = _costs(n1=0.12, n2=0.2, n4=0.24, n8=0.4)
    assert costs.waste(1, 8) == pytest.approx(0.07)
    assert costs.waste(2, 8) == pytest.approx(0.1)
    assert costs.waste(8, 8) == 0.0
    assert Costs().waste(3, 8) == 0.0


def test_guesses_are_made_where_they_gain() -> None:
    costs = _costs(n1=1.0, n2=1.8, n4=3.3, n16=6.7)
    for size in range(5, 16):
        costs.learn(size, 3.3 + (size - 4) * 0.28)
    assert costs.guesses(1, 0.5, 15) == 0
    assert costs.guesses(1, 0.99, 15) >= 12
    assert costs.guesses(1, 0.0, 15) == 0
    assert Costs().guesses(1, 0.9, 15) == 0


def test_what_was_learnt_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "engine" / "costs.json"
    costs = Costs(path)
    costs.learn(4, 0.25)
    costs.save()
    assert Costs(path).step(4) == 0.25


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 9}',
        '{"format": 1, "seconds": {"x": 1.0, "2": "a"}}',
        '{"format": 1, "seconds": {"2": -1.0, "4": Infinity}}',
        "\x00\xff",
    ],
)
def test_a_damaged_file_is_no_knowledge(tmp_path: Path, text: str) -> None:
    path = tmp_path / "costs.json"
    path.write_text(text, encoding="utf-8")
    assert Costs(path).step(4) == 0.0


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    costs = Costs(tmp_path / "file" / "costs.json")
    costs.learn(1, 0.5)
    costs.save()


def test_a_size_of_reading_that_nobody_knows_is_tried_and_learnt() -> None:
    costs = _costs(n64=0.6, n256=1.3, n512=2.6)
    assert costs.reading(512, within=0.5, patience=3.0) == 128
    costs.learn(128, 0.8)  # 160 tokens a second, 200 are to be had
    assert costs.reading(512, within=0.5, patience=3.0) == 256
    assert Costs().reading(512, within=0.5, patience=3.0) == 512
