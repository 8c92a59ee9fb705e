#!/usr/bin/env bash
# Installs what `make test` (test), `make bench` (bench) or `make check-full` (full) needs: Debian's packages with root or
# sudo, Python's and npm's into folders of our own. Where it cannot install, it says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
# Debian keeps servers where only root looks.
PATH=$PATH:/usr/sbin:/sbin

tools=target/test-tools

# retry COMMAND...: a registry that does not answer once mostly does the next time.
retry() {
    "$@" || { sleep 5 && "$@"; } || { sleep 20 && "$@"; }
}

as_root() {
    if [ "$(id -u)" = 0 ]; then retry "$@"; elif command -v sudo >/dev/null; then retry sudo "$@"; else return 1; fi
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

# installed FOLDER PACKAGE...: whether a former run put just these there. The note is written last, so that a run that was
# cut off does not count.
installed() {
    [ "$(cat "$tools/$1/.packages" 2>/dev/null)" = "${*:2}" ]
}

# need_python_tools FOLDER PACKAGE==VERSION...: a virtual environment of their own, since their dependencies differ.
need_python_tools() {
    if installed "$@"; then return; fi
    need python3 python3
    python3 -c 'import venv, ensurepip' 2>/dev/null || need python3-venv python3-venv
    python3 -m venv "$tools/$1"
    retry "$tools/$1/bin/pip" install -q --disable-pip-version-check "${@:2}"
    echo "${*:2}" >"$tools/$1/.packages"
}

# need_node_tools FOLDER PACKAGE@VERSION...: their programs are in FOLDER/node_modules/.bin.
need_node_tools() {
    if installed "$@"; then return; fi
    need node nodejs
    need npm npm
    mkdir -p "$tools/$1"
    # Without a manifest npm would look for one in the folders above.
    echo '{ "private": true }' >"$tools/$1/package.json"
    retry npm install --prefix "$tools/$1" --loglevel=error --no-audit --no-fund --no-update-notifier --save-exact "${@:2}" >/dev/null
    echo "${*:2}" >"$tools/$1/.packages"
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
    # The programs alone: the package `mariadb-server` would also start a service.
    need mariadbd mariadb-server-core
    need mariadb mariadb-client-core
    # Where services are started at once, this one is: tests do not mind, and start their own.
    need redis-server redis-server
    # Makes the certificate of the one that speaks TLS.
    need openssl openssl
    # The pages are looked at in a browser.
    need chromium chromium
    need chromedriver chromium-driver
    # Speaks MongoDB's protocol.
    need_python_tools mongodb SecantusDB==0.7.0b3
    need_python_tools venv schemathesis==4.32.5
    # Other people's MCP servers, for the client's tests.
    need_python_tools mcp mcp-server-fetch==2026.10.24
    need_node_tools node @modelcontextprotocol/server-filesystem@2026.8.31 @modelcontextprotocol/server-everything@2026.8.31
    # What the examples in Python and JavaScript tell their readers to install.
    need_python_tools examples httpx==0.28.1 httpx-sse==0.4.3
    need_node_tools examples-js openapi-client-axios@7.9.1 axios@1.21.1 js-yaml@4.3.2
    # Judges whether everybody can use the pages.
    need_node_tools axe axe-core@4.14.1
    ;;
bench)
    need nginx nginx-light
    ;;
full)
    need_cargo_tool cargo-hack 0.6.46
    need_cargo_tool cargo-deny 0.20.2
    need_cargo_tool cargo-machete 0.9.2
    # Judges the alert rules. Where services are started at once, this one is, and nobody minds.
    need promtool prometheus
    # The protocol's own test suite needs a newer Node than Debian has.
    need_node_tools conformance @modelcontextprotocol/conformance@0.1.16 node@22.23.3
    ;;
*)
    echo "usage: $0 [test|bench|full]" >&2
    exit 2
    ;;
esac
