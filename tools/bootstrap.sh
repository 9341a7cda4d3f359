#!/usr/bin/env bash
# Makes the virtual environment (first argument, default .venv) from requirements/dev.lock.
# Needs Python 3.11 or later with its venv module, and nothing else; TOM_PYTHON names one.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${1:-.venv}"

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

find_python() {
    local candidate candidates=(python3.11 python3.12 python3.13 python3.14 python3)
    if [[ -n "${TOM_PYTHON:-}" ]]; then
        candidates=("$TOM_PYTHON")
    fi
    for candidate in "${candidates[@]}"; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

if [[ ! -x "$venv/bin/python" ]]; then
    python="$(find_python)" ||
        fail "ToM needs Python 3.11 or later; none was found. Install it, or name it: make setup TOM_PYTHON=/path/to/python3.11"
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        fail "$python lacks the venv module; on Debian and Ubuntu: apt-get install python3-venv"
    echo "Setting up $venv with $("$python" --version) (once; takes a minute or two)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

# The lock file is complete, so pip has nothing to resolve: left to resolve, pip before 24 asks for the newest release
# of a package that another one requires with extras, and refuses it because the lock pins an older one.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
"$venv/bin/python" -m pip --disable-pip-version-check check >/dev/null ||
    fail "requirements/dev.lock lacks a package that another one needs; \`make lock\` resolves it anew"
touch "$venv/.installed"
