#!/bin/sh
# make lint: format, lint and types, nothing changed. All three run even when one fails.
set -eu
. "$(dirname "$0")/lib.sh"
environment test
failed=0
"$VENV/bin/ruff" format --check . || failed=1
"$VENV/bin/ruff" check . || failed=1
"$VENV/bin/mypy" || failed=1
exit "$failed"
