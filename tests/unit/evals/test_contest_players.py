"""Contestants: their processes, their time-keeping, their requests."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ragstack_evals.contest.contestant import Contestant, ContestantFailed, Launch
from ragstack_evals.contest.parts import (
    BACKGROUND,
    BARE,
    GUESSING,
    LANGCHAIN,
    LLAMA,
    OURS,
    ROUNDS,
    SERVER,
    Arena,
)
from ragstack_evals.contest.peers import Peers
from ragstack_evals.contest.plan import planned
from ragstack_evals.contest.play_bare import steps
from ragstack_evals.contest.play_server import Server, body
from ragstack_evals.contest.player import Ask, Player, Setup, Used
from ragstack_evals.contest.questions import Passage, Prompts
from ragstack_evals.contest.results import Results
from ragstack_evals.contest.run import Contest, launches

_SETUP = Setup("model.gguf", threads=1, streams=2, window=64)
_ASK = Ask(({"role": "user", "content": "hello"},), tokens=3)

# A player as a program: writes its prompt's words, and dies of one of them.
_PROGRAM = """
import os, time
from ragstack_evals.contest.player import Player, Used, serve

class Echo(Player):
    def open(self, setup):
        print("what a library prints is no reply")
        if setup.model == "bad":
            raise ValueError("no such model")
    def stream(self, ask):
        for word in ask.messages[-1]["content"].split():
            if word == "die":
                os._exit(3)
            if word == "sleep":
                time.sleep(60)
            if word == "fail":
                raise RuntimeError("not this")
            if word == "silent":
                time.sleep(0.3)
                continue
            yield word
        return Used(len(ask.messages), 0, 2)
    def count(self, texts):
        return [len(text) for text in texts]
    def close(self):
        pass

