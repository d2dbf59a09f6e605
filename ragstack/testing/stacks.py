"""The promises of a Stack, as tests, for whatever has its methods: the real one, or a Client.

Subclass ``StackSuite`` and write ``opened``. Addresses differ, a server does not see where a file
lay; all else is the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import InputError, NotFound, UnknownPlugin
from ragstack.types import Answer, Delta, Message, Retrieved

__all__ = ["StackSuite", "say", "score"]

TEXTS = {
    "lease.md": "# Lease\n\n## Repairs\n\nThe Harbour Trust pays for repairs to the roof.\n",
    "lighthouse.md": "# Lighthouse\n\nThe lighthouse was built by Agnes Murray in 1874. — é 😀\n",
    "sub/bees.txt": "The hive gave 31 kilograms of honey in 2023.\n",
}
QUESTION = "Who built the lighthouse?"


def say(messages: Sequence[Message]) -> str:
    """Answer as the generator of ``opened`` has to: for a ScriptedGenerator."""
    return "Agnes Murray" if "Who built" in messages[-1].text else "not in the passages"


def score(_messages: Sequence[Message], text: str) -> float:
    """Return the log-probability of a continuation, for the same generator."""
    return -0.1 if text.lower() == "yes" else -3.0


def _name(source: str) -> str:
    """Return the last part of an address: ``papers/lease.md``, ``upload:lease.md``."""
    return source.rpartition("/")[2].rpartition(":")[2]


def _written(folder: Path) -> Path:
    for name, text in TEXTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


class StackSuite(ABC):
    """What a Stack promises to a program, wherever it runs."""

    @classmethod
    @abstractmethod
    def opened(cls, base: Path) -> AbstractContextManager[Any]:
        """Open what is tested over a base: hashing embedder, scripted ``say`` and ``score``."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Three documents, one of them in a folder below."""
        return _written(tmp_path / "papers")

    @pytest.fixture
    def empty(self, tmp_path: Path) -> Iterator[Any]:
        """A new base."""
        with self.opened(tmp_path / "kb") as stack:
            yield stack

    @pytest.fixture(scope="class")
    @classmethod
    def stack(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
        """A base that holds the three documents, for all tests that leave them as they are."""
        place = tmp_path_factory.mktemp("suite")
        with cls.opened(place / "kb") as stack:
            report = stack.ingest(_written(place / "papers"))
            assert not report.failed
            yield stack

    def test_new_base_is_empty(self, empty: Any) -> None:
        """Asking for what is not there gives nothing, and is no error."""
        assert empty.documents() == []
        assert empty.document("0123456789abcdef") is None
        assert empty.search("anything") == []
        assert empty.search_many(["a", "b"]) == [[], []]
        assert empty.search_many([]) == []
        assert empty.facets("language") == []
        assert empty.chats() == []
        assert empty.delete("nothing.md") == 0
        assert empty.stats()["documents"] == 0

    def test_ingest_says_what_happened_to_each(self, empty: Any, folder: Path) -> None:
        """A folder and all below it; the same again costs nothing; what changed is taken anew."""
        steps: list[Any] = []
        report = empty.ingest(folder, progress=steps.append)
        names = sorted(map(_name, report.added))
        assert names == ["bees.txt", "lease.md", "lighthouse.md"]
        assert (report.updated, report.failed, report.removed) == ((), (), ())
        assert report.chunks >= 3
        assert [step.kind for step in steps].count("added") == 3
        assert {step.source for step in steps if step.kind == "added"} == set(report.added)
        again = empty.ingest(folder)
        assert sorted(again.unchanged) == sorted(report.added)
        (folder / "lease.md").write_text("The tenant pays now.", encoding="utf-8")
        third = empty.ingest(folder)
        assert [_name(source) for source in third.updated] == ["lease.md"]
        assert len(empty.documents()) == 3

    def test_ingest_goes_on_after_what_cannot_be_read(self, empty: Any, folder: Path) -> None:
        """A broken file is in the report with its reason; the others are taken in."""
        (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing of the kind")
        report = empty.ingest(folder)
        assert len(report.added) == 3
        (failure,) = report.failed
        assert failure.source.endswith("broken.pdf")
        assert failure.reason

    def test_ingest_of_what_is_not_there(self, empty: Any, tmp_path: Path) -> None:
        """A path that is not there is an error, and nothing is taken in."""
        with pytest.raises(NotFound):
            empty.ingest(tmp_path / "nowhere")
        assert empty.documents() == []

    def test_metadata_filter_and_are_counted(self, empty: Any, folder: Path) -> None:
        """What was given with an ingest is on its documents, exact in value and type."""
        empty.ingest(folder / "lease.md", meta={"year": 2020, "final": True})
        empty.ingest(folder / "lighthouse.md", meta={"year": 2021, "share": 0.1, "final": True})
        infos = {_name(info.source): info for info in empty.documents()}
        assert infos["lease.md"].meta["year"] == 2020
        assert infos["lease.md"].meta["final"] is True
        assert infos["lighthouse.md"].meta["share"] == 0.1
        found = [(facet.value, facet.documents) for facet in empty.facets("year")]
        assert sorted(found) == [(2020, 1), (2021, 1)]
        assert [f.documents for f in empty.facets("final", where={"year": {"gt": 2020}})] == [1]
        passages = empty.search("lighthouse repairs", where={"year": {"gte": 2021}})
        assert {_name(passage.source) for passage in passages} == {"lighthouse.md"}

    def test_passages_are_spans_of_their_documents(self, stack: Any) -> None:
        """Text, offsets, metadata, scores and their trail; best first; ``k`` at most."""
        passages = stack.search(QUESTION)
        assert "Agnes Murray" in passages[0].chunk.text
        assert [p.score for p in passages] == sorted((p.score for p in passages), reverse=True)
        for passage in passages:
            document = stack.document(passage.chunk.document_id)
            chunk = passage.chunk
            assert document.text[chunk.start : chunk.end] == chunk.text
            assert document.version == chunk.version
            assert document.source == passage.source
            assert passage.trail
        assert stack.search(QUESTION, k=1) == passages[:1]
        assert stack.search(QUESTION, min_score=passages[0].score + 1) == []
        assert stack.search(QUESTION, min_score={"no such stage": 0.0}) == []

    def test_many_questions(self, stack: Any) -> None:
        """A batch answers each question, in order."""
        found = stack.search_many([QUESTION, "How much honey did the hive give?"], k=1)
        assert [len(passages) for passages in found] == [1, 1]
        assert "Agnes" in found[0][0].chunk.text
        assert "honey" in found[1][0].chunk.text

    def test_find_tells_the_plan_and_the_trace(self, stack: Any) -> None:
        """What ``find`` says beside the passages is there too."""
        found = stack.find(QUESTION)
        assert found.plan.question == QUESTION
        assert [query.text for query in found.plan.queries] == [QUESTION]
        assert "search" in [step.name for step in found.trace]
        assert list(found.passages) == stack.search(QUESTION)

    @pytest.mark.parametrize("question", ["", "  \n"])
    def test_blank_questions_are_refused(self, stack: Any, question: str) -> None:
        """By every method that takes one."""
        with pytest.raises(InputError):
            stack.search(question)
        with pytest.raises(InputError):
            stack.search_many([QUESTION, question])
        with pytest.raises(InputError):
            stack.ask(question)

    def test_wrong_arguments_are_refused(self, stack: Any) -> None:
        """With the error classes of a Stack."""
        with pytest.raises(InputError):
            stack.search(QUESTION, k=0)
        with pytest.raises(InputError):
            stack.search(QUESTION, where={"year": {"around": 3}})
        with pytest.raises(InputError):
            stack.search_many("one text")
        with pytest.raises(InputError):
            stack.search(QUESTION, min_score=float("nan"))
        with pytest.raises(UnknownPlugin):
            stack.search(QUESTION, transforms=["no such transform"])

    def test_answers_cite_verbatim(self, stack: Any) -> None:
        """Each quote is the document's own text, at its offsets."""
        answer = stack.ask(QUESTION)
        assert "Agnes Murray" in answer.text
        assert answer.grounded
        assert not answer.abstained
        assert answer.citations
        for citation in answer.citations:
            document = stack.document(citation.document_id)
            assert document.text[citation.start : citation.end] == citation.quote
            assert citation.source == document.source
        assert answer.passages
        assert answer.usage.answer_tokens > 0
        assert answer.seconds
        assert [sentence.verdict for sentence in answer.sentences] == ["verbatim"]

    def test_what_is_not_there_is_not_answered(self, stack: Any) -> None:
        """An answer that abstains is an answer."""
        answer = stack.ask("What does a bicycle cost on the ferry?")
        assert answer.abstained
        assert answer.citations == ()

    def test_streams_tell_what_was_found_first(self, stack: Any) -> None:
        """What was found, then the text, then the checked answer, which ends it."""
        events = list(stack.stream(QUESTION))
        assert isinstance(events[0], Retrieved)
        assert isinstance(events[-1], Answer)
        assert all(isinstance(event, Delta) for event in events[1:-1])
        assert events[0].question == QUESTION
        assert "Agnes Murray" in events[0].passages[0].chunk.text
        written = "".join(event.text for event in events[1:-1])
        assert "Agnes Murray" in written
        assert events[-1].trace

    def test_a_stream_may_be_left(self, stack: Any) -> None:
        """Whoever stops listening is no trouble to the next."""
        stream = stack.stream(QUESTION)
        assert isinstance(next(stream), Retrieved)
        stream.close()
        assert stack.ask(QUESTION).grounded

    def test_chats_are_kept(self, stack: Any) -> None:
        """Turns in order, under their id, until they are deleted."""
        chat = stack.chat("one chat é")
        assert chat.turns() == []
        answer = chat.ask(QUESTION)
        assert "Agnes Murray" in answer.text
        (turn,) = stack.chat("one chat é").turns()
        assert (turn.question, turn.answer) == (QUESTION, answer.text)
        assert stack.chats() == ["one chat é"]
        with pytest.raises(InputError):
            stack.chat(" ")
        assert chat.delete() is True
        assert chat.delete() is False
        assert stack.chats() == []

    def test_documents_are_listed(self, stack: Any) -> None:
        """By source, each with what is known of it, and whole with its marks."""
        infos = stack.documents()
        assert [info.source for info in infos] == sorted(info.source for info in infos)
        assert all(info.chunks >= 1 and info.digest and info.length for info in infos)
        (lease,) = (info for info in infos if info.source.endswith("lease.md"))
        document = stack.document(lease.id)
        assert document.text == TEXTS["lease.md"]
        headings = [mark.label for mark in document.marks if mark.kind == "heading"]
        assert headings == ["Lease", "Repairs"]
        assert (document.digest, len(document.text)) == (lease.digest, lease.length)
        assert stack.stats()["documents"] == 3

    def test_documents_are_deleted(self, empty: Any, folder: Path) -> None:
        """By id and by folder; what is gone is found no more; collections are apart."""
        empty.ingest(folder)
        empty.ingest(folder / "sub", collection="other")
        assert empty.stats()["collections"] == ["default", "other"]
        (other,) = empty.documents(collection="other")
        infos = {_name(info.source): info for info in empty.documents()}
        assert len(infos) == 3
        lease = infos["lease.md"]
        assert empty.delete(lease.id, collection="other") == 0
        assert empty.delete(lease.id) == 1
        assert empty.delete(lease.id) == 0
        assert empty.document(lease.id) is None
        assert empty.delete(str(Path(infos["bees.txt"].source).parent)) >= 1
        assert all("honey" not in p.chunk.text for p in empty.search("honey of the hive"))
        assert [info.id for info in empty.documents(collection="other")] == [other.id]

    def test_closing_twice_is_fine(self, tmp_path: Path) -> None:
        """The second call does nothing."""
        with self.opened(tmp_path / "closed") as stack:
            stack.close()
            stack.close()
