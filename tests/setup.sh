#!/usr/bin/env bash
# Installs what `make test` (test), `make bench` (bench) or `make check-full` (full) needs: Debian's packages with root or
# sudo, Python's into a folder of our own. Where it cannot install, it says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=target/test-tools/venv
schemathesis=4.32.5

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

# need COMMAND PACKAGE
need() {
    command -v "$1" >/dev/null && return
    echo "installing $2 (for $1)" >&2
    if ! command -v apt-get >/dev/null; then
        echo "$1 is missing: install it with your system's package manager (Debian: apt-get install $2)" >&2
        exit 1
    fi
    [ -n "${updated:-}" ] || { as_root apt-get update -qq && updated=1; } || true
    as_root apt-get install -y -qq --no-install-recommends "$2" >/dev/null || {
        echo "$1 is missing and could not be installed: apt-get install $2" >&2
        exit 1
    }
}

need_python_tools() {
    [ -x "$venv/bin/st" ] && "$venv/bin/st" --version 2>/dev/null | grep -q "$schemathesis" && return
    command -v python3 >/dev/null || need python3 python3
    python3 -c 'import venv, ensurepip' 2>/dev/null || need python3-venv python3-venv
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check "schemathesis==$schemathesis"
}

# need_cargo_tool NAME VERSION
need_cargo_tool() {
    command -v "$1" >/dev/null || cargo install --locked "$1" --version "$2"
}

case "${1:-test}" in
test)
    need cc gcc
    need make make
    need curl curl
    need_python_tools
    ;;
bench)
    need nginx nginx-light
    ;;
full)
    need_cargo_tool cargo-hack 0.6.46
    need_cargo_tool cargo-deny 0.20.2
    need_cargo_tool cargo-machete 0.9.2
    ;;
*)
    echo "usage: $0 [test|bench|full]" >&2
    exit 2
    ;;
esac
