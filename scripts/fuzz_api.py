"""The server's own OpenAPI description in, schemathesis' requests against it; a 5xx is a failure.

Run: ``make fuzz-api`` or ``python scripts/fuzz_api.py --seconds 120``. The server is started over a
base of its own and thrown away. A key is shown with each request: without one the first user or key
that a request makes would close the server to all that follow. ``/api/ingest`` has a turn of its
own, with a key that may send files in and not name paths: one that is made up may be of this
machine, and all of it would be read. Single sign-on needs a provider; the tests have one.
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx

from ragstack_evals.bench_server import serving

_START = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
_LEFT_OUT = ("/api/ingest", "/api/login/oidc", "/api/login/oidc/callback")
_SENDING = 0.2  # of the time is for files that are sent in


def command(
    url: str, key: str, *, seconds: int, seed: int, workers: int, only: str = ""
) -> list[str]:
    """Return schemathesis' command line for a server; ``only`` is the one path to be tried."""
    words = [sys.executable, "-c", _START, "run", f"{url}/openapi.json"]
    words += ["--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing"]
    words += ["--max-time", str(seconds), "--seed", str(seed), "--workers", str(workers)]
    words += ["--header", f"Authorization: Bearer {key}"]
    if only:
        words += ["--include-path", only]
    for path in () if only else _LEFT_OUT:
        words += ["--exclude-path", path]
    # Streams are read to their end.
    return [*words, "--request-timeout", "60", "--suppress-health-check", "all"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz a server that is started here; the exit status is schemathesis' own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="time in all")
    parser.add_argument("--seed", type=int, default=0, help="makes the requests")
    parser.add_argument("--workers", type=int, default=1, help="requests at once")
    given = parser.parse_args(arguments)
    key = secrets.token_urlsafe(24)
    with (
        tempfile.TemporaryDirectory(prefix="ragstack-fuzz-") as folder,
        serving(Path(folder), seed=given.seed, documents=20, api_key=key) as (url, _),
    ):
        sending = max(1, int(given.seconds * _SENDING))
        how = {"seed": given.seed, "workers": given.workers}
        words = command(url, _sender(url, key), seconds=sending, only="/api/ingest", **how)
        failed = subprocess.run(words, cwd=folder, check=False).returncode
        words = command(url, key, seconds=max(1, given.seconds - sending), **how)
        return subprocess.run(words, cwd=folder, check=False).returncode or failed


def _sender(url: str, key: str) -> str:
    """Return a key that may send documents in, and administers nothing."""
    made = httpx.post(
        f"{url}/api/keys",
        json={"name": "fuzz", "rights": ["read", "ask", "write"]},
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
    )
    return str(made.raise_for_status().json()["key"])


if __name__ == "__main__":
    sys.exit(main())
