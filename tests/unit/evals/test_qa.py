from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ragstack.errors import GenerationError, InputError
from ragstack.types import Answer, Chunk, Citation, Passage, Usage
from ragstack_evals.datasets import GoldAnswer, Question
from ragstack_evals.qa_plan import Asked, Plan, choose, sentences_of, write_paragraphs
from ragstack_evals.qa_run import QuestionLog, ask_all
from ragstack_evals.qa_score import Record, rows_of, score

TEXT = "Paris is old. The tower stands in Paris. It is tall."
GOLD = (TEXT.index("The tower"), TEXT.index("It is"))
PLAN = Plan("en", {"p0000": TEXT, "p0001": "Lyon has two rivers."}, ())
ASKED = Asked("1", "Where does it stand?", "answerable", ("Paris",), "p0000", (GOLD,), False)


def made_question(number: int, *, impossible: bool = False, article: int = 0) -> Question:
    context = f"Paragraph {article} says that value{article} is right."
    answer = GoldAnswer(f"value{article}", context.index("value"))
    return Question(
        id=f"{article}-{number}",
        question=f"What is right in {article}?",
        context=context,
        answers=() if impossible else (answer,),
        impossible=impossible,
        title="",
    )


def made_questions(*, impossible: bool = True) -> list[Question]:
    return [
        made_question(number, impossible=impossible and number % 2 == 1, article=article)
        for article in range(20)
        for number in range(4)
    ]


def citation(quote: str, *, start: int, source: str = "p0000") -> Citation:
    return Citation(
        marker=1,
        chunk_id="c",
        document_id="d",
        source=f"/anywhere/{source}.txt",
        start=start,
        end=start + len(quote),
        quote=quote,
        verdict="verbatim",
    )


def passage(source: str) -> Passage:
    chunk = Chunk(document_id="d", version="0" * 8, start=0, end=4, text="text")
    return Passage(chunk=chunk, score=1.0, source=f"/anywhere/{source}.txt")


def answer_of(text: str, *citations: Citation, **changes: object) -> Answer:
    found = Answer(
        text=text,
        abstained=False,
        grounded=True,
        citations=citations,
        passages=(passage("p0001"), passage("p0000")),
        usage=Usage(10, 0, 2, 0.1),
        seconds={"generate": 0.5},
    )
    return replace(found, **changes)  # type: ignore[arg-type]


class HandMadeAsker:
    """Answers from a function and counts what it was asked."""

    def __init__(self, reply: Callable[[str], Answer]) -> None:
        self.asked: list[tuple[str, str]] = []
        self._reply = reply

    def ask(self, question: str, *, style: str) -> Answer:
        self.asked.append((question, style))
        return self._reply(question)


def test_half_are_answerable_and_the_rest_is_shared() -> None:
    plan = choose(made_questions(), count=13, paragraphs=10, language="en", seed=0)
    kinds = [asked.kind for asked in plan.asked]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "answerable": 7,
        "impossible": 3,
        "absent": 3,
    }
    assert len({asked.id for asked in plan.asked}) == 13


def test_without_impossible_questions_the_other_half_is_absent() -> None:
    plan = choose(made_questions(impossible=False), count=8, paragraphs=10, language="en", seed=0)
    assert sorted(asked.kind for asked in plan.asked) == ["absent"] * 4 + ["answerable"] * 4


def test_each_kind_stands_to_the_base_as_it_says() -> None:
    questions = {question.id: question for question in made_questions()}
    plan = choose(list(questions.values()), count=20, paragraphs=10, language="en", seed=5)
    assert len(plan.paragraphs) == 10
    for asked in plan.asked:
        context = questions[asked.id].context
        held = context in plan.paragraphs.values()
        assert held == (asked.kind != "absent")
        assert questions[asked.id].impossible == (asked.kind == "impossible")
        assert (plan.paragraphs.get(asked.paragraph) == context) == held
        assert bool(asked.places) == (asked.kind == "answerable")


def test_the_seed_decides_and_the_same_seed_repeats() -> None:
    first = choose(made_questions(), count=10, paragraphs=10, language="en", seed=1)
    again = choose(made_questions(), count=10, paragraphs=10, language="en", seed=1)
    other = choose(made_questions(), count=10, paragraphs=10, language="en", seed=2)
    assert first == again
    assert first != other


