#!/bin/sh
# make demo: set up, ingest documents (DOCS, by default docs/), ask a question (Q), show the answer.
set -eu
. "$(dirname "$0")/lib.sh"
environment demo
exec "$VENV/bin/python" scripts/demo.py --docs "${DOCS:-docs}" --question "${Q:-}"
