# Functions the scripts share; sourced, never run. POSIX sh.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# Prints the interpreter to set up with: PYTHON, else the environment's own, else the first that fits.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        python_fits "$PYTHON" || die "PYTHON=$PYTHON does not run, or is not Python 3.11, 3.12 or 3.13"
        command -v "$PYTHON"
        return
    fi
    for candidate in "$VENV/bin/python" python3.11 python3.12 python3.13 python3 python; do
        if python_fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    die "no Python 3.11, 3.12 or 3.13 is here
hint: $(as_root 'apt-get install -y python3 python3-venv'), or name one: make ${1:-demo} PYTHON=/path/to/python3.12"
}

python_fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then printf '%s' "$1"; else printf 'sudo %s' "$1"; fi
}

# Makes the environment ready for a profile (demo, test).
environment() {
    python=$(find_python "$1")
    "$python" scripts/environment.py "$1" --venv "$VENV"
}

cd "$(dirname "$0")/.."
VENV=${VENV:-$PWD/.venv}
