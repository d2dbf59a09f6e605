#!/bin/sh
# make check: what to run before every commit; under a minute once set up. Arguments go to pytest.
set -eu
. "$(dirname "$0")/lib.sh"
sh scripts/lint.sh
exec "$VENV/bin/python" -m pytest -q -m "not integration and not slow and not soak" \
    tests/unit tests/conformance tests/property tests/test_architecture.py "$@"