def test_a_fifth_of_the_paragraphs_always_stays_out() -> None:
    plan = choose(made_questions(), count=4, paragraphs=500, language="en", seed=0)
    assert len(plan.paragraphs) == 16


def test_an_absent_question_whose_words_stand_elsewhere_is_marked() -> None:
    shared = [
        Question("a", "?", "One: Paris.", (GoldAnswer("Paris", 5),), False, ""),
        Question("b", "?", "Two: Paris.", (GoldAnswer("Paris", 5),), False, ""),
    ]
    plan = choose(shared, count=2, paragraphs=1, language="en", seed=0)
    assert {asked.kind: asked.elsewhere for asked in plan.asked} == {
        "answerable": False,
        "absent": True,
    }


@pytest.mark.parametrize(("count", "paragraphs"), [(0, 5), (5, 0), (500, 5)])
def test_what_cannot_be_chosen_is_refused(count: int, paragraphs: int) -> None:
    with pytest.raises(InputError):
        choose(made_questions(), count=count, paragraphs=paragraphs, language="en", seed=0)


def test_one_paragraph_is_no_examination() -> None:
    with pytest.raises(InputError, match="at least 2 paragraphs"):
        choose([made_question(0)], count=1, paragraphs=1, language="en", seed=0)


def test_sentences_cover_the_text_and_break_where_sentences_do() -> None:
    text = 'He said "Stop." Then, at 3.5 km, Dr. Who left… « Ah ! » dit-il. Fin'
    spans = sentences_of(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert text[slice(*spans[0])] == 'He said "Stop." '
    assert any("3.5 km" in text[start:end] for start, end in spans)
    assert sentences_of("") == [(0, 0)]


def test_paragraphs_are_written_character_for_character(tmp_path: Path) -> None:
    plan = Plan("fr", {"p0000": "L'été\r\nà « Nice »\u2028fin"}, ())
    write_paragraphs(plan, tmp_path)
    assert (tmp_path / "p0000.txt").read_bytes().decode("utf-8") == plan.paragraphs["p0000"]


def test_a_right_answer_with_a_right_citation() -> None:
    quote = "stands in Paris"
    record = score(
        ASKED,
        answer_of("In Paris. [1]", citation(quote, start=TEXT.index(quote))),
        plan=PLAN,
        seconds=1.5,
    )
    assert record.f1 == pytest.approx(2 / 3)  # {in, paris} against {paris}
    assert (record.exact, record.contained) == (0.0, 1.0)
    assert (record.rank, record.passages) == (2, ("p0001", "p0000"))
    (cited,) = record.citations
    assert (cited.verbatim, cited.paragraph, cited.sentence) == (True, True, True)
    assert record.usage["prompt_tokens"] == 10


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (citation("Paris is old", start=0), (True, True, False)),
        (citation("stands in Paris", start=3), (False, True, False)),
        (citation("Lyon has two rivers.", start=0, source="p0001"), (True, False, False)),
        (citation("Lyon", start=0, source="p0009"), (False, False, False)),
        (citation("   ", start=0), (False, True, False)),
        (citation("", start=14), (False, True, False)),
        (citation("tall.", start=-5), (False, True, False)),
    ],
)
def test_a_citation_is_checked_against_the_file(
    made: Citation, expected: tuple[bool, bool, bool]
) -> None:
    record = score(ASKED, answer_of("Paris", made), plan=PLAN, seconds=0.0)
    (cited,) = record.citations
    assert (cited.verbatim, cited.paragraph, cited.sentence) == expected


def test_an_abstention_earns_nothing_whatever_its_words() -> None:
    record = score(ASKED, answer_of("Paris", abstained=True), plan=PLAN, seconds=0.0)
    assert (record.f1, record.exact, record.contained) == (0.0, 0.0, 0.0)
    assert record.answer == "Paris"


def test_markers_are_no_part_of_the_answer() -> None:
    record = score(ASKED, answer_of("Paris [1][2, 3]."), plan=PLAN, seconds=0.0)
    assert record.exact == 1.0


def record_of(kind: str, **changes: object) -> Record:
    asked = replace(ASKED, kind=kind)  # type: ignore[arg-type]
    return replace(score(asked, answer_of("Paris"), plan=PLAN, seconds=2.0), **changes)  # type: ignore[arg-type]


