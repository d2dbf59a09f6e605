"""``make fuzz-api``: what schemathesis is told, and a few seconds of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def test_what_could_read_this_machine_is_left_out(script: Callable[[str], ModuleType]) -> None:
    words = script("fuzz_api").command("http://127.0.0.1:1", "k", seconds=9, seed=3, workers=2)
    left_out = [words[at + 1] for at, word in enumerate(words) if word == "--exclude-path"]
    assert "/api/ingest" in left_out
    only = script("fuzz_api").command(
        "http://127.0.0.1:1", "k", seconds=9, seed=3, workers=2, only="/api/ingest"
    )
    assert only[only.index("--include-path") + 1] == "/api/ingest" and "--exclude-path" not in only
    assert words[words.index("--checks") + 1] == "not_a_server_error"
    assert words[words.index("--max-time") + 1] == "9"
    assert "http://127.0.0.1:1/openapi.json" in words
    assert "Authorization: Bearer k" in words


@pytest.mark.slow
@pytest.mark.integration
def test_a_few_seconds_find_no_5xx(repository: Path) -> None:
    pytest.importorskip("schemathesis")
    words = [sys.executable, str(repository / "scripts" / "fuzz_api.py"), "--seconds", "10"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
