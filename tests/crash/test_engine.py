"""Two hundred clients that change their minds: no error but a full queue, no memory, no place lost.

When it fails, look at what a request leaves behind: its sequence, its entry, its queue.
"""

from __future__ import annotations

import os
import random
import resource
import threading
import time
from pathlib import Path

import pytest

from ragstack.engine.context import Options
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.errors import DeadlineExceeded, EngineBusy
from ragstack.testing.tiny_model import TinyModel
from ragstack.types import Regex, Sampling

SECONDS = float(os.environ.get("RAGSTACK_SOAK_S", "300"))
CLIENTS = 200
PROMPT = tuple(b"The keeper of the light writes down what he sees each night. ")


def resident() -> int:
    """Return the bytes of memory in use now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def one(engine: Engine, dice: random.Random, client: str) -> None:
    """Ask once, and perhaps go away before the end."""
    tokens = (*PROMPT[: dice.randrange(5, len(PROMPT))], *dice.choices(range(32, 120), k=5))
    priority = dice.choice(("interactive", "interactive", "background"))
    manner = Manner(priority, client, deadline_s=dice.choice((None, None, 0.5)))
    grammar = Regex("[a-z]{1,30}") if dice.random() < 0.1 else None
    sampling = Sampling(
        max_tokens=dice.randrange(1, 60), seed=1, temperature=dice.choice((0.0, 0.7))
    )
    generation = engine.generate(Request(tokens, sampling, grammar, manner))
    leave = dice.choice((0, 1, 5, 1_000, 1_000))
    for place, _ in enumerate(generation):
        if place >= leave:
            generation.close()
            return
    if dice.random() < 0.1:
        engine.score(PROMPT, [[dice.randrange(32, 120)] * 2], manner=manner)


@pytest.mark.soak
def test_two_hundred_clients(tmp_path: Path) -> None:
    options = Options(size=512, cells=2048, batch=128, threads=1, streams=8, kept=16)
    engine = Engine(TinyModel().write(tmp_path / "tiny.gguf"), options, queue_limit=100)
    odd: list[BaseException] = []
    done, refused = [0] * CLIENTS, [0] * CLIENTS
    end = time.monotonic() + SECONDS

    def work(number: int) -> None:
        dice = random.Random(number)
        while time.monotonic() < end and not odd:
            try:
                one(engine, dice, str(number % 20))
                done[number] += 1
            except DeadlineExceeded:
                done[number] += 1
            except EngineBusy:
                refused[number] += 1
                time.sleep(0.05)
            except BaseException as error:
                odd.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS / 3)
    before = resident()
    for thread in threads:
        thread.join(timeout=SECONDS + 120)
    assert odd == []
    assert not any(thread.is_alive() for thread in threads)
    assert sum(done) > CLIENTS
    assert resident() < 1.05 * before + 5_000_000
    deadline = time.monotonic() + 30
    while (stats := engine.stats()).active or stats.waiting:
        assert time.monotonic() < deadline, stats
        time.sleep(0.05)
    engine.close()
