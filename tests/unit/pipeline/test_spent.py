from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ragstack import Stack
from ragstack.chunking.spending import Spent
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.ingest import Step
from ragstack.pipeline.spent import told
from ragstack.types import Usage


def test_an_ingest_tells_what_its_contexts_cost(
    open_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    source = tmp_path / "boats.txt"
    source.write_text("".join(f"Boat {n} has sails. " for n in range(60)), "utf-8")
    stack = open_stack(
        overrides={"chunk": {"use": "contextual", "source": "generator", "size": 40}},
        generator=ScriptedGenerator(lambda _messages: "It is about zeppelins."),
    )
    steps: list[Step] = []
    report = stack.ingest(source, progress=steps.append)
    assert len(report.notes) == 1
    assert f"{report.chunks} written by scripted, 0 from before" in report.notes[0]
    assert [s.chunks for s in steps if s.kind == "described"] == [*range(1, report.chunks + 1)]
    best = stack.search("zeppelins", k=1)[0]
    assert best.chunk.context.endswith("It is about zeppelins.")
    assert "zeppelins" not in best.chunk.text
    assert stack.ingest(source).notes == ()


def test_another_generator_writes_other_lines(open_stack: Callable[..., Stack]) -> None:
    written = {"use": "contextual", "source": "generator"}
    origins = {
        (str(chunk), model): open_stack(
            overrides={"chunk": chunk, "generate": {"use": "local", "model": model}}
        ).parts.cutting()
        for chunk in (written, {"use": "contextual"})
        for model in ("one", "two")
    }
    assert len(set(origins.values())) == 3


def test_money_is_told_where_a_price_is_known() -> None:
    usage = Usage(prompt_tokens=1_000_000, answer_tokens=10)
    assert told(Spent(written=3, usage=usage, model="claude-opus-5"))[0].endswith("USD")
    assert "fit" in told(Spent(failed=2, model="x"))[0]
    assert told(Spent()) == ()
