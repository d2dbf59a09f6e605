#!/bin/sh
# Run a program of the tests' environment, which is made first: in_env.sh ruff format .
set -eu
. "$(dirname "$0")/lib.sh"
environment test
program=$1
shift
exec "$VENV/bin/$program" "$@"