serve(Echo())
"""


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    program = tmp_path / "echo.py"
    program.write_text(_PROGRAM, encoding="utf-8")
    return Launch("echo", (sys.executable, str(program)), _SETUP)


@pytest.fixture
def echo(launch: Launch, tmp_path: Path) -> Iterator[Contestant]:
    player = Contestant(launch, tmp_path, timeout_s=20.0)
    yield player
    player.close()


def _ask(text: str) -> Ask:
    return Ask(({"role": "user", "content": text},), 3)


def test_a_contestant_answers_from_its_own_process(echo: Contestant) -> None:
    took_s, heard = echo.together([_ask("one two"), _ask("three four")])
    assert took_s > 0.0
    assert [each.text for each in heard] == ["onetwo", "threefour"]
    assert heard[0].used == Used(1, 0, 2)
    assert len(heard[0].gaps) == 1
    assert echo.count(["abc"]) == [3]
    assert echo.peak() > 1_000_000
    assert echo.facts() == {}


def test_an_endless_answer_takes_as_long_as_its_silent_tokens(echo: Contestant) -> None:
    endless, ended = _ask("one silent"), replace(_ask("one silent"), endless=False)
    assert echo.one(endless).took_s >= 0.3
    assert echo.one(ended).took_s < 0.3


def test_a_conversation_grows_by_what_was_said(echo: Contestant) -> None:
    _, heard = echo.talk(_ask("a b"), ["c", "d"], "Observation: {}")
    assert [each.text for each in heard] == ["ab", "Observation:c", "Observation:d"]
    assert [each.used.prompt for each in heard] == [1, 3, 5]


def test_who_comes_late_is_timed_and_the_rest_broken_off(echo: Contestant) -> None:
    assert 0.0 <= echo.behind([_ask("x " * 50)], _ask("late"), 0.01) < 5.0
    assert echo.one(_ask("still here")).text == "stillhere"


def test_an_error_is_told_and_the_process_lives(echo: Contestant) -> None:
    with pytest.raises(ContestantFailed, match="RuntimeError: not this"):
        echo.one(_ask("fail"))
    assert echo.alive
    assert echo.one(_ask("well")).text == "well"


def test_a_death_is_told(echo: Contestant) -> None:
    with pytest.raises(ContestantFailed, match="echo ended during 'together'"):
        echo.one(_ask("die"))
    assert not echo.alive


def test_one_that_hangs_is_ended(launch: Launch, tmp_path: Path) -> None:
    player = Contestant(launch, tmp_path, timeout_s=5.0)
    with pytest.raises(ContestantFailed, match="limit 5 s"):
        player.one(_ask("sleep"))
    player.close()


def test_one_that_cannot_open_is_refused(launch: Launch, tmp_path: Path) -> None:
    bad = Launch("echo", launch.command, Setup("bad", 1, 1, 1))
    with pytest.raises(ContestantFailed, match="no such model"):
        Contestant(bad, tmp_path, timeout_s=20.0)


def test_the_arena_goes_on_without_who_died(
    echo: Contestant, launch: Launch, tmp_path: Path
) -> None:
    other = Contestant(launch, tmp_path, timeout_s=20.0)
    prompts = Prompts([Passage("text", "q", "t")], lambda texts: [1 for _ in texts])
    arena = Arena({OURS: other, BARE: echo}, prompts, planned(0, quick=True), Results("m"))
    played: list[str] = []

    def measure(name: str, player: Contestant) -> None:
        played.append(name)
        player.one(_ask("die" if name == BARE else "live"))

    for _ in range(2):
        arena.play((OURS, BARE, LLAMA), measure)
    other.close()
    assert sorted(played) == sorted([OURS, BARE, OURS])
    assert len(arena.results.notes) == 1
    assert list(arena.contestants) == [OURS]


def test_rag_prompts_are_asked_for_in_the_background_too(echo: Contestant) -> None:
    prompts = Prompts([Passage("text", "q", "t")], lambda texts: [1 for _ in texts])
    arena = Arena({OURS: echo, BARE: echo}, prompts, planned(0, quick=True), Results("m"))
    ROUNDS["rag"](arena)
    for who in (OURS, BARE, BACKGROUND):
        assert len(arena.results.values("rag", "2", who, "rate")) == 1


class _Slow(Player):
    """Counts who speaks at once."""

    def __init__(self) -> None:
        self.most = self._now = 0
        self._lock = threading.Lock()

    def open(self, setup: Setup) -> None: ...

    def close(self) -> None: ...

    def stream(self, ask: Ask) -> Generator[str, None, Used]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        yield ""
        for _ in range(ask.tokens):
            time.sleep(0.02)
            yield "x"
        with self._lock:
            self._now -= 1
        return Used()


def test_time_runs_from_the_request_to_the_first_text() -> None:
    heard = _Slow().hear(_ASK)
    assert heard.text == "xxx"
    assert heard.first_s >= 0.02, "a piece without text is not the first"
    assert len(heard.gaps) == 2 and min(heard.gaps) >= 0.02
    assert heard.took_s >= heard.first_s + sum(heard.gaps) - 1e-6


def test_streams_run_side_by_side() -> None:
    player = _Slow()
    player.together([_ASK] * 4)
    assert player.most == 4


@pytest.mark.parametrize(
    ("lengths", "batch", "expected"),
    [
        ([3], 8, [[(0, 0, 3)]]),
        ([3, 4], 8, [[(0, 0, 3), (1, 0, 4)]]),
        ([5, 5], 8, [[(0, 0, 5), (1, 0, 3)], [(1, 3, 5)]]),
        ([17], 8, [[(0, 0, 8)], [(0, 8, 16)], [(0, 16, 17)]]),
        ([8, 8], 8, [[(0, 0, 8)], [(1, 0, 8)]]),
    ],
)
def test_the_bare_loop_reads_full_steps(
    lengths: list[int], batch: int, expected: list[list[tuple[int, int, int]]]
) -> None:
    assert steps(lengths, batch) == expected


def test_what_the_server_is_asked() -> None:
    plain = body(_ASK)
    assert plain["ignore_eos"] is True and plain["max_tokens"] == 3 and plain["temperature"] == 0
    schema = {"type": "object"}
    shaped = body(Ask(_ASK.messages, 3, endless=False, schema=schema))
    assert shaped["response_format"]["json_schema"]["schema"] == schema
    assert shaped["ignore_eos"] is False


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200 if sent["messages"] else 400)
        self.end_headers()
        if not sent["messages"]:
            self.wfile.write(b"no messages")
            return
        for event in (
            {"choices": [{"delta": {"role": "assistant", "content": None}}]},
            {"choices": [{"delta": {"content": "he"}}]},
            {"choices": [{"delta": {"content": "llo"}}]},
            {"choices": [], "timings": {"prompt_n": 7, "cache_n": 5, "predicted_n": 2}},
        ):
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    web = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    player = Server()
    player._port = web.server_port
    yield player
    web.shutdown()
    thread.join()
    web.server_close()


def test_the_server_is_heard_event_by_event(server: Server) -> None:
    heard = server.hear(_ASK)
    assert heard.text == "hello"
    assert heard.used == Used(prompt=12, cached=5, written=2)


def test_what_the_server_refuses_is_told(server: Server) -> None:
    with pytest.raises(RuntimeError, match="400: b'no messages'"):
        server.hear(Ask((), 3))


def _names(peers: Peers, **options: object) -> set[str]:
    plan = planned(0, **options)  # type: ignore[arg-type]
    return set(launches(Contest("m", Path("m.gguf"), plan, peers, Path())))


def test_who_takes_part() -> None:
    both = Peers(Path("python"), Path("llama-server"))
    assert _names(both) == {OURS, GUESSING, BARE, LLAMA, LANGCHAIN, SERVER}
    assert _names(Peers()) == {OURS, GUESSING, BARE, LLAMA}
    assert _names(Peers(server=Path("s")), only=["late"]) == {OURS, SERVER}
    assert _names(both, only=["quotes"]) == {OURS, GUESSING}


def test_where_the_server_is_driven_from() -> None:
    plan = planned(0)

    def found(peers: Peers) -> Launch:
        return launches(Contest("m", Path("m.gguf"), plan, peers, Path()))[SERVER]

    compiled = found(Peers(Path("python"), Path("llama-server")))
    assert (compiled.command[0], compiled.setup.server) == (sys.executable, "llama-server")
    packaged = found(Peers(Path("python")))
    assert (packaged.command[0], packaged.setup.server) == ("python", "")
