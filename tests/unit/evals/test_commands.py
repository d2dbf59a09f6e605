"""The commands end to end on tiny data: a real base, hashed vectors, a scripted generator."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragstack.errors import InputError
from ragstack_evals.command import app
from ragstack_evals.datasets import Collection, JudgedDocument
from ragstack_evals.environment import configured
from ragstack_evals.retrieval import read_judged
from ragstack_evals.retrieval_base import FORMS, Base, Form, build_base
from ragstack_evals.retrieval_run import measure, searches_of

TOPICS = {
    "bees": "Bees gather nectar from flowers and turn it into honey in the hive.",
    "ships": "Ships cross the ocean between harbours with their cargo in containers.",
    "snow": "Snow falls in winter when the air is colder than water freezes at.",
    "bread": "Bread is baked from flour, water, yeast and salt in a hot oven.",
}
QUERIES = {
    "q1": "how is honey made by bees",
    "q2": "baking bread with yeast",
    "q3": "cold winter snow",
}
QRELS = {"q1": {"bees": 1}, "q2": {"bread": 1}, "q3": {"snow": 1}}


@pytest.fixture
def tiny() -> Collection:
    documents = tuple(JudgedDocument(key, key.title(), text) for key, text in TOPICS.items())
    empty = JudgedDocument("title-only", "Harbours of the north", "")
    return Collection("tiny", (*documents, empty), QUERIES, QRELS)


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "data"
    folder = root / "retrieval" / "tiny"
    folder.mkdir(parents=True)
    (root / "qa").mkdir()
    corpus = [{"_id": key, "title": key.title(), "text": text} for key, text in TOPICS.items()]
    queries = [{"_id": key, "text": text} for key, text in QUERIES.items()]
    judged = [f"{query}\t{key}\t1" for query, found in QRELS.items() for key in found]
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps(row) for row in corpus))
    (folder / "queries.jsonl").write_text("\n".join(json.dumps(row) for row in queries))
    (folder / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]))
    rows = [
        {
            "id": key,
            "question": f"What about {key}?",
            "context": text,
            "answers": [{"text": text.split()[0], "start": 0}],
            "is_impossible": False,
            "source_title": key,
        }
        for key, text in TOPICS.items()
    ]
    (root / "qa" / "topics.jsonl.gz").write_bytes(b"")
    (root / "topics.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    monkeypatch.setenv("RAGSTACK_DATA", str(root))
    monkeypatch.chdir(tmp_path)
    return root


@pytest.fixture
def hashing() -> Iterator[None]:
    with configured({"embed.use": "hashing"}):
        yield


@pytest.mark.usefixtures("hashing")
@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_of_base_finds_judged_documents(
    tiny: Collection, tmp_path: Path, form: Form
) -> None:
    base = build_base(tiny, tmp_path / "base", form=form)
    with base.stack:
        assert (base.added, base.failed) == (5, ())
        assert base.stack.stats()["chunks"] == 5
        searches = searches_of(base)
        assert set(searches) == {"lexical", "vector", "hybrid"}
        for system, search in searches.items():
            found = measure(system, search, QUERIES, QRELS)
            assert found.scores["MRR"] == {"q1": 1.0, "q2": 1.0, "q3": 1.0}, system
            assert len(found.milliseconds) == 3
        assert searches["lexical"]("harbours of the north", 5)[0] == "title-only"


@pytest.mark.usefixtures("hashing")
def test_a_base_that_is_there_is_not_made_again(tiny: Collection, tmp_path: Path) -> None:
    def made() -> Base:
        base = build_base(tiny, tmp_path / "base", form="document")
        base.stack.close()
        return base

    assert (made().added, made().added) == (5, 0)


def test_the_retrieval_command_measures_prints_and_writes(data_folder: Path) -> None:
    arguments = ["--data", "tiny", "--baseline", "--set", "embed.use=hashing", "--json", "r.json"]
    done = CliRunner().invoke(app, ["retrieval", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "tiny: 4 documents, 3 queries" in done.output
    found = json.loads(Path("r.json").read_text("utf-8"))
    systems = found["collections"]["tiny"]["systems"]
    assert set(systems) == {
        "lexical",
        "vector",
        "hybrid",
        "by hand: lexical",
        "by hand: vector",
        "by hand: hybrid",
    }
    assert systems["hybrid"]["measures"]["nDCG@10"]["mean"] == 1.0
    assert systems["hybrid"]["measures"]["nDCG@10"]["n"] == 3
    against = found["collections"]["tiny"]["hybrid_against"]
    assert against["by hand: hybrid"]["difference"]["mean"] == pytest.approx(0.0, abs=1.0)
    assert found["run"]["settings"] == {"embed.use": "hashing"}


def test_several_collections_end_in_one_table(data_folder: Path) -> None:
    other = data_folder / "retrieval" / "other"
    shutil.copytree(data_folder / "retrieval" / "tiny", other)
    rows = [json.loads(line) for line in (other / "corpus.jsonl").read_text("utf-8").split("\n")]
    kept = [row for row in rows if row["_id"] != "snow"] + [{"_id": "snow", "text": "bees hive"}]
    (other / "corpus.jsonl").write_text("\n".join(json.dumps(row) for row in kept), "utf-8")
    arguments = ["--data", "tiny", "--data", "other", "--baseline", "--set", "embed.use=hashing"]
    done = CliRunner().invoke(app, ["retrieval", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(Path("bench-results/retrieval-document-0.json").read_text("utf-8"))
    means = [
        found["collections"][name]["systems"]["hybrid"]["measures"]["nDCG@10"]["mean"]
        for name in ("tiny", "other")
    ]
    assert means[1] < means[0] == 1.0
    last = done.output[done.output.index("nDCG@10 and hit@5 of all") :]
    cells = [cell.strip() for cell in last[last.index("mean") :].split("│")]
    assert f"{sum(means) / 2:.3f}" in cells, done.output


def test_fewer_queries_are_chosen_by_the_seed(data_folder: Path) -> None:
    arguments = ["--data", "tiny", "--limit", "2", "--set", "embed.use=hashing"]
    done = CliRunner().invoke(app, ["retrieval", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(Path("bench-results/retrieval-document-0.json").read_text("utf-8"))
    by_query = found["collections"]["tiny"]["systems"]["hybrid"]["by_query"]["nDCG@10"]
    assert len(by_query) == 2
    assert set(by_query) < set(QUERIES)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--data", "tiny", "--form", "page"], "no form is named 'page'"),
        (["--data", "nowhere"], "no collection 'nowhere'"),
        (["--data", "tiny", "--set", "nonsense"], "section.option=value"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    data_folder: Path, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        CliRunner().invoke(app, ["retrieval", *arguments], catch_exceptions=False)


def test_questions_become_question_to_paragraph(data_folder: Path) -> None:
    collection, language = read_judged(str(data_folder / "topics.jsonl"))
    assert language == "en"
    assert len(collection.documents) == 4
    (relevant,) = collection.qrels["snow"]
    texts = {document.id: document.text for document in collection.documents}
    assert texts[relevant] == TOPICS["snow"]


def test_the_qa_command_asks_scores_and_resumes(data_folder: Path) -> None:
    replies = json.dumps(["Bees"] * 40)
    arguments = ["qa", "--data", str(data_folder / "topics.jsonl"), "--questions", "2"]
    arguments += ["--set", "embed.use=hashing", "--set", "generate.use=scripted"]
    arguments += ["--set", f"generate.replies={replies}", "--json", "qa.json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(Path("qa.json").read_text("utf-8"))
    assert [question["error"] for question in found["questions"]] == ["", ""]
    assert sorted(question["kind"] for question in found["questions"]) == ["absent", "answerable"]
    assert found["measures"]["gold passage shown"]["mean"] == 1.0
    assert found["run"]["paragraphs"] == 3
    lines = Path("qa.jsonl").read_text("utf-8")
    again = CliRunner().invoke(app, [*arguments, "--resume"], catch_exceptions=False)
    assert again.exit_code == 0, again.output
    assert Path("qa.jsonl").read_text("utf-8") == lines
