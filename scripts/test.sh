#!/bin/sh
# make test: set up everything the tests need, then run all of them. Arguments go to pytest.
set -eu
. "$(dirname "$0")/lib.sh"
python=$(find_python test)
"$python" scripts/system_packages.py
environment test
lint=0
sh scripts/lint.sh || lint=1
tests=0
"$VENV/bin/python" -m pytest "$@" || tests=$?
if [ "$lint" -ne 0 ]; then
    say "format, lint or types failed: see above the tests"
    exit 1
fi
exit "$tests"