def test_each_measure_counts_the_questions_it_concerns() -> None:
    good = citation("stands in Paris", start=TEXT.index("stands"))
    cited = score(ASKED, answer_of("Paris", good), plan=PLAN, seconds=4.0)
    records = [
        cited,
        record_of("answerable", abstained=True, f1=0.0, exact=0.0, contained=0.0, rank=0),
        record_of("impossible", abstained=True),
        record_of("absent", abstained=False),
        record_of("absent", abstained=True, elsewhere=True),
        record_of("answerable", error="GenerationError: no", f1=0.0, rank=1),
    ]
    rows = rows_of(records, seed=0)
    assert rows["token F1"].mean == pytest.approx(1 / 3)
    assert rows["token F1, where answered"].mean == 1.0
    assert (rows["refused wrongly"].mean, rows["refused wrongly"].n) == (pytest.approx(1 / 3), 3)
    assert rows["refused, unanswerable"].mean == pytest.approx(2 / 3)
    assert rows["  paragraph in the base"].mean == 1.0
    assert rows["  paragraph left out"].mean == 0.5
    assert rows["  … and words nowhere else"].mean == 0.0
    assert (rows["quote verbatim (a citation)"].mean, rows["quote verbatim (a citation)"].n) == (
        1,
        1,
    )
    assert rows["cites the sentence"].mean == 1.0
    assert rows["gold passage first"].mean == pytest.approx(1 / 3)
    assert rows["gold passage shown"].mean == pytest.approx(2 / 3)
    assert rows["errors"].mean == pytest.approx(1 / 6)
    assert rows["seconds, p50"].mean == 2.0


def test_no_records_no_numbers() -> None:
    assert all(interval.n == 0 for interval in rows_of([], seed=0).values())


def small_plan() -> Plan:
    return choose(made_questions(), count=6, paragraphs=8, language="en", seed=0)


def test_every_question_is_asked_once_in_order(tmp_path: Path) -> None:
    plan = small_plan()
    asker = HandMadeAsker(lambda question: answer_of(f"value{question.split()[-1][:-1]}"))
    with QuestionLog(tmp_path / "log.jsonl", header={"seed": 0}, resume=False) as log:
        records = list(ask_all(asker, plan, log, style="brief"))
    assert [record.id for record in records] == [asked.id for asked in plan.asked]
    assert asker.asked == [(asked.question, "brief") for asked in plan.asked]
    assert all(record.f1 == 1.0 for record in records if record.kind == "answerable")


def test_an_error_is_a_record_and_the_run_goes_on(tmp_path: Path) -> None:
    def reply(question: str) -> Answer:
        raise GenerationError(f"cannot answer {question!r}")

    with QuestionLog(tmp_path / "log.jsonl", header={}, resume=False) as log:
        records = list(ask_all(HandMadeAsker(reply), small_plan(), log, style="brief"))
    assert len(records) == 6
    assert all(record.error.startswith("GenerationError: cannot answer") for record in records)


def test_a_run_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    plan, path = small_plan(), tmp_path / "log.jsonl"
    quote = citation("Paragraph", start=0)
    asker = HandMadeAsker(lambda _: answer_of("value", quote))
    with QuestionLog(path, header={"seed": 0}, resume=False) as log:
        running = ask_all(asker, plan, log, style="brief")
        first = [next(running), next(running)]
    whole = path.read_text("utf-8")
    path.write_text(whole + '{"id": "half a li', "utf-8")  # killed while writing
    with QuestionLog(path, header={"seed": 0}, resume=True) as log:
        assert list(log.records.values()) == first
        rest = list(ask_all(asker, plan, log, style="brief"))
    assert len(asker.asked) == 6
    assert [record.id for record in first + rest] == [asked.id for asked in plan.asked]
    lines = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    assert [line["id"] for line in lines[1:]] == [asked.id for asked in plan.asked]


def test_a_log_of_other_settings_is_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    QuestionLog(path, header={"seed": 0}, resume=False).close()
    with pytest.raises(InputError, match="leave --resume out"):
        QuestionLog(path, header={"seed": 1}, resume=True)


def test_without_resume_the_log_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    asker = HandMadeAsker(lambda _: answer_of("value"))
    for _ in range(2):
        with QuestionLog(path, header={}, resume=False) as log:
            list(ask_all(asker, small_plan(), log, style="brief"))
    assert len(asker.asked) == 12
    assert path.read_text("utf-8").count("\n") == 7
