"""The server's own OpenAPI description in, schemathesis' requests against it; a 5xx is a failure.

Run: ``make fuzz-api`` or ``python scripts/fuzz_api.py --seconds 120``. The server is started over a
base of its own and thrown away. ``POST /api/ingest`` is left out: a path that is made up may be one
of this machine, and all of it would be read.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ragstack_evals.bench_server import serving

_START = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
_LEFT_OUT = ("/api/ingest", "/api/login/oidc", "/api/login/oidc/callback")


def command(url: str, *, seconds: int, seed: int, workers: int) -> list[str]:
    """Return schemathesis' command line for a server."""
    words = [sys.executable, "-c", _START, "run", f"{url}/openapi.json"]
    words += ["--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing"]
    words += ["--max-time", str(seconds), "--seed", str(seed), "--workers", str(workers)]
    for path in _LEFT_OUT:
        words += ["--exclude-path", path]
    # Streams are read to their end.
    return [*words, "--request-timeout", "60", "--suppress-health-check", "all"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz a server that is started here; the exit status is schemathesis' own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="time in all")
    parser.add_argument("--seed", type=int, default=0, help="makes the requests")
    parser.add_argument("--workers", type=int, default=4, help="requests at once")
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="ragstack-fuzz-") as folder,
        serving(Path(folder), seed=given.seed, documents=20) as (url, _),
    ):
        words = command(url, seconds=given.seconds, seed=given.seed, workers=given.workers)
        return subprocess.run(words, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
