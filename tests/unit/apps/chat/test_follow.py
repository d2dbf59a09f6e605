"""What is known of a run grows with its events, and a broken connection loses nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ragstack.errors import NotFound, RemoteError
from ragstack_apps.chat.follow import Follower, JobFollower

Told = tuple[str, dict[str, Any], int]
EVENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("run", {"run": "r"}),
    ("retrieval", {"question": "who?"}),
    ("passages", {"passages": [{"title": "a"}]}),
    ("token", {"text": "Ag", "reasoning": ""}),
    ("token", {"text": "nes", "reasoning": "hm"}),
    ("done", {"answer": "Agnes"}),
)


class Script:
    """Events in pieces: each call of ``follow`` gives those up to its cut, then breaks."""

    def __init__(self, *cuts: int, error: Exception | None = None) -> None:
        self.cuts = list(cuts)
        self.error = error
        self.asked: list[int] = []

    def follow(self, *_path: str, after: int = 0) -> Iterator[Told]:
        self.asked.append(after)
        end = self.cuts.pop(0) if self.cuts else len(EVENTS)
        for number, (name, data) in enumerate(EVENTS[after:end], start=after + 1):
            yield name, data, number
        if end < len(EVENTS) and self.error:
            raise self.error


def ended(follower: Any) -> Any:
    until = time.monotonic() + 5
    while not follower.ended:
        assert time.monotonic() < until
        time.sleep(0.005)
    return follower


def test_it_reads_up_to_the_answer() -> None:
    found = ended(Follower("r", Script()).start())
    assert found.text == "Agnes" and found.reasoning == "hm" and found.searched == "who?"
    assert found.answer == {"answer": "Agnes"} and not found.error


def test_a_broken_connection_goes_on_where_it_broke() -> None:
    lost = RemoteError("gone", retryable=True)
    source = Script(2, 4, error=lost)
    found = ended(Follower("r", source).start())
    assert source.asked == [0, 2, 4]
    assert found.text == "Agnes" and found.answer and not found.error


def test_a_stream_that_only_ends_early_is_taken_up_too() -> None:
    found = ended(Follower("r", Script(3)).start())
    assert found.text == "Agnes" and found.answer


def test_it_gives_up_where_nothing_comes_any_more() -> None:
    found = ended(Follower("r", Script(1, 1, 1, 1, 1, 1)).start())
    assert found.answer is None and "too early" in found.error


def test_what_cannot_come_back_is_not_tried_again() -> None:
    source = Script(0, error=NotFound("no such run"))
    found = ended(Follower("r", source).start())
    assert source.asked == [0] and found.error == "no such run"


def test_a_job_counts_its_files() -> None:
    job = JobFollower("j", Script())
    job.take("step", {"kind": "added", "source": "a", "done": 1, "total": 3})
    job.take("step", {"kind": "failed", "source": "b", "done": 2, "total": 3})
    job.take("done", {"added": ["a"], "failed": []})
    assert (job.done, job.total) == (2, 3) and job.files == {"a": "added", "b": "failed"}
    assert job.report == {"added": ["a"], "failed": []}
