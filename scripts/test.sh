#!/bin/sh
# make test: set up everything the tests need, then run all of them, a file at a time on each core.
# Arguments go to pytest: -n 0 runs them in one process.
set -eu
. "$(dirname "$0")/lib.sh"
python=$(find_python test)
"$python" scripts/system_packages.py
environment test
lint=0
sh scripts/lint.sh || lint=1
tests=0
"$VENV/bin/python" -m pytest -n auto --maxprocesses 4 --dist loadfile "$@" || tests=$?
if [ "$lint" -ne 0 ]; then
    say "format, lint or types failed: see above the tests"
    exit 1
fi
exit "$tests"
